"""`edgetune verify` and `edgetune predict`: check an edge bundle and use its models."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetune.modules.core.child_process import hide_gpus
from edgetune.modules.core.errors import BundleError, ConfigError, DataError
from edgetune.modules.core.untrusted_text import for_terminal
from edgetune.modules.core.wording import counted
from edgetune.pipeline import api

if TYPE_CHECKING:
    from edgetune.modules.bundle.predict import Classifier


public_key_option = click.option(
    "--public-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="PEM file of the key that must have signed the bundle.",
)
sign_tool_option = click.option(
    "--sign-tool", metavar="COMMAND", help="What checks signatures, by name or path.  [default: model_signing]"
)


@click.command(short_help="Check everything of an edge bundle: files, labels, models, answers, signature.")
@click.argument("bundle", type=click.Path(path_type=Path))
@public_key_option
@sign_tool_option
@click.option("--ignore-signature", is_flag=True, help="Do not check the signature of a signed bundle.")
def verify(bundle: Path, public_key: Path | None, sign_tool: str | None, ignore_signature: bool) -> None:
    """Check everything of an edge bundle, and print each result, with a remedy for what is wrong.

    BUNDLE is the folder of a pushed bundle, with its bundle.json. The exit code is 9 if anything is wrong, also if the
    bundle is signed and its signature was not checked.
    """
    if ignore_signature and public_key is not None:
        raise ConfigError("--ignore-signature and --public-key exclude each other", "leave out one of them")
    hide_gpus()
    checks = api.verify(
        bundle, public_key=public_key, sign_tool=sign_tool, ignore_signature=ignore_signature, report=click.echo
    )
    if failed := [check for check in checks if check.outcome == "failed"]:
        raise BundleError(f"{bundle}: {len(failed)} of {len(checks)} checks failed", "see the failed checks above")


@click.command(short_help="Classify images with a model of an edge bundle.")
@click.argument("model", type=click.Path(path_type=Path), metavar="BUNDLE_OR_TFLITE")
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="IMAGE...")
@click.option("--variant", metavar="NAME", help="Variant of a bundle.  [default: float32, else the first by name]")
@click.option("--top", type=int, default=3, show_default=True, metavar="K", help="Number of classes to print.")
@click.option(
    "--threshold",
    metavar="auto|P",
    help="Name answers below this probability unsure; auto: below their class's threshold in the bundle.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@public_key_option
@sign_tool_option
def predict(
    model: Path,
    images: tuple[Path, ...],
    variant: str | None,
    top: int,
    threshold: str | None,
    as_json: bool,
    public_key: Path | None,
    sign_tool: str | None,
) -> None:
    """Classify images, read as the pipeline reads them.

    BUNDLE_OR_TFLITE is the folder of a bundle, or one model; IMAGE is an image file or a folder of images. An image
    that cannot be read is named, the others are classified, and the exit code is 3. Unsure answers do not change the
    exit code; in the JSON document their label is null.
    """
    if top < 1:
        raise ConfigError(f"--top {top}: must be at least 1", "give the number of classes to print")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    hide_gpus()
    with _quiet():
        classifier = api.load_bundle(model, variant, public_key=public_key, sign_tool=sign_tool)
    thresholds = None if threshold is None else classifier.thresholds_of(threshold)
    results: list[dict[str, Any]] = []
    unreadable = 0
    for path, found in _answers(classifier, images, top):
        if isinstance(found, DataError):
            unreadable += 1
            click.echo(f"edgetune: {for_terminal(found.cause)}", err=True)
            results.append({"image": path, "error": found.cause})
            continue
        label, probability = found[0]
        accepted = None if thresholds is None else classifier.accepts(label, probability, thresholds)
        if as_json:
            classes = [{"label": name, "probability": p} for name, p in found]
            answer = {} if accepted is None else {"label": label if accepted else None, "accepted": accepted}
            results.append({"image": path, **answer, "classes": classes})
        else:
            click.echo(_line(path, found, unsure=accepted is False))
    if as_json:
        document = {"model": str(classifier.path), "labels": classifier.labels, "images": results}
        click.echo(json.dumps(document, indent=1))
    if unreadable:
        what = counted(unreadable, "image or folder", "images or folders")
        raise DataError(f"{what} could not be read, named above")


def _answers(classifier: Classifier, paths: Sequence[Path], top: int) -> Iterator[tuple[str, Any]]:
    """Yield each image's path, and its classes with their probabilities or why it was not classified."""
    from edgetune.modules.bundle.predict import images_in

    for given in paths:
        try:
            for path in images_in([given]):
                try:
                    yield str(path), classifier.best(classifier.classify(path), top)
                except DataError as error:
                    yield str(path), error
        except DataError as error:  # the folder itself
            yield str(given), error


def _line(path: str, classes: list[tuple[str, float]], unsure: bool) -> str:
    from edgetune.modules.bundle.files import shown

    answers = [f"{shown(label)} {probability:.4f}" for label, probability in classes]
    return "  ".join([shown(path), *(["unsure"] if unsure else []), *answers])


@contextmanager
def _quiet() -> Iterator[None]:
    """Discard what TensorFlow and LiteRT print on standard error while they start: it is not part of the answer."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
