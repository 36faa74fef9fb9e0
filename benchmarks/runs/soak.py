"""Run many nights in one workdir, some of them bad and some of them killed, and check what is left after each.

    python -m benchmarks.runs.soak FOLDER [--nights 30] [--seed 1] [--keep 5] [--resume]

Every night the small pipeline on the embedded digits runs on other images: the data grow and shrink in waves of ten
nights, and most images of a night were there the night before. One night in five is bad: labels are shuffled, files
are broken, or the folder of a class is missing. One run in four is killed, at a component, a moment and with a signal
chosen by chance (KILL, TERM, INT), and then run again, as a supervisor would. Every seventh night `edgetune gc` removes
what it may. Checked are:

- a good night ends with 0 and its version is served, or with 7, a reason and the version from before;
- a bad night ends with an error or a refusal, and nothing new is released;
- after each night, every version is as its marker says, what is served has a marker, and `edgetune verify` accepts it;
  no part of a push, no process and no temporary file is left;
- over all nights, the seconds of processor of an undisturbed good night stay as they were (median of the last ten
  against the first ten), and so does the size of the workdir after `gc`.

A row for each night is printed and kept in FOLDER/soak.jsonl; `--resume` goes on after the last one. It exits with 1 if
anything is not as it should be. Nights are minutes apart, so evaluations are compared and kept for no days.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.lib.measure import cpu_name
from benchmarks.lib.small_runs import CLASSES, MOMENTS, NAME, SETTINGS, Kill, Workdir
from edgetune.modules.core.errors import PushError
from edgetune.modules.data.digits import write_digits
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places, altered, newest
from edgetune.pipeline.metadata.outcome import read_outcome

_SETTINGS = (
    *SETTINGS,
    "training.head.epochs=6",
    "training.fine_tune.epochs=0",
    "evaluation.min_accuracy=0.7",
    "evaluation.compare_days=0",
    "edge.variants=[float32]",
    "infra.originals=4",
)
BAD = ("labels", "broken", "missing")
_FEWEST, _MOST, _WAVE = 30, 50, 10
"""Images of a class, at least and at most, and nights from one low to the next."""
_BAD_IN, _KILLED_IN, _WEEK = 5, 4, 7
_BROKEN = 0.2
"""Share of files that are broken in a night of broken files; `data.max_rejected` is 0.05."""
_ENDS = {"KILL": -signal.SIGKILL, "TERM": 143, "INT": 130}
_REFUSED = 7
_SLOWER, _LARGER = 1.3, 1.5
"""Greatest ratio of the medians of processor seconds, and of the sizes after the last and after the first `gc`."""


@dataclass
class Night:
    """What happened in a night: a line of soak.jsonl."""

    number: int
    images: int
    bad: str
    """One of `BAD`; empty for a good night."""
    killed: str = ""
    code: int = 0
    """How the last run of the night ended."""
    seconds: float = 0.0
    processor: float = 0.0
    """Seconds, of the last run alone."""
    served: int | None = None
    released: bool = False
    megabytes: float = 0.0
    """Size of the workdir at the end, after `gc` if there was one."""
    collected: bool = False
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    """Run the nights, print a row for each, and exit with 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="new folder for images and workdir")
    parser.add_argument("--nights", type=int, default=30, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of all that is by chance; default: %(default)s"
    )
    parser.add_argument("--keep", type=int, default=5, metavar="N", help="runs that gc keeps; default: %(default)s")
    parser.add_argument("--resume", action="store_true", help="go on in a FOLDER that has nights already")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=options.resume)
    soak = Soak(folder, options.seed, options.keep)
    print(f"{cpu_name()}, {os.cpu_count()} cores")
    print("| night | images | bad | killed | ended with | seconds | of processor | served | MB | wrong |")
    print("|-|-|-|-|-|-|-|-|-|-|")
    for night in soak.nights:
        print(_row(night))
    while len(soak.nights) < options.nights:
        print(_row(soak.night()), flush=True)
    wrong = [f"night {night.number}: {what}" for night in soak.nights for what in night.wrong]
    wrong += over_all(soak.nights)
    good = [night for night in soak.nights if not night.bad]
    print(
        f"\n{len(soak.nights)} nights, {sum(bool(night.killed) for night in soak.nights)} killed; "
        f"{len(good)} good, {sum(night.released for night in good)} of them released; "
        f"{len(soak.nights) - len(good)} bad, {sum(night.released for night in soak.nights if night.bad)} released"
    )
    print("\n".join(wrong) or "nothing is wrong")
    sys.exit(bool(wrong))


