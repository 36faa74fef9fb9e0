"""Nights of `benchmarks.runs.soak`, and what may be said of each and of all."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

LABELS, BROKEN, MISSING = "labels", "broken", "missing"
REFUSED = 7
ENDS = {"KILL": -9, "TERM": 143, "INT": 130}
"""Exit code of a run that was ended by a signal."""
_BAD_ENDS = {
    LABELS: {5, REFUSED},  # nothing can be learned, or too little was
    BROKEN: {3},
    MISSING: {3},
}
_DEFECT, _DEFECT_WORDS = 1, "edgetune: a defect"
_GATE = re.compile(r"^not blessed: .*?\b((?:evaluation|edge|infra)\.\w+)", re.MULTILINE)
_SLOWER, _LATER, _LARGER = 1.3, 1.5, 1.3
"""Greatest ratios: of the medians of processor seconds and of seconds, and by which the size may grow after `gc`."""
_FEWEST_FOR_KILLS = 8
_REFUSED_IN = 5
"""Of so many good nights one may be refused: the gates have few images to judge by."""


@dataclass
class Night:
    """What happened in a night: a line of soak.jsonl."""

    number: int
    images: int
    bad: str
    """One of `LABELS`, `BROKEN` and `MISSING`; empty for a good night."""
    killed: str = ""
    code: int = 0
    """How the last run of the night ended."""
    seconds: float = 0.0
    processor: float = 0.0
    """Seconds, of the last run alone."""
    served: int | None = None
    released: bool = False
    repeated: bool = False
    """Whether it is the first one after `--resume`: its models may have been released before the soak was killed."""
    data: str = ""
    """`data_digest` of the images that this night's run read; empty if it read none."""
    served_data: str = ""
    """`data_digest` of the bundle that is served."""
    gate: str = ""
    """The first gate that refused the model."""
    megabytes: float = 0.0
    """Size of the workdir at the end, after `gc` if there was one."""
    collected: bool = False
    wrong: list[str] = field(default_factory=list)


def wrong_end(kill: str, bad: str, code: int) -> str:
    """Return what is wrong with the end of a run that was to be killed; empty if nothing is.

    Args:
        kill: Name of the signal.
        bad: As of a `Night`.
        code: How the run ended.
    """
    # It may end before it comes to the component at which it is killed.
    before = _BAD_ENDS[bad] if bad else {REFUSED}
    return "" if code == ENDS[kill] or code in before else f"it was to be killed with {kill}, and ended with {code}"


def wrong_night(night: Night, said: str) -> list[str]:
    """Return what is not as it should be in how a night ended, and note the gate that refused its model.

    Args:
        night: With all that was found out after its last run.
        said: By the last run.
    """
    wrong = []
    if night.code == _DEFECT or _DEFECT_WORDS in said:
        wrong.append("a defect of edgetune")
    if night.bad:
        if night.code not in _BAD_ENDS[night.bad]:
            wrong.append(f"a bad night ({night.bad}) ended with {night.code}")
        if night.released:
            wrong.append(f"a bad night was released as {night.served}")
    elif night.code not in (0, REFUSED):
        wrong.append(f"a good night ended with {night.code}: {' '.join(said.split())[-300:]}")
    elif night.code == 0:
        if not night.released and not night.repeated:
            wrong.append("a good night ended with 0 and released nothing")
        if not night.data or night.served_data != night.data:
            wrong.append(f"it ended with 0, and what is served, {night.served}, is not of this night's images")
    if night.code == 0 and f"version {night.served} " not in said:
        wrong.append("it ended with 0, and does not say which version is served")
    if night.code == REFUSED:
        found = _GATE.search(said)
        night.gate = found[1] if found else ""
        if not found:
            wrong.append("it was refused, and does not name a gate")
    if night.code != 0 and night.released:
        wrong.append(f"it ended with {night.code} and released {night.served}")
    return wrong


def lost_by_gc(before: Sequence[int], after: Sequence[int], keep: int) -> list[str]:
    """Return what `gc` must not have removed.

    Args:
        before: Versions with a marker before it, sorted.
        after: Those after it.
        keep: Number of versions that stay, of which the last is served.
    """
    return [f"gc removed version {version}" for version in before[-keep:] if version not in after]


def over_all(nights: Sequence[Night]) -> list[str]:
    """Print what must stay as it was over all nights, and return what did not."""
    wrong = []
    good = [night for night in nights if not night.bad]
    quiet = [night for night in good if not night.killed]
    part = min(10, len(quiet) // 2)
    if part:
        for what, most in (("processor", _SLOWER), ("seconds", _LATER)):
            values = [getattr(night, what) for night in quiet]
            first, last = statistics.median(values[:part]), statistics.median(values[-part:])
            print(f"{what} of undisturbed good nights, medians: first {part} {first:.1f} s, last {part} {last:.1f} s")
            if last > most * first:
                wrong.append(f"nights become slower ({what}): {first:.1f} s, then {last:.1f} s")
    collected = [night for night in nights if night.collected]
    if collected:
        print(f"MB after gc: {', '.join(f'{night.megabytes:.0f}' for night in collected)}")
    if len(collected) > 1:
        slope, start = statistics.linear_regression(
            [night.number for night in collected], [night.megabytes for night in collected]
        )
        first, last = (start + slope * night.number for night in (collected[0], collected[-1]))
        if last > _LARGER * first:
            wrong.append(f"the workdir grows by {slope:.1f} MB a night: from {first:.0f} MB to {last:.0f} MB after gc")
    refused = [night.gate or "?" for night in good if night.code == REFUSED]
    if len(refused) > max(1, len(good) // _REFUSED_IN):
        wrong.append(f"{len(refused)} of {len(good)} good nights were refused, by {', '.join(sorted(set(refused)))}")
    if len(nights) >= _FEWEST_FOR_KILLS and not any(night.killed for night in nights):
        wrong.append(f"none of {len(nights)} nights was killed")
    if nights and not any(night.released for night in nights):
        wrong.append("nothing was ever released")
    return wrong
