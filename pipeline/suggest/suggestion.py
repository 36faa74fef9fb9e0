"""Measure all backbones that can be had on a sample of the data, and pick one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.modules.core import progress
from edgetune.modules.core.errors import ConfigError, ExportError, WeightsError
from edgetune.modules.core.package_paths import portable
from edgetune.modules.core.wording import counted
from edgetune.modules.settings.run import ModelSettings, RunSettings, Variant
from edgetune.pipeline.inspect.estimate import estimate_tries
from edgetune.pipeline.suggest.backbones import Missing, Wanted, find, name_of
from edgetune.pipeline.suggest.choice import Candidate, Limits, Pick, not_dominated, pick
from edgetune.pipeline.suggest.sample import Sample, draw
from edgetune.pipeline.terminal.console import duration


@dataclass(frozen=True)
class Suggestion:
    """What was measured, and the pick."""

    given: ModelSettings
    """The configured network."""
    images: int
    """Of the sample."""
    of: int
    """Images that the sample was drawn from."""
    classes: int
    variant: Variant
    cpu: str
    threads: int
    limits: Limits
    models: tuple[ModelSettings, ...]
    candidates: tuple[Candidate, ...]
    """Of `models`, in the same order: the most accurate first, then those whose accuracy was not measured."""
    missing: tuple[Missing, ...]
    pick: Pick | None
    """None if no candidate is within the limits."""

    def settings(self) -> dict[str, Any]:
        """Return the settings of the pick by their dotted names, without those that are configured so already."""
        if self.pick is None:
            return {}
        model = self.models[self.pick.row]
        names = ["weights", "weights_sha256", "alpha", "minimalistic"]
        changed = {name: getattr(model, name) for name in names if getattr(model, name) != getattr(self.given, name)}
        changed = {"backbone": model.backbone, "image_size": model.image_size, **changed}
        return {f"model.{name}": value for name, value in changed.items()}

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        on_front = not_dominated(self.candidates)
        return {
            "images": self.images,
            "of_images": self.of,
            "classes": self.classes,
            "variant": self.variant,
            "cpu": self.cpu,
            "threads": self.threads,
            "max_ms": self.limits.max_ms,
            "max_mb": self.limits.max_mb,
            "candidates": [
                {
                    "name": candidate.name,
                    **model.model_dump(mode="json", include={"backbone", "alpha", "minimalistic", "image_size"}),
                    "weights": portable(model.weights),
                    "accuracy": candidate.accuracy,
                    "interval": candidate.interval,
                    "ms": candidate.ms,
                    "bytes": candidate.bytes,
                    "not_dominated": front,
                    "beyond_limits": self.limits.beyond(candidate) or None,
                }
                for model, candidate, front in zip(self.models, self.candidates, on_front, strict=True)
            ],
            "not_measured": [{"name": one.name, "reason": one.reason} for one in self.missing],
            "pick": self.candidates[self.pick.row].name if self.pick else None,
            "reason": self.pick.reason if self.pick else None,
            "settings": self.settings(),
        }

    def require_pick(self) -> None:
        """Raise an error if nothing was picked.

        Raises:
            ConfigError: No backbone is within the limits.
        """
        if self.pick is None:
            nearest = min(self.candidates, key=lambda candidate: (candidate.ms, candidate.bytes))
            raise ConfigError(
                f"none of {counted(len(self.candidates), 'backbone')} is within the limits; the fastest is "
                f"{nearest.name}: {self.limits.beyond(nearest)}",
                "raise --max-ms or --max-mb, lower --image-size, or give --weights of a narrower backbone",
            )


def suggest(
    settings: RunSettings,
    wanted: Wanted,
    limits: Limits,
    variant: Variant,
    most_images: int,
    report: Callable[[str], None],
) -> Suggestion:
    """Measure all backbones that can be had, and pick one.

    Args:
        settings: The data, how it is read, the head, and `training.seed`.
        wanted: Which backbones.
        limits: What the converted network may take. The accuracy of what exceeds them is not measured.
        variant: What the networks are converted to.
        most_images: Of the sample.
        report: Called with a line on what is being done.

    Raises:
        ConfigError: As of `backbones.find`.
        DataError: As of `sample.draw`.
        WeightsError: No backbone can be had.
    """
    models, missing = find(settings, wanted)
    if not models:
        raise _none(missing)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        sample = draw(settings.data, most_images, Path(folder))
        about = duration(estimate_tries(len(sample.files), models))
        report(f"{counted(len(models), 'backbone')} on {counted(len(sample.files), 'image')}, up to about {about} here")
        measured: list[tuple[ModelSettings, Candidate]] = []
        for number, model in enumerate(models, start=1):
            where = f"{number}/{len(models)} {name_of(model)}"
            try:
                candidate = _measured(model, sample, variant, settings.training.seed, limits, where, report)
            except (WeightsError, ExportError) as error:
                missing.append(Missing(name_of(model), error.cause))
                report(f"{where}: {error.cause}")
                continue
            measured.append((model, candidate))
    if not measured:
        raise _none(missing)
    report(f"took {duration(time.monotonic() - began)}")
    return _chosen(settings.model, measured, missing, sample, variant, limits)


def _measured(
    model: ModelSettings,
    sample: Sample,
    variant: Variant,
    seed: int,
    limits: Limits,
    where: str,
    report: Callable[[str], None],
) -> Candidate:
    from edgetune.pipeline.suggest.measure import measure

    def wanted(candidate: Candidate) -> bool:
        beyond = limits.beyond(candidate)
        report(f"{where}: {f'left out, {beyond}' if beyond else 'features'}")
        return not beyond

    with progress.listening(lambda doing: report(f"{where}: {doing}")):
        return measure(model, sample, variant, seed, wanted)


def _chosen(
    given: ModelSettings,
    measured: list[tuple[ModelSettings, Candidate]],
    missing: list[Missing],
    sample: Sample,
    variant: Variant,
    limits: Limits,
) -> Suggestion:
    from edgetune.modules.evaluation.edge import LATENCY_THREADS
    from edgetune.modules.litert.interpreter import cpu_name

    measured.sort(key=lambda pair: (-(pair[1].accuracy or 0.0), pair[1].ms))
    models, candidates = zip(*measured, strict=True)
    return Suggestion(
        given,
        len(sample.files),
        sample.of,
        len(sample.classes),
        variant,
        cpu_name(),
        LATENCY_THREADS,
        limits,
        models,
        candidates,
        tuple(missing),
        pick(candidates, limits),
    )


def _none(missing: list[Missing]) -> WeightsError:
    reasons = "".join(f"\n  - {one.name}: {one.reason}" for one in missing)
    return WeightsError(
        f"no backbone can be measured:{reasons}",
        "give files of weights by --weights, or let Keras download its own by --download",
    )
