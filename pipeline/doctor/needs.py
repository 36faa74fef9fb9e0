"""What a configuration needs of a machine: data, weights, an engine with Java, credentials, a key that signs."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.data.digits import EMBEDDED
from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.run import BeamSettings, ModelSettings, PushSettings, RunSettings
from edgetune.modules.storage import filesystem
from edgetune.pipeline.doctor.check import Check
from edgetune.pipeline.metadata.store import PASSWORD
from edgetune.pipeline.preflight.engine import check_engine

KERAS_WEIGHTS = "https://storage.googleapis.com/tensorflow/keras-applications/"
_SECONDS = 3.0
_SIZES = (96, 128, 160, 192, 224)
_PREFIXES = {
    "mobilenet_v3_small": "weights_mobilenet_v3_small_{kind}224_{alpha}_float",
    "mobilenet_v3_large": "weights_mobilenet_v3_large_{kind}224_{alpha}_float",
    "mobilenet": "mobilenet_{tenths}_{size}_tf_no_top",
    "mobilenet_v2": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{size}_no_top",
}
"""Beginnings of the names of Keras's cached files of weights without a classifier, where they depend on more than the
architecture."""
_TENTHS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}
"""How MobileNet's files name the width multiplier."""


def data(path: str) -> Check:
    """Check that the data are there; `edgetune inspect` looks into them."""
    if path == EMBEDDED or filesystem.is_remote(path):
        return Check("data", "ok", f"{path}: {'part of edgetune' if path == EMBEDDED else 'looked at by the run'}")
    if not Path(path).exists():
        return Check("data", "missing", f"{path}: does not exist", "correct data.path or --data")
    if not os.access(path, os.R_OK):
        return Check("data", "missing", f"{path}: cannot be read", "check its permissions")
    return Check("data", "ok", f"{path}; `edgetune inspect` says what a run would read")


def answers(url: str) -> bool:
    """Return whether a server answers a request within some seconds, whatever it answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def weights(model: ModelSettings, cache: Path, is_reachable: Callable[[str], bool] = answers) -> Check:
    """Check that the pretrained weights are here, or can be downloaded.

    Args:
        model: The network.
        cache: Keras's folder of downloaded models.
        is_reachable: Tells whether a URL can be reached.
    """
    if model.weights == "none":
        return Check("weights", "ok", "none: the network begins with random ones")
    if model.weights == "imagenet":
        begin = cached_name(model)
        found = sorted(path.name for path in cache.glob("*.h5") if path.name.startswith(begin))
        if found:
            return Check("weights", "ok", f"{cache / found[0]}")
        if is_reachable(KERAS_WEIGHTS):
            return Check("weights", "ok", f"imagenet, of {model.backbone}: Keras downloads them in the first run")
        return Check(
            "weights",
            "missing",
            f"imagenet, of {model.backbone}: not in {cache}, and {KERAS_WEIGHTS} does not answer",
            f"connect to the network, or put the file that begins with {begin} there",
        )
    if "://" in model.weights:
        return Check("weights", "ok", f"{model.weights}: looked up in TF Hub's cache by the run")
    path = Path(model.weights)
    if not path.exists():
        return Check("weights", "missing", f"{path}: does not exist", "correct model.weights")
    if model.weights_sha256 and path.is_file():
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        if digest.hexdigest() != model.weights_sha256:
            text = f"{path}: has SHA-256 {digest.hexdigest()}, and not model.weights_sha256"
            return Check("weights", "missing", text, "fetch the weights again")
    return Check("weights", "ok", str(path))


def cached_name(model: ModelSettings) -> str:
    """Return the beginning of the name of Keras's cached file of ImageNet weights."""
    pattern = _PREFIXES.get(model.backbone)
    if pattern is None:
        name = model.backbone.replace("efficientnet_v2_", "efficientnetv2-").replace("efficientnet_b", "efficientnetb")
        return name + "_"
    largest = ARCHITECTURES[model.backbone].image_size
    return pattern.format(
        alpha=model.alpha,
        tenths=_TENTHS.get(model.alpha, ""),
        size=model.image_size if model.image_size in _SIZES else largest,
        kind="minimalistic_" if model.minimalistic else "",
    )


def engine(beam: BeamSettings, folders: dict[str, str]) -> Iterator[Check]:
    """Check the engine of the data components, and Java, which only some need."""
    java = shutil.which("java")
    if beam.runner == "direct":
        yield Check("engine", "ok", "this machine")
        there = java or "not installed"
        yield Check("Java", "ok", f"{there}; only Flink or Spark without a running job server need it (beam.runner)")
        return
    from edgetune.pipeline.beam.flags import beam_flags

    try:
        check_engine(beam, beam_flags(beam), folders)
    except ConfigError as error:
        yield Check("engine", "missing", error.cause, error.remedy)
    else:
        yield Check("engine", "ok", f"{beam.runner} answers")
    yield Check("Java", "ok", java or "not installed, and not needed unless the engine above says so")


def credentials(settings: RunSettings) -> Iterator[Check]:
    """Check what is needed to reach places that are not on this machine."""
    named = (settings.data.path, settings.state.root, settings.push.saved_model, settings.push.edge)
    places = [place for place in named if place and filesystem.is_remote(place)]
    if not places and settings.state.metadata is None and settings.beam.runner != "dataflow":
        yield Check("credentials", "ok", "none are needed: all places are on this machine")
    if settings.beam.runner == "dataflow" or any(place.startswith("gs://") for place in places):
        yield _google()
    if [place for place in places if place.startswith("s3://")]:
        absent = [name for name in ("boto3", "tensorflow_io") if importlib.util.find_spec(name) is None]
        if absent:
            text = f"for S3, {' and '.join(absent)} are not installed"
            yield Check("credentials", "missing", text, f"python -m pip install {' '.join(absent)}")
        else:
            yield Check("credentials", "ok", "boto3 looks for those of S3; the run tries them out")
    if settings.state.metadata is not None and not os.environ.get(PASSWORD):
        text = f"{PASSWORD} is not set, so the database of state.metadata is asked without a password"
        yield Check("credentials", "warning", text, f"export {PASSWORD} if the database wants one")


def _google() -> Check:
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        _, project = google.auth.default()
    except GoogleAuthError as error:
        remedy = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
        return Check("credentials", "missing", f"no Google Cloud credentials: {str(error).splitlines()[0]}", remedy)
    return Check("credentials", "ok", f"of Google Cloud, project {project or 'not named'}")


def signing(push: PushSettings) -> Check:
    """Check that what is pushed can be signed, if it is to be."""
    if push.sign_key is None:
        return Check("signing", "ok", "nothing is signed (push.sign_key)")
    from edgetune.modules.bundle.signing import check_signer

    try:
        check_signer(push.sign_key, push.sign_tool)
    except ConfigError as error:
        return Check("signing", "missing", error.cause, error.remedy)
    return Check("signing", "ok", f"with {push.sign_key}")


def check(settings: RunSettings) -> Iterator[Check]:
    """Yield all of these."""
    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    yield data(settings.data.path)
    yield weights(settings.model, cache)
    folders = {"data.path": settings.data.path, "state.root": settings.state.root or ""}
    yield from engine(settings.beam, folders)
    yield from credentials(settings)
    yield signing(settings.push)
    node = shutil.which("npm")
    yield Check("Node.js", "ok", f"{node or 'not installed'}; only `edgetune demo` needs it")
