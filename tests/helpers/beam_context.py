"""Contexts for executors in this process, as in a local TFX run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor

from edgetune.modules.settings.execution import BeamSettings
from edgetune.pipeline.beam.flags import beam_flags


def context(folder: Path, flags: Sequence[str] = ()) -> BaseBeamExecutor.Context:
    """Return a context with edgetune's Beam flags, additional flags, and temporary files below `folder`."""
    given = [*beam_flags(BeamSettings()), *flags]
    return BaseBeamExecutor.Context(beam_pipeline_args=given, tmp_dir=str(folder / "tmp"), unique_id="1")
