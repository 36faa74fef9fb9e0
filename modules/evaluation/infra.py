"""Judge how a SavedModel answers when it is loaded as a server loads it.

It gets original files of the test split, stored images and broken ones, in a process of its own
(`modules.serving.infra_check`), and must answer as the Evaluator measured.
"""

from __future__ import annotations

import functools
import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetune.modules.bundle.files import shown
from edgetune.modules.core.progress import report
from edgetune.modules.core.wording import counted
from edgetune.modules.evaluation import originals
from edgetune.modules.evaluation.answers import Answers, read_answers
from edgetune.modules.evaluation.gates import SAVED_MODEL, SERVED, Gate, blessed
from edgetune.modules.evaluation.originals import Location
from edgetune.modules.serving import infra_check, saved_model
from edgetune.modules.serving.infra_check import Bounds, Result
from edgetune.modules.serving.infra_probe import TOLERANCE, Image, Request
from edgetune.modules.settings.run import InfraSettings

_STORED = 32  # images if no originals are wanted
_NAMED = 3
_MB = 1 << 20
_EXAMPLES = 10  # originals that were not asked, described in the facts
_REMEDY = (
    "serve the model by hand as docs/serving.md describes, or report this as a bug in edgetune; "
    "a run with another infra.originals asks it again"  # and does not take this verdict from the cache
)
_WORDS = {
    originals.GONE: "gone or not readable",
    originals.CHANGED: "changed since",
    originals.RECORDS: "in TFRecord files",
    originals.REFUSED: "of a kind that the server must refuse",
    originals.DAMAGED: "damaged for TensorFlow, which the server must refuse",
}


