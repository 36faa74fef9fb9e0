"""File names of an edge bundle, and strict schemas of its `bundle.json` and `golden/expected.json`.

Both files are untrusted: types are strict, sizes are bounded, and file names cannot contain a folder. TensorFlow is not
needed to read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgetune.modules.core.errors import BundleError
from edgetune.modules.settings.data import Level
from edgetune.modules.settings.run import InputRange, Variant

FORMAT = 2
"""Of bundles that are written. Format 1 had only versions in `ops`, and neither `date` nor `run`."""
_FORMATS = (1, FORMAT)
BUNDLE_JSON = "bundle.json"
CHECKSUMS = "SHA256SUMS"
EXPECTED = "expected.json"
GOLDEN = "golden"
MODEL_CARD = "MODEL_CARD.md"
SIGNATURE = "model.sig"
"""Optional signature, under the default name of sigstore's `model_signing`. It covers all other files including
`SHA256SUMS`, and so `SHA256SUMS` cannot list it: each would have to contain the other's digest."""

INPUT_RANGES: Mapping[InputRange, tuple[float, float]] = {
    "raw": (0.0, 1.0),
    "unit": (0.0, 255.0),
    "minus_one_one": (127.5, 127.5),
}
"""Mean and deviation by the setting `edge.input_range`: float variants take `(level - mean) / deviation` of each
channel's level, 0 to 255. So they are named in TensorFlow Lite's metadata."""

