"""The conditions for a blessing, as they were judged: what was measured, how sure that is, and what was needed.

The Evaluator writes those of the SavedModel as `gates.json` into its `evaluation` artifact; EdgeEvaluator those of each
variant into its `metrics.json`. The report, the last lines of a run, `bundle.json` and the model card show them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass as checked

from edgetune.modules.core.errors import DataError
from edgetune.modules.storage import filesystem

FILE = "gates.json"
SAVED_MODEL = "SavedModel"
ESTIMATE, LOWER_BOUND, UPPER_BOUND = "estimate", "lower_bound", "upper_bound"
FOLDS = "evaluation.folds"
"""Name of the gate that can refuse and never blesses: it judges by other models (`modules.evaluation.folds_gate`)."""
SERVED = "infra.originals"
"""Name of the gate on the answers of the served model (`modules.evaluation.infra`)."""
_ENDS = {LOWER_BOUND: " by the lower end of the interval", UPPER_BOUND: " by the upper end of the interval"}


@checked(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Gate:
    """One condition on one model.

    `measured`, `low`, `high` and `needed` are shares 0..1, whole numbers of images or bytes, or have a `unit`.
    """

    name: str
    """The setting that demands it, such as `evaluation.min_accuracy`."""
    subject: str
    """`SavedModel`, or the name of an edge variant."""
    what: str
    """What was measured, such as `accuracy`."""
    needed: float | None
    """Bound of the setting; None if there is none."""
    passed: bool | None
    """None if the condition was not applied; `reason` says why."""
    measured: float | None = None
    low: float | None = None
    """Lower end of the 95 % interval; None if there is none."""
    high: float | None = None
    images: int | None = None
    """Number of images that it was measured on."""
    whole: bool = False
    """Whether the values are whole numbers and not shares."""
    unit: str = ""
    """Of the values, such as `ms`; empty if they are shares or whole numbers."""
    at_most: bool = False
    """Whether `needed` is the largest allowed value, and not the smallest."""
    judged: str = ESTIMATE
    """What was compared with `needed`: `estimate`, the measured value; `lower_bound`, `low`; `upper_bound`, `high`."""
    p_value: float | None = None
    """Of a test: the probability of such a difference if both models are equally good."""
    reason: str = ""
    """What the numbers do not say: classes, what was compared, why it was not applied."""
    remedy: str = ""
    """What can be done if it is not passed."""

    def value(self, number: float | None) -> str:
        """Format a value of this gate."""
        if number is None:
            return "–"
        if self.unit:
            return f"{number:,.4g} {self.unit}"
        return f"{number:,.0f}" if self.whole else f"{_percent(number)} %"

    def sentence(self) -> str:
        """Say in one sentence what was measured and needed."""
        text = f"{self.what} {self.value(self.measured)}"
        if self.low is not None and self.high is not None:
            text += f" (95 % interval {_percent(self.low)} to {_percent(self.high)})"
        if self.images is not None and not self.whole:
            text += f" on {self.images:,} image{'' if self.images == 1 else 's'}"
        if self.p_value is not None:
            text += f", p = {self.p_value:.2g}"
        if self.needed is not None:
            end = _ENDS.get(self.judged, "")
            text += f"; {self.name} {'allows at most' if self.at_most else 'needs'} {self.value(self.needed)}{end}"
        return f"{text}; {self.reason}" if self.reason else text


_GATES = TypeAdapter(list[Gate], config=ConfigDict(strict=True))


def refused(gates: Iterable[Gate]) -> list[Gate]:
    """Return the gates that were not passed."""
    return [gate for gate in gates if gate.passed is False]


def blessed(gates: Sequence[Gate]) -> bool:
    """Return whether no gate was failed and at least one was passed; that of the folds does not count as passed."""
    return not refused(gates) and any(gate.passed for gate in gates if gate.name != FOLDS)


def as_json(gates: Iterable[Gate]) -> list[dict[str, Any]]:
    """Return gates as JSON values, without the fields that say nothing."""
    always = {"name", "subject", "what", "needed", "passed", "measured", "low", "high"}
    defaults = {field.name: field.default for field in dataclasses.fields(Gate)}
    return [
        {key: value for key, value in dataclasses.asdict(gate).items() if key in always or value != defaults[key]}
        for gate in gates
    ]


def from_json(values: Any) -> list[Gate]:
    """Return the gates that `as_json` made JSON values of.

    Raises:
        ValueError: They are something else.
    """
    return _GATES.validate_json(json.dumps(values))  # strict JSON, in which a dict may be a dataclass


def file_of(gates: Sequence[Gate]) -> str:
    """Return the content of `gates.json`."""
    return json.dumps({"blessed": blessed(gates), "gates": as_json(gates)}, indent=1, ensure_ascii=False) + "\n"


def read_gates(evaluation: str) -> list[Gate]:
    """Read the gates of an evaluation.

    Args:
        evaluation: Folder or URL of a `ModelEvaluation` artifact.

    Raises:
        DataError: There are none, or they cannot be read.
    """
    path = f"{evaluation}/{FILE}"
    try:
        content = json.loads(filesystem.read(path))
        gates = from_json(content["gates"]) if isinstance(content, Mapping) else []
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({type(error).__name__})", "run the Evaluator again") from None
    if not gates:
        raise DataError(f"{path}: holds no gates", "run the Evaluator again")
    return gates


def _percent(share: float) -> str:
    """Format a share in percent with one decimal, or as many more as keep it apart from 0 and 100."""
    if share in (0.0, 1.0, -1.0):
        return f"{100 * share:.0f}"
    decimals = next(
        (d for d in range(1, 6) if f"{100 * share:.{d}f}" not in (f"{100:.{d}f}", f"{0:.{d}f}", f"{-0.0:.{d}f}")), 6
    )
    text = f"{100 * share:.{decimals}f}"
    return text.removesuffix(".0")
