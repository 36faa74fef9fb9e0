"""Check that a run which is killed anywhere resumes to the results of one that is not.

    python -m benchmarks.runs.kills FOLDER [--signals KILL TERM INT] [--nodes NAME ...] [--images N]

A small pipeline on the embedded digits is run once undisturbed. Then, for each signal, it is run in a workdir of its
own and killed at every component: before its publish (halfway through its work), during it (while ML Metadata writes)
and after it; each run resumes the one before. A last run ends by itself. KILL is sent to the process that the user
started, TERM and INT too. Checked are, after each kill: the exit code, the report (after TERM and INT), that no process
and no temporary file stays (after KILL: until the next run), and that every version that is pushed is whole; at the
end: that the models, byte for byte, are those of the undisturbed run, and that nothing half-made is left.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

# The runs are forks of this process, which imports all that they need and uses none of it.
import tensorflow_model_analysis as tfma
import tensorflow_transform as tft
from tfx.orchestration.portable import execution_publish_utils

from edgetune.modules.core.package_paths import ROOT
from edgetune.modules.data.digits import write_digits
from edgetune.pipeline import cli
from edgetune.pipeline.metadata.outcome import read_outcome
from edgetune.pipeline.terminal.console import Console

IMPORTED = (tfma, tft)
MOMENTS = ("before", "during", "after")
_SETTINGS = (
    "name=digits",
    "model.image_size=48",
    "training.batch_size=16",
    "training.activation_cache.head_views=1",
    "training.head.epochs=4",
    "training.fine_tune.epochs=1",
    "training.baselines=[]",
    "evaluation.min_accuracy=0.3",
    "evaluation.min_test_images=5",
    "evaluation.min_test_images_per_class=1",
    "edge.variants=[float32, int8]",
    "edge.max_accuracy_drop=0.5",
    "edge.max_class_drop=1.0",
    "edge.min_agreement=0.3",
)
_DIGITS = "014"
_PUBLISHERS = ("publish_succeeded_execution", "publish_internal_execution")


class Kill:
    """Kills the run, in the fork that runs it.

    Args:
        node: The component at which it is killed.
        moment: One of `MOMENTS`.
        number: The signal.
        seconds: What the component takes undisturbed.
    """

    def __init__(self, node: str, moment: str, number: int, seconds: float) -> None:
        self.node, self.moment, self.number, self.seconds = node, moment, number, seconds
        self.running = ""

    def install(self) -> None:
        """Patch the console, which hears of each component, and what publishes."""
        started, finished = Console.started, Console.finished

        def on_start(console: Console, node: str) -> None:
            started(console, node)
            self.running = node
            if node == self.node and self.moment == "before":
                threading.Timer(self.seconds / 2, self.send).start()

        def on_finish(console: Console, node: str, state: Any) -> None:
            finished(console, node, state)
            if node == self.node:  # also if it was published by the run that was killed during that
                self.send(wait=True)

        for name, hook in (("started", on_start), ("finished", on_finish)):
            setattr(Console, name, hook)
        for name in _PUBLISHERS:
            setattr(execution_publish_utils, name, self._publishing(getattr(execution_publish_utils, name)))

    def _publishing(self, publish: Callable[..., Any]) -> Callable[..., Any]:
        def hooked(*arguments: Any, **named: Any) -> Any:
            if self.running != self.node:
                return publish(*arguments, **named)
            if self.moment == "before":
                time.sleep(600)  # until the timer
            if self.moment == "during":
                self.send()
            published = publish(*arguments, **named)
            self.send(wait=True)
            return published

        return hooked

    def send(self, wait: bool = False) -> None:
        """Send the signal to the process that the user started; `wait` for this one's end."""
        os.kill(os.getppid(), self.number)
        if wait:
            time.sleep(600)


