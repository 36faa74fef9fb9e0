"""Judge how a SavedModel answers when it is loaded as a server loads it.

It gets original files of the test split, stored images and broken ones, in a process of its own
(`modules.serving.infra_check`), and must answer as the Evaluator measured.
"""

from __future__ import annotations

import functools
import tempfile
from collections import Counter
from collections.abc import Mapping
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
_REMEDY = "serve the model by hand as docs/serving.md describes, or report this as a bug in edgetune"
_WORDS = {
    originals.GONE: "gone or not readable",
    originals.CHANGED: "changed since",
    originals.RECORDS: "in TFRecord files",
    originals.REFUSED: "of a kind that the server must refuse",
}


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
    chosen = originals.balanced(answers, settings.originals or _STORED)
    wanted = {str(answers.image_id[position]): str(answers.label[position]) for position in chosen}
    stored = originals.examples(examples_uri, wanted)
    states: Counter[str] = Counter()
    not_asked: list[str] = []
    images: list[Image] = []
    refused: list[tuple[str, str]] = []
    report("infra validation: reading original files")
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        for position in chosen:
            image_id = str(answers.image_id[position])
            if image_id not in stored:
                continue
            example = stored[image_id]
            name, asked = shown(originals.source_of(example)) or image_id[:12], None
            if settings.originals:
                original = originals.read_original(example, location)
                states[original.state] += 1
                if original.why:
                    not_asked.append(f"{name}: {shown(original.why)}")
                if original.content:
                    file = _write(folder, f"{len(images)}.original", original.content)
                    if original.state == originals.REFUSED:
                        refused.append((name, file))
                    else:
                        asked = file
            file = _write(folder, f"{len(images)}.example", example)
            images.append(Image(name, wanted[image_id], _expected(answers, position), file, asked))
        report(f"infra validation: {counted(len(images), 'image')}, in a process of its own")
        request = Request(model, saved_model.read_labels(model), images, refused)
        result = infra_check.check(request, Bounds(settings.max_seconds, settings.max_memory_mb * _MB))
    missing = len(chosen) - len(stored)
    found = gates(result, len(images), states, missing, settings)
    facts = {
        "blessed": blessed(found),
        "problems": problems(result, len(images), missing),
        "images": len(images),
        "originals": {state: states[state] for state in (originals.ASKED, *_WORDS)},
        "not_asked": not_asked[:_EXAMPLES],
        "compared": result.findings.compared,
        "largest_difference": result.findings.difference,
        "tolerance": TOLERANCE,
        "refused_requests": result.findings.refused,
        "load_seconds": result.findings.load_seconds,
        "seconds": result.seconds,
        "peak_memory": result.peak_memory,
    }
    return found, facts


def gates(result: Result, images: int, states: Mapping[str, int], missing: int, settings: InfraSettings) -> list[Gate]:
    """Return the conditions for a blessing, as they were met.

    Args:
        result: Of the process.
        images: Number of test images that it was asked about.
        states: Number of original files by what became of them.
        missing: Number of test images that have an answer of the Evaluator and no example.
        settings: The bounds.
    """
    found, difference = problems(result, images, missing), result.findings.difference
    named = "; ".join(found[:_NAMED]) + (f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
    made = functools.partial(Gate, subject=SAVED_MODEL, at_most=True)
    bounds = (
        ("infra.max_seconds", "seconds to load it and to ask it everything", settings.max_seconds, result.seconds),
        ("infra.max_memory_mb", "peak memory of the process in MB", settings.max_memory_mb, result.peak_memory / _MB),
    )
    reached = any(measured > needed for _, _, needed, measured in bounds)
    # What ended before anything was compared is refused for that reason.
    compared = None if difference is None and (found or reached) else difference is not None and difference <= TOLERANCE
    return [
        made(
            name=SERVED,
            what="problems when it is served",
            needed=0,
            passed=not found,
            measured=len(found) + result.findings.more_problems,
            images=images,
            whole=True,
            reason="; ".join(text for text in (named, described(states)) if text),
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


def problems(result: Result, images: int, missing: int) -> list[str]:
    """Return what went wrong, one text each, but for bounds that were reached: they have gates of their own."""
    found = [shown(problem) for problem in result.findings.problems]
    if missing:
        found.insert(0, f"the test split lacks {counted(missing, 'image')} that the Evaluator has an answer to")
    if not images:
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


def _expected(answers: Answers, position: int) -> list[float]:
    assert answers.probabilities is not None
    return [float(value) for value in answers.probabilities[position]]


def _write(folder: str, name: str, content: bytes) -> str:
    path = Path(folder, name)
    path.write_bytes(content)
    return str(path)
