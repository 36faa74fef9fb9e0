"""All checks of a local run, in the order of their cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgetune.modules.data.digits import EMBEDDED, write_digits
from edgetune.modules.data.sources import Source, discover
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.preflight.engine import check_engine
from edgetune.pipeline.preflight.urls import check_places

if TYPE_CHECKING:
    from edgetune.modules.training.devices import Choice


def find_source(settings: RunSettings, workdir: Path) -> Source:
    """Find out what the images are; the embedded digits are written to the workdir first.

    Raises:
        DataError: As `modules.data.sources.discover`.
    """
    data = settings.data
    if data.path == EMBEDDED:
        data = data.model_copy(update={"path": str(write_digits(workdir / "data" / "digits"))})
    return discover(data)


def check_run(
    settings: RunSettings, source: Source, root: str, flags: Sequence[str], report: Callable[[str], None]
) -> Choice:
    """Check everything that can be found wrong in seconds, before TFX is imported.

    Args:
        settings: Of the run.
        source: What `find_source` found.
        root: Folder or URL of the pipeline's artifacts.
        flags: Beam's.
        report: Called with what is being loaded.

    Returns:
        Where the network is trained.

    Raises:
        ConfigError: The engine, a URL, a device or the signing key cannot be used, or settings do not go together.
        WeightsError: The weights are unavailable, or do not fit.
        TrainingError: There are no such devices.
    """
    check_engine(settings.beam, flags, {"data.path": settings.data.path, "state.root": root})
    # It imports TensorFlow, which takes longer than everything above.
    report(f"{source.size}, TensorFlow")
    from edgetune.pipeline.preflight.training import check_devices, check_network, check_push

    device = check_devices(settings.training)
    push = settings.push
    places = {"state.root": settings.state.root, "push.saved_model": push.saved_model, "push.edge": push.edge}
    check_places(places, flags)
    check_push(push)
    check_network(settings.model, settings.training)
    return device
