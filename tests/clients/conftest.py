"""The bundle that clients are asked with, made once for all test processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clients.environments import locked
from tests.clients.photo_bundle import Made, make_bundle


@pytest.fixture(scope="session")
def tiles(tmp_path_factory) -> Made:
    """Return a bundle with three variants, of a model that knows digits and tiles of photographs."""
    return made_once(tmp_path_factory, "tiles", make_bundle)


def made_once(tmp_path_factory, name: str, make) -> Made:
    """Return the result of `make(folder)`, made by the first process of this test run that asks; others wait."""
    base: Path = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a folder of its own in the run's
    folder, done = base / name, base / f"{name}.done"
    with locked(base / f"{name}.lock"):
        if done.exists():
            return Made(folder / "bundle", folder / "images.npy")
        folder.mkdir()
        made = make(folder)
        done.touch()
        return made
