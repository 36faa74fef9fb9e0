"""The projects that `edgetune client` writes are run: in Python, in Chromium with a film as the camera, and in Kotlin.

Each one's own tests are run as its README says. What they cannot know, that pixels and answers are those of the
pipeline, is compared here.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.images.decode import decode
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.pipeline.client.write import TEMPLATES, write_client
from edgetune.pipeline.demo.npm import CACHE_VARIABLE, installed, node_command
from edgetune.pipeline.demo.site import HERE as DEMO
from tests.clients import test_browser as browser
from tests.clients.environments import Unavailable
from tests.clients.kotlin_compiler import HERE as KOTLIN
from tests.clients.kotlin_compiler import compile_kotlin, java
from tests.clients.photo_bundle import SIZE, VARIANTS
from tests.tiny import model as tiny_model


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """uint8 `[427, 640, 3]`."""
    return load_sample_images().images[1]


def assert_same_pixels(found: np.ndarray, image: np.ndarray) -> None:
    """Assert that pixels are those that the pipeline makes of an image uint8 `[H, W, 3]`, but for halves."""
    difference = np.abs(found.astype(int) - decode(tiny_model.png(image), SIZE).numpy())
    assert difference.max() <= 1 and (difference > 0).mean() < 0.001


@pytest.fixture(scope="module")
def python_project(tiles, tmp_path_factory) -> Path:
    return write_client(tiles.folder, "python", tmp_path_factory.mktemp("python") / "project").parent


def test_python_passes_its_own_tests(python_project):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(python_project)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command, cwd=python_project, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(VARIANTS) + 3} passed" in done.stdout


def test_python_reads_and_answers_as_the_pipeline(python_project, tiles, photograph):
    spec = spec_from_file_location("edge_client", python_project / "classifier.py")
    module = module_from_spec(spec)
    sys.modules["edge_client"] = module  # where dataclasses look for its types
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["edge_client"]
    assert_same_pixels(module.resized(photograph, SIZE), photograph)
    assert_same_pixels(module.resized(photograph[:61, :50], SIZE), photograph[:61, :50])
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "PNG", exif=exif)
    assert (module.upright(Image.open(buffer)) == np.rot90(photograph, -1)).all()
    classifier = module.Classifier("float32")
    [expected] = EdgeRunner(tiles.model("float32").read_bytes()).probabilities(
        decode(tiny_model.png(photograph), SIZE).numpy()[np.newaxis]
    )
    answer = classifier.classify(photograph)
    threshold = tiles.thresholds()[expected.argmax()]
    assert answer.label == tiles.labels()[expected.argmax()]
    assert answer.probability == pytest.approx(expected.max(), abs=1e-3)
    assert answer.accepted == (threshold is not None and answer.probability >= threshold)


def test_the_page_passes_its_own_tests_and_names_what_the_camera_shows(tiles, tmp_path):
    """The camera is a film of one image of a class; the page must name it as we do."""
    image, expected = surest(tiles)
    film = tmp_path / "camera.mjpeg"
    frame = io.BytesIO()
    Image.fromarray(image).resize((640, 480), Image.Resampling.BICUBIC).save(frame, "JPEG", quality=95)
    film.write_bytes(frame.getvalue() * 30)
    project = write_client(tiles.folder, "web", tmp_path / "project").parent
    link_packages(project)
    environment = {**os.environ, "CHROMIUM": browser.chromium(), "CAMERA": str(film)}
    done = subprocess.run(
        [*node_command("node"), "test.mjs"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for variant in VARIANTS:
        assert f"{variant}: {len(tiles.golden()[0])} golden images as measured" in done.stdout
    [(label, probability)] = re.findall(r"^camera: (?:unsure: )?(.+) ([\d.]+)$", done.stdout, re.MULTILINE)
    assert label == tiles.labels()[expected.argmax()]
    assert float(probability) == pytest.approx(expected.max(), abs=0.1)  # the film is compressed, and its colors too


def surest(tiles) -> tuple[np.ndarray, np.ndarray]:
    """Return the image with the surest answer as a camera shows it, uint8 `[S, S, 3]`, and its probabilities."""
    images = np.load(tiles.images)
    answers = EdgeRunner(tiles.model("float16").read_bytes()).probabilities(images)
    best = answers.max(axis=1).argmax()
    return images[best], answers[best]


def link_packages(project: Path) -> None:
    """Give the project the packages that the other tests have installed; its lock must name the same versions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(browser.CACHE))
        try:
            folders = {"@litertjs": installed(DEMO), "playwright-core": installed(browser.DRIVER)}
        except ConfigError as error:
            if "PATH" in error.cause or browser._NO_REGISTRY.search(error.cause):
                pytest.skip(f"{error.cause} ({error.remedy})")
            raise
    (project / "node_modules").mkdir()
    for name, modules in folders.items():
        (project / "node_modules" / name).symlink_to(modules / name)
    locked = json.loads((project / "package-lock.json").read_text())["packages"]
    for place, package in locked.items():
        if place:
            there = json.loads((project / place / "package.json").read_text())
            assert (place, package["version"]) == (place, there["version"])


@pytest.fixture(scope="module")
def kotlin(tmp_path_factory) -> str:
    """Class path of all Kotlin files of the Android project, compiled against real and stubbed classes."""
    files = [*sorted((TEMPLATES / "android").rglob("*.kt")), *sorted(KOTLIN.rglob("*.kt"))]
    assert len([file for file in files if KOTLIN not in file.parents]) == 9
    try:
        return compile_kotlin(files, tmp_path_factory.mktemp("kotlin"))
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_kotlin_compiles_and_passes_its_own_tests(kotlin):
    said = java(kotlin, "org.junit.runner.JUnitCore", "edge.classifier.PixelsTest").decode()
    assert "OK (5 tests)" in said


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_kotlin_turns_and_stretches_a_camera_frame_as_the_pipeline(kotlin, photograph, turns):
    height, width = photograph.shape[:2]
    rgba = np.dstack([photograph, np.full((height, width), 255, np.uint8)])
    arguments = [str(number) for number in (width, height, SIZE, 90 * turns)]
    found = java(kotlin, "ResizeKt", *arguments, given=rgba.tobytes())
    assert_same_pixels(np.frombuffer(found, np.uint8).reshape(SIZE, SIZE, 3), np.rot90(photograph, -turns))
