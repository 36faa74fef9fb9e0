"""Verify an edge bundle, from its list of files to the answers of its models, for `edgetune verify`.

All checks are done even if some fail, so that all problems of a bundle are reported at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgetune.modules.bundle.files import BundleFiles, checksum_problems, refuse_parent, shown
from edgetune.modules.bundle.probe import Task, label_difference, probe, tolerance
from edgetune.modules.bundle.signing import NO_KEY, Trust
from edgetune.modules.contracts.bundle import (
    BUNDLE_JSON,
    CHECKSUMS,
    EXPECTED,
    GOLDEN,
    MODEL_CARD,
    SIGNATURE,
    Bundle,
    Expected,
    VariantFacts,
    normalisation,
    parse_bundle,
    parse_expected,
)
from edgetune.modules.contracts.signatures import LABELS_FILE
from edgetune.modules.core import bounds
from edgetune.modules.core.errors import BundleError
from edgetune.modules.core.wording import counted

_AGAIN = "fetch the bundle again; if this error remains, push it again"


@dataclass(frozen=True)
class Check:
    """Result of one check."""

    outcome: Literal["ok", "failed", "skipped"]
    file: str
    text: str
    """The finding in one sentence; if the check was skipped, the reason."""
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"\n         remedy: {self.remedy}" if self.remedy else ""
        return f"{self.outcome:<8} {shown(self.file)}: {shown(self.text, 1000)}{remedy}"


class _Checks:
    def __init__(self, report: Callable[[Check], None]) -> None:
        self.done: list[Check] = []
        self._report = report

    def ok(self, file: str, text: str) -> None:
        self._add(Check("ok", file, text))

    def failed(self, file: str, text: str, remedy: str = _AGAIN) -> None:
        self._add(Check("failed", file, text, remedy))

    def skipped(self, file: str, text: str) -> None:
        self._add(Check("skipped", file, text))

    def _add(self, check: Check) -> None:
        if any((check.file, check.text) == (other.file, other.text) for other in self.done):
            return  # several checks may find the same file missing
        self.done.append(check)
        self._report(check)


def verify(
    folder: Path,
    trust: Trust = NO_KEY,
    report: Callable[[Check], None] = lambda _: None,
) -> list[Check]:
    """Run all checks on a bundle.

    Args:
        folder: `<destination>/<version>` of a push, on this machine.
        trust: Whose signature it must have; by default, a signed bundle fails.
        report: Called with each check when it is done.

    Raises:
        BundleError: The folder cannot be read, or is too large for a bundle. Other problems are failed checks.
        ConfigError: The public key does not exist, or the tool is not installed.
    """
    refuse_parent(folder, "edgetune verify")
    checks, files = _Checks(report), BundleFiles(folder)
    problems = checksum_problems(files)
    for file, cause, remedy in problems:
        checks.failed(file, cause, remedy)
    if not problems:
        checks.ok(
            CHECKSUMS, f"{len(set(files.sizes) - {CHECKSUMS, SIGNATURE})} files, none missing, altered or unlisted"
        )
    bundle = _bundle(files, checks)
    if bundle is None:
        checks.skipped("the models", f"not checked without {BUNDLE_JSON}, which describes them")
    else:
        _check_labels(files, bundle, checks)
        expected = _expected(files, bundle, checks)
        for variant, facts in bundle.variants.items():
            _check_variant(files, bundle, variant, facts, expected, checks)
        named = {facts.file for facts in bundle.variants.values()}
        for stray in sorted(name for name in files.sizes if name.endswith(".tflite") and name not in named):
            checks.failed(stray, f"is a model that {BUNDLE_JSON} does not name", "remove it, or push the bundle again")
    if MODEL_CARD not in files.sizes:
        checks.failed(MODEL_CARD, files.refused.get(MODEL_CARD, "is missing"))
    _check_signature(files, trust, checks)
    return checks.done


def _bundle(files: BundleFiles, checks: _Checks) -> Bundle | None:
    try:
        bundle = parse_bundle(files.read(BUNDLE_JSON))
    except BundleError as error:
        checks.failed(BUNDLE_JSON, error.cause, error.remedy)
        return None
    size, variants = bundle.image_size, ", ".join(bundle.variants)
    checks.ok(BUNDLE_JSON, f"format {bundle.format}, {len(bundle.labels)} classes, {size} x {size} pixels, {variants}")
    return bundle


def _check_labels(files: BundleFiles, bundle: Bundle, checks: _Checks) -> None:
    try:
        found = files.read(LABELS_FILE).decode().splitlines()
    except BundleError as error:
        checks.failed(LABELS_FILE, error.cause, error.remedy)
    except UnicodeDecodeError:
        checks.failed(LABELS_FILE, "is not UTF-8 text")
    else:
        if found == bundle.labels:
            checks.ok(LABELS_FILE, f"the {len(found)} labels of {BUNDLE_JSON}, in its order")
        else:
            checks.failed(LABELS_FILE, label_difference("in it", found, bundle.labels))


def _expected(files: BundleFiles, bundle: Bundle, checks: _Checks) -> list[tuple[str, bytes, dict[str, list[float]]]]:
    """Return name, PNG and probabilities by variant of each usable golden image."""
    name = f"{GOLDEN}/{EXPECTED}"
    try:
        expected = parse_expected(files.read(name))
    except BundleError as error:
        checks.failed(name, error.cause, error.remedy)
        return []
    wrong = _expected_problems(expected, bundle)
    for cause in wrong:
        checks.failed(name, cause)
    usable = []
    for image in expected.images:
        try:
            usable.append((f"{GOLDEN}/{image.file}", files.read(f"{GOLDEN}/{image.file}"), image.probabilities))
        except BundleError as error:
            checks.failed(f"{GOLDEN}/{image.file}", f"{error.cause}, but {name} names it", error.remedy)
    if not wrong and len(usable) == len(expected.images):
        checks.ok(name, f"{counted(len(usable), 'golden image')}, with the expected answers of each variant")
    return usable


def _expected_problems(expected: Expected, bundle: Bundle) -> list[str]:
    found = []
    if expected.labels != bundle.labels:
        found.append(label_difference("in it", expected.labels, bundle.labels))
    for image in expected.images:
        if image.label not in bundle.labels:
            found.append(f"{image.file} is of class {image.label!r}, which is not a label in {BUNDLE_JSON}")
        for variant in bundle.variants:
            length = len(image.probabilities.get(variant, ()))
            if length != len(bundle.labels):
                found.append(f"{image.file} has {length} probabilities of {variant} for {len(bundle.labels)} labels")
    return found


def _check_variant(
    files: BundleFiles,
    bundle: Bundle,
    variant: str,
    facts: VariantFacts,
    golden: list[tuple[str, bytes, dict[str, list[float]]]],
    checks: _Checks,
) -> None:
    name = facts.file
    try:
        content = files.read(name, bounds.MAX_MODEL)
        digest = files.sha256(name)
    except BundleError as error:
        checks.failed(name, error.cause, error.remedy)
        return
    if len(content) != facts.bytes:
        checks.failed(name, f"has {len(content)} bytes, but {BUNDLE_JSON} says {facts.bytes}")
    elif digest != facts.sha256:
        checks.failed(name, f"is not the file that was measured: its digest differs from {BUNDLE_JSON}")
    else:
        checks.ok(name, f"the file that was measured, {len(content)} bytes")
    comparable = [(image, png, p[variant]) for image, png, p in golden if len(p.get(variant, ())) == len(bundle.labels)]
    size = bundle.image_size
    ops = facts.model_dump()["ops"]
    normal = normalisation(variant, bundle.input.mean, bundle.input.std)
    found = probe(Task(content, variant, bundle.labels, size, ops, facts.min_runtime, normal, comparable))
    for cause in found.file:
        checks.failed(name, cause)
    if found.file:
        return
    checks.ok(name, f"takes {size} x {size} RGB, gives {len(bundle.labels)} probabilities, has the same labels")
    for cause in found.golden:
        checks.failed(name, cause, "use another variant on this machine, or push the bundle again")
    if not comparable:
        checks.skipped(name, "no golden image to run it on")
    elif not found.golden:
        difference = f"largest difference {found.difference:.1e}, {tolerance(variant):g} is allowed"
        checks.ok(name, f"gives the expected answers for {counted(len(comparable), 'golden image')}: {difference}")


def _check_signature(files: BundleFiles, trust: Trust, checks: _Checks) -> None:
    if trust.ignore:
        checks.skipped(SIGNATURE, "not checked, as you chose")
        return
    try:
        trust.check(files.folder)
    except BundleError as error:
        checks.failed(SIGNATURE, error.cause, error.remedy)
    else:
        if trust.public_key is None:
            checks.skipped(SIGNATURE, "the bundle is not signed, and no --public-key was given")
        else:
            checks.ok(SIGNATURE, f"is a valid signature of all files with the key {trust.public_key}")
