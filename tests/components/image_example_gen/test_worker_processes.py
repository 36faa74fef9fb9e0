"""ImageExampleGen with several local worker processes, as in a run with many images."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetune.modules.core import progress
from edgetune.modules.settings.execution import BeamSettings
from edgetune.pipeline.beam.flags import beam_flags
from tests.components.image_example_gen.test_image_example_gen import Made, execute, save

pytestmark = pytest.mark.large  # each process imports TFX

PROCESSES = 2
# At least one process reads a hundred images, after which it reports progress.
IMAGES = 100 * PROCESSES


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two classes with a copy and with files that are not images, for every kind of result."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(IMAGES):
        save(folder / ("cat", "dog")[number % 2] / f"{number}.png", number)
    save(folder / "cat" / "copy.bmp", 0)
    (folder / "cat" / "broken.png").write_bytes((folder / "cat" / "0.png").read_bytes()[:100])
    (folder / "dog" / "notes.txt").write_text("no image")
    return folder


def in_any_order(made: Made) -> dict[str, list[list[tuple[str, bytes | int]]]]:
    return {split: sorted(sorted(row.items()) for row in rows) for split, rows in made.examples.items()}


def test_two_processes_write_what_one_process_writes_and_report_progress(photos, tmp_path):
    alone = execute(photos, tmp_path / "alone")
    heard: list[str] = []
    with progress.listening(heard.append):
        together = execute(photos, tmp_path / "together", flags=beam_flags(BeamSettings(workers=PROCESSES)))
    assert in_any_order(together) == in_any_order(alone)
    assert together.ingest == alone.ingest and together.rejected == alone.rejected
    assert together.ingest["accepted"] == IMAGES + 1 and together.ingest["rejected"] == 2
    assert heard and set(heard) <= {"100 images read", "200 images read"}