_MAX_PROBLEMS = 5
_Text = Annotated[str, Field(max_length=1000)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Share = Annotated[float, Field(ge=0, le=1)]
_Side = Annotated[int, Field(ge=1, le=4096)]
_Probability = Annotated[float, Field(ge=0, le=1.001)]  # a softmax may round to a little above one


def model_file(variant: str) -> str:
    """Return the file name of a variant."""
    return f"model_{variant}.tflite"


def normalisation(variant: str, mean: float, std: float) -> tuple[float, float]:
    """Return mean and deviation of a variant: those of the bundle, but none for `int8`, which takes bytes."""
    return INPUT_RANGES["raw"] if variant == "int8" else (mean, std)


class _Part(BaseModel):
    # Keys may be added without a new format: they are measurements, which are not needed to read the rest.
    model_config = ConfigDict(
        strict=True, frozen=True, extra="allow", allow_inf_nan=False, use_attribute_docstrings=True
    )


class InputReading(_Part):
    """How a photograph becomes upright 8-bit RGB, before it is stretched; see the `data` settings of the same names."""

    max_side: Annotated[int, Field(ge=1)] | None
    background: tuple[Level, Level, Level]
    max_pixels: Annotated[int, Field(ge=1)] | None = None
    """None in bundles made before it was recorded."""


class Input(_Part):
    """Input of the models."""

    shape: tuple[Literal[1], _Side, _Side, Literal[3]]
    mean: float = 0.0
    """What is subtracted from each channel's level, 0..255, for the float variants; see `INPUT_RANGES`."""
    std: Annotated[float, Field(gt=0)] = 1.0
    """What the difference is divided by."""
    reading: InputReading | None = None
    """Settings of the run that made the bundle; None in bundles made before these were recorded."""

    @model_validator(mode="after")
    def _is_square(self) -> Input:
        if self.shape[1] != self.shape[2]:
            raise ValueError("the image is not square")
        return self


class Operation(_Part):
    """How often a variant has an operation."""

    count: Annotated[int, Field(ge=0)]
    """Number of operations of this kind in the graph; 0 if the file only declares it."""
    version: Annotated[int, Field(ge=1)]
    """Highest version, on which the oldest runtime depends."""


class VariantFacts(_Part):
    """Facts about one variant's file."""

    file: _Text
    bytes: Annotated[int, Field(ge=1)]
    sha256: _Sha256
    ops: dict[_Text, Operation] | dict[_Text, int]
    """Each operation by name; in format 1 only its highest version."""
    min_runtime: _Text | None
    """The oldest TensorFlow Lite that has all operations in these versions; LiteRT 1.0 came after TensorFlow Lite 2.17.
    Null if the converter did not record it."""


class Calibration(_Part):
    """The part of the measurements of probabilities that is needed to use them."""

    precision: _Share
    """Share of a class's answers that were right on the eval split at and above its threshold."""
    thresholds: list[_Share | None]
    """For each class, in the order of the labels, the probability from which its answers can be accepted; None if none
    reaches the precision."""


class Bundle(_Part):
    """The part of `bundle.json` that can be checked against the other files."""

    format: Literal[1, 2]
    """Version of this file's form."""
    date: _Text | None = None
    """When the variants were measured, ISO 8601 in UTC; null in format 1. A run that is repeated keeps it."""
    run: _Text | None = None
    """Id of the run that measured them, as `edgetune runs` lists it; null if the platform gave none."""
    labels: Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(min_length=1)]
    input: Input
    variants: Annotated[dict[Variant, VariantFacts], Field(min_length=1)]
    calibration: Calibration | None = None
    """None in bundles made before it was measured."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Bundle:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label occurs twice")
        if broken := [label for label in self.labels if len(label.splitlines()) != 1]:
            raise ValueError(f"label {broken[0]!r} is not one line of text")
        for variant, facts in self.variants.items():
            if facts.file != model_file(variant):
                raise ValueError(f"the file of {variant} is {facts.file!r}, but must be {model_file(variant)}")
        if self.calibration and len(self.calibration.thresholds) != len(self.labels):
            raise ValueError(f"{len(self.calibration.thresholds)} thresholds for {len(self.labels)} labels")
        return self

    @property
    def image_size(self) -> int:
        """Height and width of the input, in pixels."""
        return self.input.shape[1]


class GoldenImage(_Part):
    """One image and the expected output of each model."""

    file: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-][0-9A-Za-z_.-]{0,99}$")]
    label: _Text
    probabilities: dict[_Text, list[_Probability]]
    """Per variant, and of the SavedModel."""


class Expected(_Part):
    """`golden/expected.json`."""

    labels: list[_Text]
    images: Annotated[list[GoldenImage], Field(min_length=1, max_length=1000)]


_Content = TypeVar("_Content", Bundle, Expected)


def parse_bundle(content: bytes) -> Bundle:
    """Parse and check `bundle.json`.

    Raises:
        BundleError: The content is not JSON, of another format, or incomplete.
    """
    try:  # check the format first: nothing else can be judged if it is another one
        found = json.loads(content).get("format")
    except (ValueError, RecursionError, AttributeError):
        found = FORMAT  # of which it is told below what is wrong
    if found not in _FORMATS:
        is_later = type(found) is int and found > FORMAT
        remedy = "use a newer edgetune" if is_later else "use the edgetune that made it, or push the model anew"
        raise BundleError(f"is of format {found!r:.40}, but this edgetune reads formats 1 to {FORMAT}", remedy)
    return _parse(Bundle, content)


def json_schema_text() -> str:
    """Return the content of `schemas/bundle.json`: the JSON schema (draft 2020-12) of `bundle.json`.

    It has the keys that clients and `edgetune verify` rely on; further ones are measurements.
    """
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Bundle.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def parse_expected(content: bytes) -> Expected:
    """Parse and check `golden/expected.json`.

    Raises:
        BundleError: The content is not JSON, or incomplete.
    """
    return _parse(Expected, content)


def _parse(kind: type[_Content], content: bytes) -> _Content:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        wrong = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors(include_url=False)]
    named = [f"{where}: {what}" if where else what for where, what in wrong[:_MAX_PROBLEMS]]
    more = f"; and {len(wrong) - _MAX_PROBLEMS} more" if len(wrong) > _MAX_PROBLEMS else ""
    raise BundleError("; ".join(named) + more, "fetch the bundle again, or push it again") from None