@dataclass
class Chosen:
    """The test images that are asked about."""

    images: list[Image] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Name and file of originals that the server must refuse."""
    states: Counter[str] = field(default_factory=Counter)
    """Number of originals by what became of them; empty if none are wanted."""
    not_asked: list[str] = field(default_factory=list)
    """Originals that are not asked, with the reason."""
    missing: int = 0
    """Number of images that have an answer of the Evaluator and no example."""


def validate(
    model: str, evaluation: str, examples_uri: str, location: Location, settings: InfraSettings
) -> tuple[list[Gate], dict[str, Any]]:
    """Ask the SavedModel, and judge its answers.

    Args:
        model: Folder or URL of the SavedModel.
        evaluation: A `ModelEvaluation` artifact of this model.
        examples_uri: The raw examples that it was evaluated on.
        location: Where their files are.
        settings: How many of them are asked, and the bounds.

    Returns:
        The gates, and the facts for `infra.json`: `blessed`, `problems`, `images`, `originals` (numbers of files that
        were asked, or why not), `not_asked` (some of them, with the reason), `compared`, `largest_difference`,
        `tolerance`, `refused_requests`, `load_seconds`, `seconds`, `peak_memory` in bytes.

    Raises:
        DataError: The answers or the examples cannot be read.
    """
    answers = read_answers(evaluation)
    report("infra validation: reading original files")
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        chosen = _choose(answers, examples_uri, location, settings.originals, Path(folder))
        report(f"infra validation: {counted(len(chosen.images), 'image')}, in a process of its own")
        request = Request(model, saved_model.read_labels(model), chosen.images, chosen.refused)
        result = infra_check.check(request, Bounds(settings.max_seconds, settings.max_memory_mb * _MB))
    found = gates(result, chosen, settings)
    facts = {
        "blessed": blessed(found),
        "problems": problems(result, chosen),
        "images": len(chosen.images),
        "originals": {state: chosen.states[state] for state in (originals.ASKED, *_WORDS)},
        "not_asked": chosen.not_asked[:_EXAMPLES],
        "compared": result.findings.compared,
        "largest_difference": result.findings.difference,
        "tolerance": TOLERANCE,
        "refused_requests": result.findings.refused,
        "load_seconds": result.findings.load_seconds,
        "seconds": result.seconds,
        "peak_memory": result.peak_memory,
    }
    return found, facts


def _choose(answers: Answers, examples_uri: str, location: Location, most: int, folder: Path) -> Chosen:
    """Choose test images, and write what is asked about them to a folder; if `most` is 0, without originals."""
    assert answers.probabilities is not None
    positions = originals.balanced(answers, most or _STORED)
    wanted = {str(answers.image_id[position]): str(answers.label[position]) for position in positions}
    examples = originals.examples(examples_uri, wanted)
    chosen = Chosen(missing=len(positions) - len(examples))
    for number, position in enumerate(positions):
        image_id = str(answers.image_id[position])
        if image_id not in examples:
            continue
        example, asked = examples[image_id], None
        name = shown(originals.source_of(example)) or image_id[:12]
        if most:
            original = originals.read_original(example, location)
            chosen.states[original.state] += 1
            if original.why:
                chosen.not_asked.append(f"{name}: {shown(original.why)}")
            if original.content:
                file = _write(folder / f"{number}.original", original.content)
                if original.state in (originals.REFUSED, originals.DAMAGED):
                    chosen.refused.append((name, file))
                else:
                    asked = file
        expected = answers.probabilities[position].astype(float).tolist()
        file = _write(folder / f"{number}.example", example)
        chosen.images.append(Image(name, wanted[image_id], expected, file, asked))
    return chosen


def gates(result: Result, chosen: Chosen, settings: InfraSettings) -> list[Gate]:
    """Return the conditions for a blessing, as they were met.

    Args:
        result: Of the process.
        chosen: What it was asked about.
        settings: The bounds.
    """
    images = len(chosen.images)
    found, difference = problems(result, chosen), result.findings.difference
    named = "; ".join(found[:_NAMED]) + (f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
    made = functools.partial(Gate, subject=SAVED_MODEL, at_most=True)
    seconds, memory = math.ceil(result.seconds), math.ceil(result.peak_memory / _MB)
    bounds = (
        ("infra.max_seconds", "seconds to load it and to ask it everything", settings.max_seconds, seconds),
        ("infra.max_memory_mb", "peak memory of the process in MB", settings.max_memory_mb, memory),
    )
    stopped = any(measured > needed for _, _, needed, measured in bounds)
    # A process that was stopped, or ended before it had compared anything, is refused for that reason alone.
    served = False if found else None if stopped else True
    compared = None if difference is None and (found or stopped) else difference is not None and difference <= TOLERANCE
    return [
        made(
            name=SERVED,
            what="problems when it is served",
            needed=0,
            passed=served,
            measured=len(found) + result.findings.more_problems,
            images=images,
            whole=True,
            reason="; ".join(text for text in (named, described(chosen.states)) if text),
            remedy="" if not found else _REMEDY,
        ),
        made(
            name="infra",
            what="largest difference of a probability from the measured one",
            needed=TOLERANCE,
            passed=compared,
            measured=difference,
            images=images,
            reason="" if difference is not None else "nothing was compared",
            remedy="" if compared is not False else _REMEDY,
        ),
        *(
            made(
                name=name,
                what=what,
                needed=needed,
                passed=measured <= needed,
                measured=measured,
                whole=True,
                reason="" if measured <= needed else f"stopped while {result.findings.doing}",
                remedy="" if measured <= needed else f"raise {name}, or use a smaller model",
            )
            for name, what, needed, measured in bounds
        ),
    ]


def problems(result: Result, chosen: Chosen) -> list[str]:
    """Return what went wrong, one text each, but for bounds that were reached: they have gates of their own."""
    found = [shown(problem) for problem in result.findings.problems]
    if chosen.missing:
        found.insert(0, f"the test split lacks {counted(chosen.missing, 'image')} that the Evaluator has an answer to")
    if not chosen.images:
        found.insert(0, f"nothing was asked: the {originals.SPLIT} split has no images")
    if result.end:
        found.insert(0, f"the process that serves it {shown(result.end)}")
    return found


def described(states: Mapping[str, int]) -> str:
    """Say in a few words what became of the original files."""
    total, asked = sum(states.values()), states.get(originals.ASKED, 0)
    if not total:
        return "stored images only"
    others = ", ".join(f"{states[state]} {words}" for state, words in _WORDS.items() if states.get(state))
    if not asked:
        return f"stored images only, since of {counted(total, 'original file')} none could be asked ({others})"
    return f"{asked} of {counted(total, 'original file')} asked" + (f" ({others})" if others else "")


def _write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)