def main() -> None:
    """Run everything, print a line for each signal, and exit with 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="new folder for images and workdirs")
    parser.add_argument("--signals", nargs="+", default=["KILL", "TERM", "INT"], metavar="NAME")
    parser.add_argument("--nodes", nargs="+", metavar="NAME", help="components; default: all")
    parser.add_argument("--images", type=int, default=40, metavar="N", help="images a class; default: %(default)s")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    folder = options.folder.resolve()
    data = _digits(folder, options.images)
    began = time.monotonic()
    undisturbed = Workdir(folder / "undisturbed", data)
    if (code := undisturbed.run()) != 0:
        sys.exit(f"the undisturbed run ended with {code}: see {undisturbed.folder}")
    outcome = read_outcome(undisturbed.database, "digits")
    seconds = {node.id: node.seconds for node in outcome.nodes if options.nodes is None or node.id in options.nodes}
    print(f"undisturbed: {time.monotonic() - began:.0f} s, {len(outcome.nodes)} components", flush=True)
    wrong: list[str] = []
    for name in options.signals:
        began = time.monotonic()
        ends = Counter[int]()
        workdir = Workdir(folder / name, data)
        for node, moment in itertools.product(seconds, MOMENTS):
            code = workdir.run(Kill(node, moment, signal.Signals[f"SIG{name}"], seconds[node]))
            ends[code] += 1
            wrong += [f"{name} {moment} {node}: {what}" for what in workdir.wrong(name, code, undisturbed)]
            if code >= 0 and wrong:  # what comes after it says nothing
                break
        last = workdir.run()
        wrong += [f"{name}, the last run: {what}" for what in workdir.wrong("", last, undisturbed)]
        codes = ", ".join(f"{count} ended with {code}" for code, count in sorted(ends.items()))
        print(f"{name}: {time.monotonic() - began:.0f} s, {codes}; the last run with {last}", flush=True)
    print("\n".join(wrong) or "nothing is wrong")
    sys.exit(bool(wrong))


class Workdir:
    """A workdir, with temporary files beside it, and what its runs said."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self._data = folder / "workdir", data
        self.temporary, self.said = folder / "temporary", folder / "said"
        self.database = self.folder / "tfx_metadata" / "digits" / "metadata.db"
        self.session, self.reports = 0, 0
        self.temporary.mkdir(parents=True)

    def run(self, kill: Kill | None = None) -> int:
        """Run the pipeline in a fork, and return how it ended: an exit code, or a negative signal."""
        self.session = os.fork()
        if self.session == 0:
            self._be_run(kill)
        return os.waitstatus_to_exitcode(os.waitpid(self.session, 0)[1])

    def _be_run(self, kill: Kill | None) -> NoReturn:
        code: object = 1
        try:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore Ctrl-C
                signal.signal(number, signal.SIG_DFL)
            os.environ["TMPDIR"], tempfile.tempdir = str(self.temporary), None
            said = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for descriptor in (1, 2):
                os.dup2(said, descriptor)
            if kill:
                print(f"\n--- {signal.Signals(kill.number).name} {kill.moment} {kill.node}", flush=True)
                kill.install()
            config = ROOT / "configs" / "demo.yaml"
            settings = [part for setting in _SETTINGS for part in ("--set", setting)]
            where = ["--config", str(config), "--data", str(self._data), "--workdir", str(self.folder)]
            sys.argv[1:] = ["run", *where, *settings]
            cli.program()
        except SystemExit as end:
            code = end.code
        finally:
            os._exit(code if isinstance(code, int) else 1)

    def wrong(self, name: str, code: int, undisturbed: Workdir) -> list[str]:
        """Return what is not as it should be after a run; `name` is the signal's, or empty if it ended by itself."""
        until = time.monotonic() + 5  # a killed child takes a moment to go
        while (left := _processes(self.session)) and time.monotonic() < until:
            time.sleep(0.05)
        found = [f"the processes {left} are left"] if left else []
        expected = {"KILL": -9, "TERM": 143, "INT": 130, "": 0}[name]
        if code != expected:
            found.append(f"it ended with {code} and not with {expected}")
        reports = len(list(self.folder.glob("reports/digits/*/index.html")))
        if name != "KILL" and reports <= self.reports:
            found.append("it wrote no report")
        self.reports = reports
        temporary = sorted(path.name for path in self.temporary.iterdir())
        if len(temporary) > (name == "KILL"):
            found.append(f"temporary files are left: {', '.join(temporary)}")
        models, expected_models = self.models(), undisturbed.models()
        found += [f"{kind} {number} is not whole" for kind, number in models if models[kind, number] is None]
        allowed = {kind: digest for (kind, _), digest in expected_models.items()}
        found += [f"{kind} {number} differs" for (kind, number), made in models.items() if made != allowed[kind]]
        if not name:
            found += [f"there is no {kind}" for kind in allowed if kind not in {made for made, _ in models}]
            found += [f"{path} is left" for path in self.folder.rglob("*.part")]
        return found

    def models(self) -> dict[tuple[str, str], str | None]:
        """Return the digest of each pushed version by kind and number; None for one that is not whole."""
        made = {}
        for kind, last, parts in (
            ("saved_model", "saved_model.pb", ("variables/*", "assets/*")),
            ("edge", "SHA256SUMS", ("*.tflite", "labels.txt")),
        ):
            for version in sorted((self.folder / "pushed" / "digits" / kind).glob("[0-9]*")):
                files = sorted(path for part in parts for path in version.glob(part))
                digest = json.dumps([[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in files])
                made[kind, version.name] = digest if (version / last).exists() and files else None
        return made


def _processes(session: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Of a process whose first thread is dead, others may still hold its locks.
        if int(of) == session and (state != "Z" or len(list(stat.parent.glob("task/*"))) > 1):
            found.append(int(stat.parent.name))
    return found


def _digits(folder: Path, each: int) -> Path:
    everything, chosen = write_digits(folder / "all"), folder / "images"
    for digit in _DIGITS:
        (chosen / digit).mkdir(parents=True)
        for path in sorted((everything / digit).iterdir())[:each]:
            shutil.copy(path, chosen / digit)
    return chosen


if __name__ == "__main__":
    main()
