"""What a platform's user changes for one run of a compiled pipeline, without compiling it again.

A parameter is a setting, named as in the configuration with `_` for the dots: `training.head.epochs` becomes
`training_head_epochs`. Both names are understood here. Its default is what the pipeline was compiled with.

    runtime_values(document, ["training.head.epochs=3"])      {"training_head_epochs": 3}

Values are checked here before anything is submitted, and once more inside the component that gets them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.data.digits import EMBEDDED
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.config import reference
from edgetune.pipeline.config.yaml_file import parse

DATA_PATH = "data.path"


@dataclass(frozen=True)
class Parameter:
    """A setting that may change from run to run, and which component has it as which property."""

    setting: str
    component: str
    key: str
    """The property's name."""

    @property
    def name(self) -> str:
        """As platforms know it: lower-case letters, digits and `_`."""
        return self.setting.replace(".", "_")

    @property
    def kind(self) -> type:
        """`int`, `float` or `str`."""
        found: Any = self.field.annotation
        return found

    @property
    def field(self) -> FieldInfo:
        """Where the setting is declared."""
        at: Any = RunSettings
        *groups, name = self.setting.split(".")
        for group in groups:
            at = at.model_fields[group].annotation
        found: FieldInfo = at.model_fields[name]
        return found


# Each of them is a property of one component only: whoever changes it re-runs that component and what comes after it.
PARAMETERS = (
    Parameter(DATA_PATH, "ImageExampleGen", "input_base"),
    Parameter("training.head.epochs", "TwoPhaseTrainer", "training_head_epochs"),
    Parameter("training.head.learning_rate", "TwoPhaseTrainer", "training_head_learning_rate"),
    Parameter("training.fine_tune.epochs", "TwoPhaseTrainer", "training_fine_tune_epochs"),
    Parameter("training.fine_tune.learning_rate", "TwoPhaseTrainer", "training_fine_tune_learning_rate"),
    Parameter("evaluation.min_accuracy", "Evaluator", "min_accuracy"),
    Parameter("evaluation.max_regression", "Evaluator", "max_regression"),
    Parameter("edge.max_accuracy_drop", "EdgeEvaluator", "max_accuracy_drop"),
    Parameter("edge.min_agreement", "EdgeEvaluator", "min_agreement"),
)
_BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
_TYPES = {"NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "STRING": str}
_WORDS = {int: "a whole number", float: "a number", str: "text"}


def runtime_values(document: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, int | float | str]:
    """The values for one run, by the names that the platform knows.

    Args:
        document: What `edgetune compile` wrote, for either target: a PipelineSpec or a PipelineJob.
        assignments: `name=value` each, the value in YAML; the last one wins.

    Returns:
        Only what was assigned; a whole number stays one only where the parameter is one.

    Raises:
        ConfigError: `document` is no compiled pipeline; a parameter that it does not have; a value of another type, or
            out of range.
    """
    known = parameters_of(document)
    values: dict[str, int | float | str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip().replace(".", "_")
        if not equals or not name:
            raise ConfigError(
                f"runtime parameter {assignment!r}: not of the form name=value", f"for example {PARAMETERS[1].name}=5"
            )
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"the pipeline has no runtime parameter {name}{hint}", f"it has {', '.join(known)}")
        values[name] = _checked(name, parse(text, f"runtime parameter {name}").value, known[name])
    return values


def parameters_of(document: Mapping[str, Any]) -> dict[str, type]:
    """Type by name of the runtime parameters of a compiled pipeline.

    Raises:
        ConfigError: It is none.
    """
    try:
        root = document.get("pipelineSpec", document)["root"]
        declared = root.get("inputDefinitions", {}).get("parameters", {})
        return {name: _TYPES[declared[name]["parameterType"]] for name in sorted(declared)}
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"this is no pipeline that edgetune compiled: {type(error).__name__} {error}",
            "make one with `edgetune compile`",
        ) from None


def check_data_path(path: str, what: str) -> None:
    """Stops at a path that means something else in a container than here.

    Raises:
        ConfigError: It is relative.
    """
    if path != EMBEDDED and not re.match(r"/|\w[\w+.-]*://", path):
        raise ConfigError(
            f"{what} {path!r}: a container cannot find it",
            "name a URL such as gs://bucket/images, a folder that is mounted in the containers, or embedded:digits",
        )


def _checked(name: str, value: Any, kind: type) -> int | float | str:
    parameter = _BY_NAME.get(name)
    try:
        # Strictly: text is no number, `true` is not 1, and 2.5 is no number of epochs.
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
