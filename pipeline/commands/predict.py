"""`edgetune predict`: classify images with a model of an edge bundle, or a SavedModel."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetune.modules.core.child_process import hide_gpus
from edgetune.modules.core.errors import ConfigError, DataError
from edgetune.modules.core.untrusted_text import for_terminal, printable
from edgetune.modules.core.wording import counted
from edgetune.pipeline.commands import model_options

if TYPE_CHECKING:
    from edgetune.modules.bundle.signing import Trust


@click.command(short_help="Classify images with a model of an edge bundle, or a SavedModel.")
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL")
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="IMAGE...")
@model_options.variant
@click.option("--top", type=int, default=3, show_default=True, metavar="K", help="Number of classes to print.")
@model_options.threshold
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@click.option("--jsonl", is_flag=True, help="Print one JSON object a line instead, each when it is done.")
@model_options.trust
def predict(
    model: Path,
    images: tuple[Path, ...],
    variant: str | None,
    top: int,
    threshold: str | None,
    as_json: bool,
    jsonl: bool,
    trust: Trust,
) -> None:
    """Classify images, read as the pipeline reads them.

    MODEL is the folder of an edge bundle, a .tflite file or the folder of a SavedModel. IMAGE is an image file, a
    folder of images, or - for standard input: an image, or names of images, one on each line or before each NUL. An
    image that cannot be read is named, the others are classified, and the exit code is 3. Answers that are not accepted
    are called unsure; in JSON their label is null. They do not change the exit code.
    """
    if top < 1:
        raise ConfigError(f"--top {top}: must be at least 1", "give the number of classes to print")
    if as_json and jsonl:
        raise ConfigError("--json and --jsonl exclude each other", "leave out one of them")
    from edgetune.modules.contracts.thresholds import accepts, thresholds_of
    from edgetune.pipeline.classify.images import listed
    from edgetune.pipeline.classify.model import check_threshold, find, open_found
    from edgetune.pipeline.terminal.bar import bar, is_watched
    from edgetune.pipeline.terminal.quiet import quiet

    found = find(model, variant)
    check_threshold(found, threshold)
    named, total = listed(images)
    hide_gpus()
    with quiet():
        opened = open_found(found, trust)
    labels = opened.labels
    limits = None if threshold is None else thresholds_of(threshold, opened.thresholds, len(labels), str(opened.path))
    results: list[dict[str, Any]] = []
    unreadable = 0
    with bar("images", total, sys.stderr if is_watched(prints=not as_json) else None) as done:
        for name, answer in opened.answers(named):
            done()
            if isinstance(answer, DataError):
                unreadable += 1
                click.echo(f"edgetune: {for_terminal(answer.cause)}", err=True)
                result: dict[str, Any] = {"image": name, "error": answer.cause}
            else:
                order = (-answer).argsort(kind="stable")[:top]
                classes = [{"label": labels[place], "probability": float(answer[place])} for place in order]
                result = {"image": name, "classes": classes}
                if limits is not None:
                    accepted = accepts(limits, int(order[0]), classes[0]["probability"])
                    result = {"image": name, "label": classes[0]["label"] if accepted else None} | {
                        "accepted": accepted,
                        "classes": classes,
                    }
            if as_json:
                results.append(result)
            elif jsonl:
                click.echo(json.dumps(result))
            elif "error" not in result:
                click.echo(_line(result))
    if as_json:
        click.echo(json.dumps({"model": str(opened.path), "labels": labels, "images": results}, indent=1))
    if unreadable:
        what = counted(unreadable, "image or folder", "images or folders")
        raise DataError(f"{what} could not be read, named above")


def _line(result: dict[str, Any]) -> str:
    answers = [f"{printable(each['label'])} {each['probability']:.4f}" for each in result["classes"]]
    unsure = ["unsure"] if result.get("accepted") is False else []
    return "  ".join([printable(result["image"]), *unsure, *answers])
