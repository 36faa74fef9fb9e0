"""The Python API: what `import edgetune` offers, and what the command line stands on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.modules.core.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from edgetune.modules.bundle.predict import Classifier
    from edgetune.modules.bundle.signing import Trust
    from edgetune.modules.bundle.verify import Check
    from edgetune.modules.settings.run import RunSettings
    from edgetune.pipeline.classify.evaluation import Evaluation
    from edgetune.pipeline.local.result import Run

Overrides = Mapping[str, Any] | Sequence[str]
"""Settings by dotted name, `{"model.alpha": 0.35}`, or as on the command line, `["model.alpha=0.35"]`."""


def load_settings(
    config: str | Path | None = None, *, data: str | Path | None = None, overrides: Overrides = ()
) -> RunSettings:
    """Return the settings of a run, validated.

    Args:
        config: A YAML file; None for the embedded demo, or for the defaults if `data` is given.
        data: What is trained on: a folder of images, a list or a URL; the same as an override of `data.path`.
        overrides: Settings that replace those of the file.

    Raises:
        ConfigError: The file cannot be read, or a key or value cannot be used. All problems are listed.
    """
    from edgetune.pipeline.config.load import load

    overrides = _as_list(overrides)
    return load(None if config is None else Path(config), list(overrides), None if data is None else str(data))


def run(
    settings: RunSettings | str | Path | None = None,
    *,
    data: str | Path | None = None,
    workdir: str | Path = "workdir",
    overrides: Overrides = (),
    cache: bool = True,
    verbose: bool = False,
) -> Run:
    """Run the whole pipeline on this machine, from images to pushed models, and write the report.

    Progress is printed to the standard output of the process; what libraries print goes into a log file.

    Args:
        settings: Settings or a YAML file; None for the embedded demo, or for the defaults if `data` is given.
        data: What is trained on: a folder of images, a list or a URL; replaces `data.path` of the settings.
        workdir: Folder for everything that the run makes; made if it is missing.
        overrides: Settings that replace those of `settings`.
        cache: Take results of earlier runs if nothing they depend on has changed.
        verbose: Show the log of TFX and TensorFlow on standard error too.

    Returns:
        The run, also if a gate refused the model and nothing was pushed.

    Raises:
        ConfigError: The settings or the workdir cannot be used. `settings` are validated again: pydantic's `model_copy`
            does not.
        EdgetuneError: Any other error that a user can cause, such as `DataError` or `WeightsError`.
    """
    if not str(workdir):
        raise ConfigError("--workdir is empty", "name a folder; it is made if it is missing")
    folder = Path(workdir)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--workdir {folder}: is a file", "name a folder; it is made if it is missing")
    if settings is None or isinstance(settings, str | Path):
        settings = load_settings(settings, data=data, overrides=overrides)
    else:
        from edgetune.pipeline.config.load import changed

        settings = changed(settings, _as_list(overrides), None if data is None else str(data))
    from edgetune.pipeline.local import runner

    return runner.run(settings, workdir=folder, verbose=verbose, cache=cache)


def _as_list(overrides: Overrides) -> list[str]:
    if isinstance(overrides, str):
        return [overrides]
    if isinstance(overrides, Mapping):
        return [f"{key}={json.dumps(value, default=str)}" for key, value in overrides.items()]
    return list(overrides)


def load_bundle(
    path: str | Path,
    variant: str | None = None,
    *,
    public_key: str | Path | None = None,
    sign_tool: str | None = None,
    ignore_signature: bool = False,
) -> Classifier:
    """Open a model of an edge bundle, after checking the bundle's files against their digests.

    The model runs in a process of its own, which ends with the returned object.

    Args:
        path: Folder of a pushed bundle on this machine, or one `.tflite` file.
        variant: Such as `int8`; None for float32, the reference, or the first by name if there is none.
        public_key: PEM file of the key that must have signed the bundle; without it, a signed bundle is refused.
        sign_tool: Command of sigstore's model-signing, by name or path; None for the one on PATH.
        ignore_signature: Whether a signature is not checked.

    Raises:
        BundleError: The bundle lacks a file, has one that is not what was pushed, is not signed with this key or is
            signed and was not checked, or the model cannot be used.
        ConfigError: The public key does not exist, or the tool is not installed.
    """
    _check_not_empty(path)
    from edgetune.modules.bundle.predict import open_model

    return open_model(Path(path), variant, _trust(public_key, sign_tool, ignore_signature))


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    variant: str | None = None,
    split: str | None = None,
    threshold: float | str | None = None,
    overrides: Overrides = (),
    public_key: str | Path | None = None,
    sign_tool: str | None = None,
    ignore_signature: bool = False,
    report: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Measure a model on labelled images, in a process of its own.

    Args:
        model: Folder of an edge bundle, a `.tflite` file, or folder of a SavedModel.
        data: As the data of a run: class folders, a list, or TFRecords.
        variant: As of `load_bundle`.
        split: Of data that have splits: `train`, `eval`, `test` or `all`; None for test if there is one, else all.
        threshold: The probability from which an answer is accepted, 0..1, or "auto" for those that the bundle has.
        overrides: How the data are read, such as `{"data.columns.label": "art"}`.
        public_key: As of `load_bundle`.
        sign_tool: As of `load_bundle`.
        ignore_signature: As of `load_bundle`.
        report: Called for each image.

    Raises:
        BundleError: The model cannot be used, or has no thresholds.
        ConfigError: The threshold, the split, an override or the public key cannot be used.
        DataError: The data cannot be read, or have no image of a class that the model has.
    """
    _check_not_empty(model)
    from edgetune.modules.bundle.files import shown
    from edgetune.modules.contracts.thresholds import thresholds_of
    from edgetune.modules.core.child_process import hide_gpus
    from edgetune.pipeline.classify import evaluation
    from edgetune.pipeline.classify.model import check_threshold, find, open_found
    from edgetune.pipeline.terminal.quiet import quiet

    settings = load_settings(data=data, overrides=overrides)
    found = find(Path(model), variant, "edgetune evaluate")
    check_threshold(found, threshold)
    evaluation.check(settings.data, split)
    trust = _trust(public_key, sign_tool, ignore_signature)
    hide_gpus()
    with quiet():
        opened = open_found(found, trust)
    known = opened.thresholds
    limits = None
    if threshold is not None:
        limits = thresholds_of(threshold, known, len(opened.labels), shown(opened.path))
    return evaluation.evaluate(opened, settings.data, split, limits, report)


