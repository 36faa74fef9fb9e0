"""Check that a run which is killed anywhere resumes to the results of one that is not.

    python -m benchmarks.runs.kills FOLDER [--signals KILL TERM INT] [--nodes NAME ...] [--images N] [--jobs N]

A small pipeline on the embedded digits is run once undisturbed. Then, for each signal, it is run in a workdir of its
own and killed at every component: before its publish (halfway through its work), during it (ML Metadata writes the
record while the signal is handled, and the call does not return)
and after it; each run resumes the one before. A last run ends by itself. KILL is sent to the process that the user
started, TERM and INT too. Checked are, after each kill: the exit code, the report (after TERM and INT), that no process
and no temporary file stays (after KILL: until the next run), and that every version that has a marker is whole, by the
marker's digests of all files; at the end: that the models, byte for byte, are those of the undisturbed run, that there
is one version of both, with its marker, and that nothing half-made is left.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.lib.nights import ENDS
from benchmarks.lib.pushed import half_pushed, not_once
from benchmarks.lib.small_runs import MOMENTS, NAME, Kill, Workdir, digits
from edgetune.pipeline.metadata.outcome import read_outcome


def main() -> None:
    """Run everything, print a line for each signal, and exit with 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="new folder for images and workdirs")
    parser.add_argument("--signals", nargs="+", default=[*ENDS], choices=[*ENDS])
    parser.add_argument("--nodes", nargs="+", metavar="NAME", help="components; default: all")
    parser.add_argument("--images", type=int, default=40, metavar="N", help="images a class; default: %(default)s")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), metavar="N", help="signals at once; default: one for each core"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    folder = options.folder.resolve()
    data = digits(folder, options.images)
    began = time.monotonic()
    undisturbed = Killed(folder / "undisturbed", data)
    if (code := undisturbed.run().code) != 0:
        sys.exit(f"the undisturbed run ended with {code}: see {undisturbed.folder}")
    if found := [*half_pushed(undisturbed.places), *not_once(undisturbed.places)]:
        sys.exit(f"the undisturbed run is wrong: {'; '.join(found)}")
    outcome = read_outcome(undisturbed.database, NAME)
    if unknown := set(options.nodes or ()) - {node.id for node in outcome.nodes}:
        parser.error(f"--nodes {' '.join(sorted(unknown))}: name some of {' '.join(node.id for node in outcome.nodes)}")
    seconds = {node.id: node.seconds for node in outcome.nodes if options.nodes is None or node.id in options.nodes}
    print(f"undisturbed: {time.monotonic() - began:.0f} s, {len(outcome.nodes)} components", flush=True)
    # Much of a run is waiting: for processes that start, for the database, and for the end of what was killed.
    with ProcessPoolExecutor(options.jobs, get_context("fork")) as pool:
        one = partial(_kill_everywhere, folder=folder, data=data, undisturbed=undisturbed, seconds=seconds)
        wrong = [what for found in pool.map(one, options.signals) for what in found]
    print(f"all: {time.monotonic() - began:.0f} s", flush=True)
    print("\n".join(wrong) or "nothing is wrong")
    sys.exit(bool(wrong))


def _kill_everywhere(
    name: str, folder: Path, data: Path, undisturbed: Killed, seconds: Mapping[str, float]
) -> list[str]:
    """Kill with one signal at every component, print a line, and return what is not as it should be."""
    began = time.monotonic()
    wrong: list[str] = []
    ends = Counter[int]()
    workdir = Killed(folder / name, data)
    for node, moment in itertools.product(seconds, MOMENTS):
        code = workdir.run(Kill(node, moment, signal.Signals[f"SIG{name}"], seconds[node])).code
        ends[code] += 1
        wrong += [f"{name} {moment} {node}: {what}" for what in workdir.wrong(name, code, undisturbed)]
        if code >= 0 and wrong:  # what comes after it says nothing
            break
    last = workdir.run().code
    wrong += [f"{name}, the last run: {what}" for what in workdir.wrong("", last, undisturbed)]
    codes = ", ".join(f"{count} ended with {code}" for code, count in sorted(ends.items()))
    print(f"{name}: {time.monotonic() - began:.0f} s, {codes}; the last run with {last}", flush=True)
    return wrong


class Killed(Workdir):
    """A workdir whose runs are killed."""

    reports = 0

    def wrong(self, name: str, code: int, undisturbed: Killed) -> list[str]:
        """Return what is not as it should be after a run; `name` is the signal's, or empty if it ended by itself."""
        left = self.left_processes()
        found = [f"the processes {left} are left"] if left else []
        expected = ENDS[name] if name else 0
        if code != expected:
            found.append(f"it ended with {code} and not with {expected}")
        reports = len(list(self.folder.glob(f"reports/{NAME}/*/index.html")))
        if name != "KILL" and reports <= self.reports:
            found.append("it wrote no report")
        self.reports = reports
        temporary = sorted(path.name for path in self.temporary.iterdir())
        if len(temporary) > (name == "KILL"):
            found.append(f"temporary files are left: {', '.join(temporary)}")
        found += half_pushed(self.places, interrupted=bool(name))
        models, expected_models = self.models(), undisturbed.models()
        found += [f"{kind} {number} is not whole" for kind, number in models if models[kind, number] is None]
        allowed = {kind: digest for (kind, _), digest in expected_models.items()}
        found += [f"{kind} {number} differs" for (kind, number), made in models.items() if made != allowed[kind]]
        if not name:
            found += [f"there is no {kind}" for kind in allowed if kind not in {made for made, _ in models}]
            found += not_once(self.places)
            found += [f"{path} is left" for path in self.folder.rglob("*.part")]
        return found

    def models(self) -> dict[tuple[str, str], str | None]:
        """Return the digest of each pushed version by kind and number; None for one that is not whole."""
        made = {}
        for kind, last, parts in (
            ("saved_model", "saved_model.pb", ("variables/*", "assets/*")),
            ("edge", "SHA256SUMS", ("*.tflite", "labels.txt")),
        ):
            for version in sorted((self.pushed / kind).glob("[0-9]*")):
                files = sorted(path for part in parts for path in version.glob(part))
                digest = json.dumps([[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in files])
                made[kind, version.name] = digest if (version / last).exists() and files else None
        return made


if __name__ == "__main__":
    main()
