"""The files of an edge bundle by name, and what `bundle.json` and `golden/expected.json` must hold to be relied on.

Read as if a stranger had written them: types are strict, sizes are bounded, and a file is named only by a name that
has no folder in it. TensorFlow is not needed for any of it.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgetune.modules.core.errors import BundleError
from edgetune.modules.settings.data import Level
from edgetune.modules.settings.run import Variant

FORMAT = 1
BUNDLE_JSON = "bundle.json"
CHECKSUMS = "SHA256SUMS"
EXPECTED = "expected.json"
GOLDEN = "golden"
MODEL_CARD = "MODEL_CARD.md"
SIGNATURE = "model.sig"
"""The optional signature: the default name of sigstore's `model_signing`. It covers all other files, `SHA256SUMS` too,
and so stands in no list: neither can hold the digest of a file that holds its own."""

_NAMED = 5
_Shown = Annotated[str, Field(max_length=1000)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Side = Annotated[int, Field(ge=1, le=4096)]
_Probability = Annotated[float, Field(ge=0, le=1.001)]  # a softmax may round to a little above one


def model_file(variant: str) -> str:
    """Name of a variant's file."""
    return f"model_{variant}.tflite"


class _Part(BaseModel):
    # Further keys may come without a new format: they are measurements, which nobody relies on to read the rest.
    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)


class InputReading(_Part):
    """How a photograph becomes upright 8-bit RGB, before it is stretched; as the settings of these names."""

    max_side: Annotated[int, Field(ge=1)] | None
    background: tuple[Level, Level, Level]


class Input(_Part):
    """What goes in."""

    shape: tuple[Literal[1], _Side, _Side, Literal[3]]
    reading: InputReading | None = None
    """Of the run that made the bundle; None where it is not known, as of bundles from before it was recorded."""

    @model_validator(mode="after")
    def _is_square(self) -> Input:
        if self.shape[1] != self.shape[2]:
            raise ValueError("the image is not square")
        return self


class VariantFacts(_Part):
    """What is said of one variant's file."""

    file: _Shown
    bytes: Annotated[int, Field(ge=1)]
    sha256: _Sha256
    ops: dict[_Shown, int]
    """Highest version of each operation, by name."""
    min_runtime: _Shown | None


class Bundle(_Part):
    """`bundle.json`, as far as it can be checked against the other files."""

    format: int
    labels: Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(min_length=1)]
    input: Input
    variants: Annotated[dict[Variant, VariantFacts], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_consistent(self) -> Bundle:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label is there twice")
        if broken := [label for label in self.labels if len(label.splitlines()) != 1]:
            raise ValueError(f"label {broken[0]!r} is not one line of text")
        for variant, facts in self.variants.items():
            if facts.file != model_file(variant):
                raise ValueError(f"the file of {variant} is {facts.file!r}, and must be {model_file(variant)}")
        return self

    @property
    def image_size(self) -> int:
        """Height and width of the input, in pixels."""
        return self.input.shape[1]


class GoldenImage(_Part):
    """One image and what each model must answer."""

    file: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-][0-9A-Za-z_.-]{0,99}$")]
    label: _Shown
    probabilities: dict[_Shown, list[_Probability]]
    """By variant, and of the SavedModel."""


class Expected(_Part):
    """`golden/expected.json`."""

    labels: list[_Shown]
    images: Annotated[list[GoldenImage], Field(min_length=1, max_length=1000)]


_Content = TypeVar("_Content", Bundle, Expected)


def parse_bundle(content: bytes) -> Bundle:
    """`bundle.json`.

    Raises:
        BundleError: It is no JSON, of another format, or lacks something.
    """
    try:  # the format comes first: of another one, nothing else can be judged
        found = json.loads(content).get("format")
    except (ValueError, RecursionError, AttributeError):
        found = FORMAT
    if found != FORMAT:
        is_later = type(found) is int and found > FORMAT
        remedy = "use a newer edgetune" if is_later else "use the edgetune that made it, or push the model anew"
        raise BundleError(f"is of format {found!r:.40}, and this edgetune reads format {FORMAT}", remedy)
    return _parse(Bundle, content)


def parse_expected(content: bytes) -> Expected:
    """`golden/expected.json`.

    Raises:
        BundleError: It is no JSON, or lacks something.
    """
    return _parse(Expected, content)


def _parse(kind: type[_Content], content: bytes) -> _Content:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        wrong = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors(include_url=False)]
    named = [f"{where}: {what}" if where else what for where, what in wrong[:_NAMED]]
    more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    raise BundleError("; ".join(named) + more, "fetch the bundle again, or push it anew") from None
