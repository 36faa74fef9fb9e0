"""Run many nights in one workdir, some of them bad and some of them killed, and check what is left after each.

    python -m benchmarks.runs.soak FOLDER [--nights 30] [--seed 1] [--keep 5] [--resume]

Every night the small pipeline on the embedded digits runs on other images: the data grow and shrink in waves of seven
nights, and most images of a night were there the night before. One night in five is bad: labels are shuffled, files
are broken, or the folder of a class is missing. One run in four is killed, at a component, a moment and with a signal
chosen by chance (KILL, TERM, INT), and then run again, as a supervisor would. Every seventh night `edgetune gc` removes
what it may. Checked are:

- a good night ends with 0 and a model of this night's images is served, by their digest, or with 7, the gate's name and
  the version from before, which may happen in one good night of five;
- a bad night ends with the error or the refusal that is due, and nothing new is released; no night ends as a defect;
- a run that is to be killed is killed, unless it ends before that as it may;
- after each night, every version is as its marker says, what is served has a marker, and `edgetune verify` accepts it;
  no part of a push, no process and no temporary file is left;
- after `gc`, the last versions that it keeps are there, and all that the last released model was made of and is
  compared by;
- over all nights, seconds and processor seconds of an undisturbed good night stay as they were (medians of the last ten
  against the first ten), and so does the size of the workdir after `gc`, which is always at the same point of a wave
  (line of least squares); of eight nights or more, one was killed.

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
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.lib.measure import cpu_name
from benchmarks.lib.nights import BROKEN, ENDS, LABELS, MISSING, Night, lost_by_gc, over_all, wrong_end, wrong_night
from benchmarks.lib.pushed import half_pushed
from benchmarks.lib.small_runs import CLASSES, MOMENTS, NAME, SETTINGS, Kill, Workdir
from edgetune.components.common.names import EXAMPLES_KEY, IMAGE_EXAMPLE_GEN
from edgetune.modules.data.digits import write_digits
from edgetune.modules.release import marker
from edgetune.modules.release.release import newest
from edgetune.pipeline.metadata.outcome import read_outcome
from edgetune.pipeline.metadata.store import connection, open_store

_SETTINGS = (
    *SETTINGS,
    "training.head.epochs=6",
    "training.fine_tune.epochs=0",
    "evaluation.min_accuracy=0.7",
    "evaluation.compare_days=0",
    "edge.variants=[float32]",
    "infra.originals=4",
)
BAD = (LABELS, BROKEN, MISSING)
_FEWEST, _MOST, _WAVE = 30, 50, 7
"""Images of a class, at least and at most, and nights from one low to the next."""
_BAD_IN, _KILLED_IN, _WEEK = 5, 4, 7
_BROKEN = 0.2
"""Share of files that are broken in a night of broken files; `data.max_rejected` is 0.05."""


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
        self._resumed = self._record.exists()
        self._all, self._data = write_digits(folder / "all"), folder / "images"
        self._workdir = Workdir(folder, self._data, _SETTINGS)
        self._places = self._workdir.places

    def night(self) -> Night:
        """Run the next night."""
        number = len(self.nights) + 1
        chance = random.Random(f"{self._seed}/{number}")  # noqa: S311 - no secret
        bad = BAD[number // _BAD_IN % len(BAD)] if number % _BAD_IN == 0 else ""
        night = Night(number, self._write_images(number, bad, chance), bad, repeated=self._resumed)
        self._resumed = False
        before = newest(self._places)
        kill = self._kill(chance) if number > 1 and chance.random() < 1 / _KILLED_IN else None
        ended = self._workdir.run(kill)
        if kill and (what := wrong_end(signal.Signals(kill.number).name.removeprefix("SIG"), bad, ended.code)):
            night.wrong.append(what)
        if kill and ended.code in ENDS.values():
            night.killed = str(kill)
            night.wrong += [f"killed: {what}" for what in self._left(most_temporary=1)]
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
        name = chance.choice(sorted(ENDS))
        return Kill(node.id, chance.choice(MOMENTS), signal.Signals[f"SIG{name}"], node.computed_seconds)

    def _wrong(self, night: Night, before: tuple[int | None, int | None]) -> list[str]:
        """Return what is not as it should be after the last run of a night, and note what is served."""
        wrong = self._left(most_temporary=0)
        model, night.served = newest(self._places)
        if model != night.served:
            wrong.append(f"SavedModel {model} is served, and the newest release is {night.served}")
        night.released = night.served != before[1]
        examples = read_outcome(self._workdir.database, NAME).node(IMAGE_EXAMPLE_GEN).artifact(EXAMPLES_KEY)
        night.data = str(examples.custom_properties.get("data_digest", "")) if examples else ""
        if night.served is not None:
            bundle = json.loads(Path(self._places.edge, str(night.served), "bundle.json").read_text())
            night.served_data = bundle["lineage"]["data_digest"]
        earlier = [other.number for other in self.nights if not other.bad and other.data == night.data]
        if night.data and earlier:
            wrong.append(f"its images have the digest of those of night {earlier[0]}")
        wrong += wrong_night(night, self._workdir.last_said())
        return wrong + self._half_pushed()

    def _half_pushed(self) -> list[str]:
        """Return what is not whole among all that readers may take."""
        wrong = half_pushed(self._places)
        released = marker.released(self._places.edge)
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
        before = marker.released(self._places.edge)
        ended = self._workdir.command("gc", *where, "--delete")
        night.collected = True
        night.wrong += lost_by_gc(before, marker.released(self._places.edge), self._keep)
        if ended.code != 0:
            night.wrong.append(f"`edgetune gc` ended with {ended.code}")
        if newest(self._places)[1] != night.served:
            night.wrong.append("`edgetune gc` changed what is served")
        night.wrong += [f"after gc: {what}" for what in [*self._half_pushed(), *self._lost_of_last_release()]]

    def _lost_of_last_release(self) -> list[str]:
        """Return the folders of the last released model, and of all that it was released with, that are empty."""
        released = marker.released(self._places.edge)
        if not released:
            return []
        made = marker.read(self._places.edge, released[-1])
        store = open_store(connection(None, self._workdir.database))
        folders = [artifact.uri for artifact in store.get_artifacts_by_id([int(one) for one in made.inputs.values()])]
        return [f"{folder} is gone" for folder in [*folders, made.evaluation] if not any(Path(folder).rglob("*"))]


def _row(night: Night) -> str:
    served = f"{night.served}{', new' if night.released else ''}" if night.served else "–"
    cells = [night.number, night.images, night.bad or "–", night.killed or "–", night.code]
    cells += [f"{night.seconds:.0f}", f"{night.processor:.0f}", served]
    cells += [f"{night.megabytes:.0f}{' after gc' if night.collected else ''}", "; ".join(night.wrong) or "–"]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
