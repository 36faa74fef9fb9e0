"""Runtime parameters: settings that can be changed for a single run of a compiled pipeline.

A parameter has the name of its setting with `_` for the dots: `training.head.epochs` becomes `training_head_epochs`.
Both names are accepted here. Its default is the value that was compiled.

    runtime_values(document, ["training.head.epochs=3"])      {"training_head_epochs": 3}

Values are checked here before anything is submitted, and again by the component that receives them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from edgetune.components.common.names import (
    CROSS_VALIDATOR,
    EDGE_EVALUATOR,
    EVALUATOR,
    IMAGE_EXAMPLE_GEN,
    TWO_PHASE_TRAINER,
)
from edgetune.modules.core.errors import ConfigError
from edgetune.modules.data.digits import EMBEDDED
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.config import reference
from edgetune.pipeline.config.yaml_file import parse

DATA_PATH = "data.path"


@dataclass(frozen=True)
class Parameter:
    """A setting that may change from run to run, with the component and the execution property that receive it."""

    setting: str
    component: str
    key: str
    """Name of the property."""
    also: str = ""
    """Another component that receives it as the same property, if it is in the pipeline."""

    @property
    def name(self) -> str:
        """Name on the platforms: lower-case letters, digits and `_`."""
        return self.setting.replace(".", "_")

    @property
    def kind(self) -> type:
        """Type of the setting: `int`, `float` or `str`."""
        found: Any = self.field.annotation
        return found

    @property
    def field(self) -> FieldInfo:
        """Declaration of the setting."""
        at: Any = RunSettings
        *groups, name = self.setting.split(".")
        for group in groups:
            at = at.model_fields[group].annotation
        found: FieldInfo = at.model_fields[name]
        return found


# Changing one re-runs only the component that receives it and the later ones.
PARAMETERS = (
    Parameter(DATA_PATH, IMAGE_EXAMPLE_GEN, "input_base"),
    Parameter("training.head.epochs", TWO_PHASE_TRAINER, "training_head_epochs", CROSS_VALIDATOR),
    Parameter("training.head.learning_rate", TWO_PHASE_TRAINER, "training_head_learning_rate", CROSS_VALIDATOR),
    Parameter("training.fine_tune.epochs", TWO_PHASE_TRAINER, "training_fine_tune_epochs"),
    Parameter("training.fine_tune.learning_rate", TWO_PHASE_TRAINER, "training_fine_tune_learning_rate"),
    Parameter("evaluation.min_accuracy", EVALUATOR, "min_accuracy"),
    Parameter("evaluation.max_regression", EVALUATOR, "max_regression"),
    Parameter("edge.max_accuracy_drop", EDGE_EVALUATOR, "max_accuracy_drop"),
    Parameter("edge.min_agreement", EDGE_EVALUATOR, "min_agreement"),
)
_BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
_TYPES = {"NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "STRING": str}
_WORDS = {int: "a whole number", float: "a number", str: "text"}


def runtime_values(document: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, int | float | str]:
    """Return the parameter values for one run, by their names on the platform.

    Args:
        document: A pipeline compiled by `edgetune compile` for either target: a PipelineSpec or a PipelineJob.
        assignments: Items `name=value` with the value in YAML; the last one for a name wins.

    Returns:
        Only the assigned values; whole numbers become floats if the parameter is a float.

    Raises:
        ConfigError: `document` is not a compiled pipeline; it does not have a parameter; or a value has the wrong type
            or is out of range.
    """
    known = parameters_of(document)
    values: dict[str, int | float | str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip().replace(".", "_")
        if not equals or not name:
            raise ConfigError(
                f"runtime parameter {assignment!r}: not of the form name=value",
                f"write it like {PARAMETERS[1].name}=5",
            )
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"the pipeline has no runtime parameter {name}{hint}", f"use one of {', '.join(known)}")
        values[name] = _checked(name, parse(text, f"runtime parameter {name}").value, known[name])
    return values


def parameters_of(document: Mapping[str, Any]) -> dict[str, type]:
    """Return the types of a compiled pipeline's runtime parameters by name.

    Raises:
        ConfigError: `document` is not a compiled pipeline.
    """
    try:
        root = document.get("pipelineSpec", document)["root"]
        declared = root.get("inputDefinitions", {}).get("parameters", {})
        return {name: _TYPES[declared[name]["parameterType"]] for name in sorted(declared)}
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"the file is not a pipeline compiled by edgetune: {type(error).__name__} {error}",
            "create one with `edgetune compile`",
        ) from None


def check_data_path(path: str, what: str) -> None:
    """Reject a path that a container cannot resolve.

    Raises:
        ConfigError: The path is relative.
    """
    if path != EMBEDDED and not re.match(r"/|\w[\w+.-]*://", path):
        raise ConfigError(
            f"{what} {path!r} is a relative path, which a container cannot resolve",
            "set it to a URL such as gs://bucket/images, a folder mounted in the containers, or embedded:digits",
        )


def _checked(name: str, value: Any, kind: type) -> int | float | str:
    parameter = _BY_NAME.get(name)
    try:
        # Strict, so that text is not a number, `true` is not 1, and 2.5 is not a number of epochs.
        adapter: TypeAdapter[Any] = TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))
        adapter.validate_python(value, strict=True)
        if parameter is not None:
            ranged: TypeAdapter[Any] = TypeAdapter(Annotated[kind, parameter.field])  # type: ignore[arg-type]
            ranged.validate_python(value, strict=True)
    except ValidationError:
        schema = dict(reference.fields(reference.json_schema()))
        allowed = reference.allowed(schema[parameter.setting]) if parameter is not None else _WORDS[kind]
        raise ConfigError(f"runtime parameter {name}: {value!r} must be {allowed}", "correct the value") from None
    if parameter is not None and parameter.setting == DATA_PATH:
        check_data_path(value, f"runtime parameter {name}")
    checked: int | float | str = kind(value)
    return checked