def over_all(nights: Sequence[Night]) -> list[str]:
    """Print what must stay as it was, and return what did not."""
    wrong = []
    quiet = [night.processor for night in nights if not night.bad and not night.killed]
    part = min(10, len(quiet) // 2)
    if part:
        first, last = statistics.median(quiet[:part]), statistics.median(quiet[-part:])
        print(
            f"\nprocessor seconds of undisturbed good nights, medians: first {part} {first:.1f}, last {part} {last:.1f}"
        )
        if last > _SLOWER * first:
            wrong.append(f"nights become slower: {first:.1f} s, then {last:.1f} s of processor")
    sizes = [night.megabytes for night in nights if night.collected]
    if sizes:
        print(f"MB after gc: {', '.join(f'{size:.0f}' for size in sizes)}")
        if sizes[-1] > _LARGER * sizes[0]:
            wrong.append(f"the workdir grows: {sizes[0]:.0f} MB after the first gc, {sizes[-1]:.0f} MB after the last")
    if nights and not any(night.released for night in nights):
        wrong.append("nothing was ever released")
    return wrong


class Soak:
    """The nights in one folder.

    Args:
        folder: For images, workdir and the record.
        seed: Of all that is by chance; each night has its own, so that a resumed soak has the same nights.
        keep: Number of runs that `gc` keeps.
    """

    def __init__(self, folder: Path, seed: int, keep: int) -> None:
        self._seed, self._keep = seed, keep
        self._record = folder / "soak.jsonl"
        lines = self._record.read_text().splitlines() if self._record.exists() else []
        self.nights = [Night(**json.loads(line)) for line in lines]
        self._all, self._data = write_digits(folder / "all"), folder / "images"
        self._workdir = Workdir(folder, self._data, _SETTINGS)
        self._places = Places(str(self._workdir.pushed / "edge"), str(self._workdir.pushed / "saved_model"))

    def night(self) -> Night:
        """Run the next night."""
        number = len(self.nights) + 1
        chance = random.Random(f"{self._seed}/{number}")  # noqa: S311 - no secret
        bad = BAD[number // _BAD_IN % len(BAD)] if number % _BAD_IN == 0 else ""
        night = Night(number, self._write_images(number, bad, chance), bad)
        before = newest(self._places)
        kill = self._kill(chance) if number > 1 and chance.random() < 1 / _KILLED_IN else None
        ended = self._workdir.run(kill)
        if kill and ended.code in _ENDS.values():  # a bad night may end before it comes to that component
            night.killed = str(kill)
            night.wrong += [f"killed: {what}" for what in self._left(most_temporary=1)]
            if ended.code != _ENDS[signal.Signals(kill.number).name.removeprefix("SIG")]:
                night.wrong.append(f"killed, it ended with {ended.code}")
            ended = self._workdir.run()
        night.code, night.seconds, night.processor = (
            ended.code,
            round(ended.seconds, 1),
            round(ended.processor_seconds, 1),
        )
        night.wrong += self._wrong(night, before)
        if number % _WEEK == 0:
            self._collect(night)
        night.megabytes = round(sum(path.lstat().st_size for path in self._workdir.folder.rglob("*")) / 2**20, 1)
        self.nights.append(night)
        with self._record.open("a") as record:
            record.write(json.dumps(asdict(night)) + "\n")
        return night

    def _write_images(self, number: int, bad: str, chance: random.Random) -> int:
        """Write the images of a night, and return their number."""
        shutil.rmtree(self._data, ignore_errors=True)
        phase = abs(number % _WAVE - _WAVE / 2) / (_WAVE / 2)  # 1 at the first night of a wave, 0 in the middle
        each = round(_MOST - phase * (_MOST - _FEWEST))
        for digit in CLASSES:
            (self._data / digit).mkdir(parents=True)
            there = sorted((self._all / digit).iterdir())
            for path in there[number : number + each]:  # the oldest one goes every night
                shutil.copy(path, self._data / digit)
        files = sorted(self._data.glob("*/*"))
        if bad == "missing":
            shutil.rmtree(self._data / chance.choice(CLASSES))
        elif bad == "broken":
            for path in chance.sample(files, round(_BROKEN * len(files))):
                path.write_bytes(path.read_bytes()[: chance.randrange(40)])
        elif bad == "labels":
            labels = [path.parent.name for path in files]
            chance.shuffle(labels)
            for path, label in zip(files, labels, strict=True):
                path.rename(self._data / label / f"{path.parent.name}-{path.name}")
        return len(list(self._data.glob("*/*")))

    def _kill(self, chance: random.Random) -> Kill:
        """Choose a component by chance, with the seconds that it took when it last ran."""
        node = chance.choice(read_outcome(self._workdir.database, NAME).nodes)
        name = chance.choice(sorted(_ENDS))
        return Kill(node.id, chance.choice(MOMENTS), signal.Signals[f"SIG{name}"], node.computed_seconds)

    def _wrong(self, night: Night, before: tuple[int | None, int | None]) -> list[str]:
        """Return what is not as it should be after the last run of a night, and note what is served."""
        wrong = self._left(most_temporary=0)
        model, night.served = newest(self._places)
        if model != night.served:
            wrong.append(f"SavedModel {model} is served, and the newest release is {night.served}")
        night.released = night.served != before[1]
        said = self._workdir.last_said()
        if night.bad and night.code == 0:
            wrong.append("a bad night ended with 0")
        if night.bad and night.released:
            wrong.append(f"a bad night was released as {night.served}")
        if not night.bad and night.code not in (0, _REFUSED):
            wrong.append(f"a good night ended with {night.code}: {' '.join(said.split())[-300:]}")
        if night.code == 0 and not night.released and f"version {night.served} " not in said:
            wrong.append("it ended with 0, released nothing and does not say which version is served")
        if night.code == _REFUSED and "not blessed: " not in said:
            wrong.append("it was refused, and does not say why")
        if night.code != 0 and night.released:
            wrong.append(f"it ended with {night.code} and released {night.served}")
        return wrong + self._half_pushed()

    def _half_pushed(self) -> list[str]:
        """Return what is not whole among all that readers may take."""
        wrong = []
        released = marker.released(self._places.edge)
        for version in released:
            try:
                made = marker.read(self._places.edge, version)
                changed = {name: altered(part.path, part.files) for name, part in made.parts().items()}
            except (OSError, PushError) as error:
                wrong.append(f"version {version}: {error}")
                continue
            wrong += [f"{name} {version}: {files[0]} is not as delivered" for name, files in changed.items() if files]
        for folder in self._places.of().values():
            present = [int(path.name) for path in Path(folder).glob("[0-9]*")]
            wrong += [f"{folder}/{version} has no marker" for version in sorted(set(present) - set(released))]
        wrong += [f"{path} is left" for path in self._workdir.pushed.rglob(".*") if ".claims" not in path.parts]
        if released:
            bundle = f"{self._places.edge}/{released[-1]}"
            if (code := self._workdir.command("verify", bundle).code) != 0:
                wrong.append(f"`edgetune verify {bundle}` ended with {code}")
        return wrong

    def _left(self, most_temporary: int) -> list[str]:
        """Return processes, and temporary files beyond those of a killed run, which the next one removes."""
        left = self._workdir.left_processes()
        wrong = [f"the processes {left} are left"] if left else []
        names = sorted(path.name for path in self._workdir.temporary.iterdir())
        if len(names) > most_temporary:
            wrong.append(f"temporary files are left: {', '.join(names)}")
        return wrong

    def _collect(self, night: Night) -> None:
        where = ["--workdir", str(self._workdir.folder), "--keep", str(self._keep), "--days", "0"]
        ended = self._workdir.command("gc", *where, "--delete")
        night.collected = True
        if ended.code != 0:
            night.wrong.append(f"`edgetune gc` ended with {ended.code}")
        if newest(self._places)[1] != night.served:
            night.wrong.append("`edgetune gc` changed what is served")
        night.wrong += [f"after gc: {what}" for what in self._half_pushed()]


def _row(night: Night) -> str:
    served = f"{night.served}{', new' if night.released else ''}" if night.served else "–"
    cells = [night.number, night.images, night.bad or "–", night.killed or "–", night.code]
    cells += [f"{night.seconds:.0f}", f"{night.processor:.0f}", served]
    cells += [f"{night.megabytes:.0f}{' after gc' if night.collected else ''}", "; ".join(night.wrong) or "–"]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