def verify(
    path: str | Path,
    *,
    public_key: str | Path | None = None,
    sign_tool: str | None = None,
    ignore_signature: bool = False,
    report: Callable[[Check], None] = lambda _: None,
) -> list[Check]:
    """Check everything of an edge bundle: files, labels, models, their answers, its signature.

    Args:
        path: Folder of a pushed bundle, on this machine.
        public_key: PEM file of the key that must have signed it; without it, a signed bundle fails.
        sign_tool: Command of sigstore's model-signing, by name or path; None for the one on PATH.
        ignore_signature: Whether a signature is not checked.
        report: Called with each check as it is done.

    Returns:
        One entry for each thing that was checked; `outcome` is `ok`, `failed` or `skipped`.

    Raises:
        BundleError: This is not a folder that could be a bundle.
        ConfigError: The public key or the tool for signatures is missing.
    """
    _check_not_empty(path)
    from edgetune.modules.bundle.verify import verify as check

    return check(Path(path), _trust(public_key, sign_tool, ignore_signature), report)


def _trust(public_key: str | Path | None, sign_tool: str | None, ignore_signature: bool) -> Trust:
    from edgetune.modules.bundle.signing import TOOL, Trust

    return Trust(None if public_key is None else Path(public_key), sign_tool or TOOL, ignore_signature)


def _check_not_empty(path: str | Path) -> None:
    if not str(path):
        raise BundleError("the path of the bundle is empty", "name the folder of a pushed bundle")
