"""`edgetune verify` and `edgetune predict`: what is done with an edge bundle once it is pushed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.modules.core.child_process import hide_gpus
from edgetune.modules.core.errors import BundleError, ConfigError, DataError

if TYPE_CHECKING:
    from edgetune.modules.bundle.predict import Classifier

_TOOL = "model_signing"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the commands to those of the command line."""
    verify = commands.add_parser(
        "verify",
        help="check everything of an edge bundle: files, labels, models, their answers, its signature",
        description="Checks everything of an edge bundle, and says of each thing whether it is right or what is wrong "
        "and what to do. Exits with 9 if anything is wrong.",
    )
    verify.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a pushed bundle, with its bundle.json")
    verify.add_argument(
        "--public-key", type=Path, metavar="FILE", help="the bundle must be signed by the key that belongs to this PEM"
    )
    verify.add_argument(
        "--sign-tool", default=_TOOL, metavar="COMMAND", help="what checks signatures, by name or path; %(default)s"
    )
    verify.set_defaults(command=_verify)

    predict = commands.add_parser(
        "predict",
        help="classify images with a model of an edge bundle",
        description="Classifies images, read as the pipeline reads them. What cannot be read is named, the others are "
        "classified, and the exit code then is 3.",
    )
    predict.add_argument("model", type=Path, metavar="BUNDLE_OR_TFLITE", help="folder of a bundle, or one model")
    predict.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image files, and folders of them")
    predict.add_argument("--variant", metavar="NAME", help="default: float32, the reference, else the first by name")
    predict.add_argument("--top", type=int, default=3, metavar="K", help="classes to name, default: %(default)s")
    predict.add_argument("--json", action="store_true", help="print one JSON document instead")
    predict.set_defaults(command=_predict)


def _verify(options: argparse.Namespace) -> None:
    hide_gpus()
    from edgetune.modules.bundle.verify import verify

    checks = verify(
        options.bundle, options.public_key, options.sign_tool, report=lambda check: print(check, flush=True)
    )
    if failed := [check for check in checks if check.outcome == "failed"]:
        raise BundleError(f"{options.bundle}: {len(failed)} of {len(checks)} checks failed", "do as told above")


def _predict(options: argparse.Namespace) -> None:
    if options.top < 1:
        raise ConfigError(f"--top {options.top}: must be at least 1", "name how many classes to print")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    hide_gpus()
    with _quiet():
        from edgetune.modules.bundle.predict import open_model

        classifier = open_model(options.model, options.variant)
    results: list[dict[str, Any]] = []
    unreadable = 0
    for path, found in _answers(classifier, options.images, options.top):
        if isinstance(found, DataError):
            unreadable += 1
            print(f"edgetune: {found.cause}", file=sys.stderr)
            results.append({"image": path, "error": found.cause})
        elif options.json:
            results.append({"image": path, "classes": [{"label": name, "probability": p} for name, p in found]})
        else:
            print(_line(path, found), flush=True)
    if options.json:
        document = {"model": str(classifier.path), "labels": classifier.labels, "images": results}
        print(json.dumps(document, indent=1))
    if unreadable:
        raise DataError(f"{unreadable} images or folders could not be read, and are named above")


def _answers(classifier: Classifier, paths: list[Path], top: int) -> Iterator[tuple[str, Any]]:
    """Each image's path, and its classes with their probabilities or why it was not classified."""
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


def _line(path: str, classes: list[tuple[str, float]]) -> str:
    from edgetune.modules.bundle.files import shown

    return "  ".join([shown(path), *(f"{shown(label)} {probability:.4f}" for label, probability in classes)])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what TensorFlow and LiteRT say on standard error while they start: it is no part of the answer."""
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
