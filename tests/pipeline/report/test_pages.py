"""Reports of five kinds of runs, and their index, in headless Chromium: on a desk and on a phone, and without barriers.

`tests/clients/browser/report.mjs` drives the browser, once for all pages; axe-core judges them.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgetune.modules.data.findings import Finding, Picture
from edgetune.modules.evaluation.notable import MISTAKE, UNCERTAIN
from edgetune.pipeline.demo.npm import node_command
from edgetune.pipeline.metadata.outcome import Outcome, read_outcome
from edgetune.pipeline.report import write_index, write_report
from tests.helpers.headless import DRIVER, chromium, flags, node_modules
from tests.helpers.recorded_run import Recorder
from tests.pipeline.report.test_report import LABELS, record_files, record_run, refuse, settings, variant

KINDS = ("blessed", "refused", "gate", "crash", "interrupted", "index")
WIDTHS = ("1280", "375")
PICTURES = "EDGETUNE_TEST_SCREENSHOTS"
"""Folder for screenshots, for people who want to look."""


def jpeg(number: int) -> bytes:
    """Return a small picture that is unlike those of other numbers."""
    y, x = np.mgrid[:64, :96]
    pixels = np.stack([x * 2 + 9 * number, y * 3 + 31 * number, x + y + 70 * number], axis=2) % 256
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def text(number: int) -> str:
    return base64.b64encode(jpeg(number)).decode()


def photographs(folder: Path) -> Path:
    """Write the files of a data set whose samples a run recorded, and one that was rejected and is an image."""
    for name in LABELS:
        (folder / name).mkdir(parents=True)
        for number in range(4):
            (folder / name / f"{number}.jpg").write_bytes(jpeg(number + 3 * LABELS.index(name)))
    (folder / "ash" / "<b>0.jpg").write_bytes(jpeg(77))
    return folder


def with_pictures(run: Path, photos: Path) -> None:
    """Add to a recorded run what only pictures are made of."""
    samples = {split: {name: [f"{name}/{n}.jpg" for n in range(3)] for name in LABELS} for split in ("train", "test")}
    source = {"kind": "images", "base": str(photos), "max_pixels": 10**7, "max_side": 0, "background": "#ffffff"}
    record_files(run / "ingest", "", samples__json=samples, source__json=source)
    answers = [
        {
            "kind": kind,
            "file": f"beech/{number}.jpg",
            "label": "beech",
            "answers": [["ash" if kind == MISTAKE else "beech", 0.9], ["cedar", 0.06], ["ash", 0.04]],
            "jpeg": text(number),
            "looked": text(number + 40) if kind == MISTAKE else "",
        }
        for kind in (MISTAKE, UNCERTAIN)
        for number in range(12)
    ]
    record_files(run / "edge_evaluation", "", notable__json=answers)


def stopped(folder: Path, last: str, state: str) -> Outcome:
    """Record a run that ended at a component."""
    recorder = Recorder(folder / "metadata.db", "trees")
    recorder.run(f"run-{last}")
    for name in ("ImageExampleGen", "ImportSchemaGen", "StatisticsGen"):
        outputs = {"examples": ("Examples", f"/a/long/path/to/the/artifacts/of/{name}/examples/1", {})}
        inputs = {} if name == "ImageExampleGen" else {"examples": ("ImageExampleGen", "examples")}
        recorder.node(name, outputs=outputs, inputs=inputs)
    recorder.node(last, state, inputs={"examples": ("ImageExampleGen", "examples")})
    return read_outcome(folder / "metadata.db", "trees")


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Return the page of each kind of run; the refused one is compared with the blessed one."""
    folder = tmp_path_factory.mktemp("runs")
    reports, photos = folder / "reports", photographs(folder / "photos")
    alike = tuple(Picture(f"ash/{number}.jpg", group=1 + number // 2) for number in range(4))
    note = Finding("near_duplicates", "4 of 9 images are near-duplicates", "drop them", informs=True, pictures=alike)
    two = tuple(Picture(f"{name}/1.jpg", text(3), name) for name in ("ash", "beech"))
    found = Finding("two_labels", "the same image has the labels ash and beech", "choose one", pictures=two)

    def write(kind: str, outcome: Outcome, **more: Any) -> Path:
        to = reports / "trees" / kind
        return write_report(outcome, to, settings=settings(), log=Path("/logs/run.log"), **{"error": None, **more})

    made = {}
    for kind, variants in (("blessed", None), ("refused", {"int8": variant(0.9, 999_999, ["too slow for <you>"])})):
        given = {"findings": [asdict(note)]} if variants is None else {"variants": variants}
        outcome = record_run(folder / kind, **given)
        with_pictures(folder / kind, photos)
        if kind == "refused":
            refuse(folder / kind)
        made[kind] = write(kind, outcome)
    for kind, last, state, more in (
        ("gate", "DatasetGate", "FAILED", {"error": "2 findings\n  remedy: see each", "findings": [found, note]}),
        ("crash", "TwoPhaseTrainer", "FAILED", {"error": "the loss is nan\n  remedy: a lower learning rate"}),
        ("interrupted", "EdgeExporter", "RUNNING", {"error": "interrupted by Ctrl-C\n  remedy: run again"}),
    ):
        (folder / kind).mkdir()
        made[kind] = write(kind, stopped(folder / kind, last, state), **more)
    return {**made, "index": write_index(reports)}


@pytest.fixture(scope="module")
def seen(pages) -> dict[str, Any]:
    """Return what the driver saw, by kind and width."""
    order = {
        "modules": str(node_modules()),
        "chromium": chromium(),
        "flags": flags(),
        "pages": {kind: str(page) for kind, page in pages.items()},
        "pictures": os.environ.get(PICTURES),
    }
    done = subprocess.run(
        [*node_command("node"), str(DRIVER / "report.mjs")],
        input=json.dumps(order), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_fits_and_has_no_barriers(seen, kind, width):
    found = seen[kind][width]
    assert found["overflow"] <= 0
    assert found["axe"] == []
    assert [region for region in found["regions"] if not region["focusable"] or not region["name"]] == []
    assert found["violations"] == [] and found["images"]["shown"] == found["images"]["all"]
    # The file itself, and its images.
    assert [url for url in found["requests"] if not url.startswith("data:image/jpeg")] == found["requests"][:1]


def test_what_needs_room_scrolls_in_a_region_of_its_own(seen):
    assert {region["name"] for region in seen["blessed"]["375"]["regions"]} >= {
        "Checks and gates, with what was measured and needed",
        "Picture of the components that ran",
    }


def test_the_keyboard_reaches_the_sections_first(seen):
    assert seen["blessed"]["375"]["reached"] == ["Skip to the results", "Verdict", "Results"]


def test_pages_show_the_users_images(seen):
    images = {kind: seen[kind]["1280"]["images"]["all"] for kind in KINDS}
    # 12 mistakes with what they depend on and 12 uncertain answers, 18 samples, 4 near-duplicates, a rejected file.
    assert images["blessed"] == 24 + 12 + 18 + 4 + 1
    assert images["refused"] == 24 + 12 + 18 + 1
    assert images["gate"] == 2
    assert images["crash"] == images["interrupted"] == images["index"] == 0
