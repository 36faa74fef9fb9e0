"""Where a run on this machine keeps what it makes: in the workdir, unless the configuration names other places."""

from __future__ import annotations

from pathlib import Path

from edgetune.modules.release.release import Places
from edgetune.modules.settings.run import RunSettings


def root(settings: RunSettings, workdir: Path) -> str:
    """Return the folder or URL of the pipeline's artifacts."""
    return f"{settings.state.root or workdir / 'tfx_pipeline_output'}".rstrip("/") + f"/{settings.name}"


def metadata_db(settings: RunSettings, workdir: Path) -> Path:
    """Return the file of ML Metadata; it is not used if `state.metadata` names a server."""
    return workdir / "tfx_metadata" / settings.name / "metadata.db"


def pushed(settings: RunSettings, workdir: Path) -> Places:
    """Return the folders or URLs of released versions."""
    folder = workdir / "pushed" / settings.name
    return Places(
        edge=settings.push.edge or str(folder / "edge"),
        saved_model=settings.push.saved_model or str(folder / "saved_model"),
    )
