"""Load the settings of a run from a YAML file and the command line.

edgetune run --config flowers.yaml --data ./flowers --set training.fine_tune.epochs=5
             └ load(Path("flowers.yaml"), ["training.fine_tune.epochs=5"], "./flowers")
"""

from __future__ import annotations

import json
import re
import unicodedata
import warnings
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import ConfigError
from edgetune.modules.core.package_paths import ROOT
from edgetune.modules.settings.run import RunSettings, digest, tree_of
from edgetune.pipeline.config.problems import Sources, explain
from edgetune.pipeline.config.yaml_file import dump, parse

DEFAULT = ROOT / "configs" / "demo.yaml"

LIST_SYNTAX = "quote a list for the shell, as in --set 'edge.variants=[float32, int8]'"
# Keys that may hold a path, with the values that are not paths.
_PATHS = {
    "data.path": (),
    "data.unknown": (),
    "model.weights": ("imagenet", "none"),
    "push.saved_model": (),
    "push.edge": (),
    "push.sign_key": (),
    "state.root": (),
    "beam.job_server_jar": (),
}


def load(config: Path | None, overrides: list[str], data: str | None) -> RunSettings:
    """Load the settings of a run.

    Args:
        config: A YAML file. None means the demo configuration, `configs/demo.yaml`; or, if `data` is given, only
            default values, because the network of the demo is made for its digits.
        overrides: Items `a.b=value` with the value in YAML; the last one for a key wins.
        data: `data.path`, relative to the working directory. Without a file it also gives the run its name.

    Raises:
        ConfigError: The file cannot be read or is not YAML, or keys or values of it or of the overrides are invalid.
            The message lists all of them.
    """
    sources = Sources(str(config or DEFAULT))
    tree: dict[str, Any] = {}
    if config or data is None:
        tree = _read(config or DEFAULT, sources)
    if data is not None:
        if not data:
            raise ConfigError("--data is empty", "name a folder of images")
        if not config:
            sources.put(tree, "name", run_name(data), "--data")
        sources.put(tree, "data.path", data, "--data")
    for override in overrides:
        _apply(tree, override, sources)
    _anchor_paths(tree, sources, (config or DEFAULT).resolve().parent)
    try:
        # As strict JSON, a list may become a tuple, but text never a number and `true` never 1.
        return RunSettings.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        raise explain(error.errors(include_url=False), sources) from None


def changed(settings: RunSettings, overrides: list[str], data: str | None) -> RunSettings:
    """Return a copy of settings with some values replaced, validated as a whole.

    Args:
        settings: Of a run; they need not be valid, as pydantic's `model_copy` does not validate.
        overrides: As of `load`.
        data: As of `load`.

    Raises:
        ConfigError: A key or value cannot be used. All problems are listed.
    """
    if not isinstance(settings, RunSettings):
        raise ConfigError(
            f"the settings are a {type(settings).__name__}", "give RunSettings or the path of a YAML file"
        )
    sources = Sources("the settings")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, on values that the validation below reports
        tree = settings.model_dump(mode="json")
    if data is not None:
        sources.put(tree, "data.path", data, "--data")
    for override in overrides:
        _apply(tree, override, sources)
    _anchor_paths(tree, sources, Path.cwd())
    kept = tree.get("state") == settings.state.model_dump(mode="json")
    try:
        valid = RunSettings.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        raise explain(error.errors(include_url=False), sources) from None
    # Dumped, the URL of a metadata server has lost its password.
    return valid.model_copy(update={"state": settings.state}) if kept else valid


def config_digest(settings: RunSettings) -> str:
    """Return the SHA-256 of all settings except locations, defaults included, as 64 hexadecimal digits."""
    return digest(tree_of(settings))


def to_yaml(settings: RunSettings) -> str:
    """Return the settings as a configuration file, with defaults and absolute paths."""
    return dump(settings.model_dump(mode="json"))


def run_name(data: str) -> str:
    """Derive a valid run name from a folder of images: `/photos/Größe 2024/` becomes `grosse-2024`."""
    last = data.rstrip("/").rpartition("/")[2].removeprefix("embedded:")
    if last in ("", ".", ".."):
        last = Path(data).resolve().name
    plain = unicodedata.normalize("NFKD", last.casefold()).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")
    return name if re.match("[a-z]", name) else f"images-{name}".rstrip("-")


def _read(path: Path, sources: Sources) -> dict[str, Any]:
    try:
        with path.open("rb") as file:  # not `safe_read`, as a shell may give a pipe
            content = file.read(bounds.MAX_CONFIGURATION + 1)
        if len(content) > bounds.MAX_CONFIGURATION:
            raise ConfigError(
                f"{path}: larger than the {bounds.MAX_CONFIGURATION} bytes of any configuration", "check --config"
            )
        text = content.decode()
    except FileNotFoundError:
        raise ConfigError(f"{path}: the configuration file does not exist", "check --config") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a configuration file: it is not UTF-8 text", "check --config") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", "check --config") from None
    document = parse(text, str(path))
    sources.lines = document.lines
    if not isinstance(document.value, dict):
        found = "empty" if document.value is None else "not a group of keys"
        raise ConfigError(f"{path}: the configuration is {found}", "set at least `name` and `data: {path: ...}`")
    return document.value


def _apply(tree: dict[str, Any], override: str, sources: Sources) -> None:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        cause = f"--set {override}: not of the form key=value"
        raise ConfigError(cause, "write it like --set training.batch_size=16")
    try:
        value = parse(text, f"--set {key}").value
    except ConfigError as error:
        if text.lstrip()[:1] not in ("[", "{"):
            raise
        raise ConfigError(error.cause, f"{error.remedy}; {LIST_SYNTAX}") from None
    sources.put(tree, key, value, "--set")


def _anchor_paths(tree: dict[str, Any], sources: Sources, folder: Path) -> None:
    """Make relative paths absolute: those in the file from `folder`, those on the command line from the cwd."""
    for key, words in _PATHS.items():
        group, _, name = key.partition(".")
        section = tree.get(group)
        value = section.get(name) if isinstance(section, dict) else None
        if isinstance(value, str) and value and value not in words and not re.match(r"embedded:|\w[\w+.-]*://", value):
            base = Path.cwd() if sources.on_command_line(key) else folder
            try:
                section[name] = str((base / Path(value).expanduser()).resolve())  # type: ignore[index]
            except (OSError, RuntimeError, ValueError) as error:
                raise ConfigError(f"{key}: {value!r} ({sources.describe(key)}) is not a path: {error}") from None
