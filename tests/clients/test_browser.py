"""The demo's page in headless Chromium: LiteRT.js and MediaPipe answer as our interpreter does, and the page holds up.

`browser/drive.mjs` drives the browser; the results are compared here with `modules.litert.interpreter`.
Everything runs through the real server and through the modules that the page itself uses.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from edgetune.modules.images.decode import decode
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.pipeline.demo.npm import CACHE_VARIABLE, node_command
from edgetune.pipeline.demo.site import HERE, make_server
from tests.clients.photo_bundle import Made
from tests.helpers.headless import CACHE, DRIVER, chromium, flags, node_modules
from tests.tiny import model as tiny_model

ENGINES = ("litert", "mediapipe")
VARIANTS = ("float32", "float16", "int8")
IMAGES = 60
SIZE = 96
# Largest difference of a probability from our interpreter's. Measured were 2e-6, 3e-6 and 0; of 8 bits, the kernels of
# another processor may round a product to the other side.
TOLERANCE = {"float32": 1e-5, "float16": 1e-4, "int8": 0.02}


@contextmanager
def serving(bundle: Path) -> Iterator[str]:
    """Serve the demo of a bundle while the block runs, and yield its URL."""
    with make_server(bundle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session", autouse=True)
def _browser() -> None:
    """Before a bundle is made for a browser that is not there."""
    chromium()


@pytest.fixture(scope="module")
def packages() -> Path:
    """`node_modules` of what drives the browser; the engines are there then too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(CACHE))
        yield node_modules(HERE)


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def images(tiles: Made) -> np.ndarray:
    """uint8 `[IMAGES, S, S, 3]`: images of the exact size, spread over all classes."""
    every = np.load(tiles.images)
    return every[np.linspace(0, len(every) - 1, IMAGES).astype(int)]


@pytest.fixture(scope="module")
def photographs() -> dict[str, bytes]:
    """Images that are to be resized: larger and not square, smaller, transparent, and turned by EXIF."""
    flower = Image.fromarray(load_sample_images().images[1])
    files = {}
    for name, image in (
        ("photograph.png", flower),
        ("small.png", flower.resize((61, 50))),
        ("transparent.png", flower.resize((96, 96)).convert("RGBA")),
    ):
        if image.mode == "RGBA":
            image.putalpha(Image.fromarray(np.tile(np.array([0, 255], np.uint8), (96, 48))))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        files[name] = buffer.getvalue()
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    flower.save(buffer, "JPEG", exif=exif, quality=95)
    return files | {"turned.jpg": buffer.getvalue()}


@pytest.fixture(scope="module")
def damaged(tiles: Made, tmp_path_factory) -> Path:
    """Return the bundle with an altered byte in float32, and in float16 something that is not a model."""
    folder = shutil.copytree(tiles.folder, tmp_path_factory.mktemp("damaged") / "bundle")
    model = bytearray((folder / "model_float32.tflite").read_bytes())
    model[len(model) // 2] ^= 1
    (folder / "model_float32.tflite").write_bytes(model)
    noise = np.random.default_rng(1).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    (folder / "model_float16.tflite").write_bytes(noise)
    facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    facts["variants"]["float16"] |= {"bytes": len(noise), "sha256": hashlib.sha256(noise).hexdigest()}
    (folder / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(packages, tiles, images, photographs, damaged) -> dict:
    """Return what the driver saw: `scenarios`, `requests`, and the two servers' URLs."""
    kinds = {".png": "image/png", ".jpg": "image/jpeg"}
    files = [{"name": n, "type": kinds[Path(n).suffix], "base64": encoded(c)} for n, c in photographs.items()]
    with serving(tiles.folder) as good, serving(damaged) as bad:
        order = {
            "modules": str(packages),
            "chromium": chromium(),
            # As root, Chromium runs only without its sandbox; MediaPipe needs WebGL, here without a graphics card.
            "flags": ["--enable-unsafe-swiftshader", *flags()],
            "good": good,
            "damaged": bad,
            "engines": ENGINES,
            "variants": VARIANTS,
            "size": SIZE,
            "images": [encoded(tiny_model.png(image)) for image in images],
            "photographs": files,
        }
        done = subprocess.run(
            [*node_command("node"), str(DRIVER / "drive.mjs")],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "good": good, "bad": bad}


@pytest.fixture(scope="module")
def saw(run):
    """Return what a scenario saw; fail if it did not end or the page threw."""

    def get(name: str):
        found = run["scenarios"][name]
        assert "failed" not in found, found
        assert found["thrown"] == []
        return found["seen"]

    return get


@pytest.fixture(scope="module")
def ours(tiles):
    """Our interpreter's probabilities, by variant and pixels uint8 `[N, S, S, 3]`."""
    runners = {variant: EdgeRunner(tiles.model(variant).read_bytes()) for variant in VARIANTS}
    return lambda variant, pixels: runners[variant].probabilities(pixels)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_images_of_the_exact_size_get_the_answer_of_our_interpreter(saw, ours, tiles, images, engine, variant):
    answers = saw(f"classify {engine}")[variant]
    paths, _ = tiles.golden()
    pixels = np.concatenate([images, np.stack([np.asarray(Image.open(path)) for path in paths])])
    theirs = np.array(answers["images"] + [golden["probabilities"] for golden in answers["golden"]])
    expected = ours(variant, pixels)
    assert theirs.shape == expected.shape == (IMAGES + len(paths), len(tiles.labels()))
    assert len(set(expected.argmax(axis=1))) == len(tiles.labels())  # else one answer for all could pass
    agreement = np.mean(theirs.argmax(axis=1) == expected.argmax(axis=1))
    assert agreement >= (0.97 if variant == "int8" else 1.0)
    assert np.abs(theirs - expected).max() <= TOLERANCE[variant]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_images_pass_as_the_bundle_says(saw, tiles, engine, variant):
    golden = saw(f"classify {engine}")[variant]["golden"]
    _, entries = tiles.golden()
    assert [image["file"] for image in golden] == [entry["file"] for entry in entries]
    assert all(image["passed"] for image in golden)


@pytest.mark.parametrize("name", ["photograph.png", "small.png"])
def test_resizing_as_in_training_gives_the_pixels_of_training(saw, photographs, name):
    found = np.array(saw("pixels")[name]["training"]).reshape(SIZE, SIZE, 4)
    expected = decode(photographs[name], SIZE).numpy().astype(int)
    assert (found[..., 3] == 255).all()
    difference = np.abs(found[..., :3] - expected)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.001  # float32 against float64, at a half


def test_resizing_by_the_browser_differs_a_little(saw, photographs):
    found = np.array(saw("pixels")["photograph.png"]["browser"]).reshape(SIZE, SIZE, 4)[..., :3]
    difference = np.abs(found - decode(photographs["photograph.png"], SIZE).numpy().astype(int))
    assert 0 < difference.mean() < 8


def test_a_photograph_is_turned_upright_as_its_exif_says(saw, photographs):
    seen = saw("pixels")["turned.jpg"]
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(photographs["turned.jpg"])))
    assert (seen["width"], seen["height"]) == upright.size
    expected = decode(tiny_model.png(np.asarray(upright)), SIZE).numpy().astype(int)
    found = np.array(seen["training"]).reshape(SIZE, SIZE, 4)[..., :3]
    assert np.abs(found - expected).mean() < 1  # two JPEG decoders


def test_transparent_pixels_are_white(saw):
    found = np.array(saw("pixels")["transparent.png"]["training"]).reshape(SIZE, SIZE, 4)
    assert (found[:, ::2] == 255).all() and (found[:, 1::2, :3] < 255).any()


def test_the_first_view_shows_a_golden_image_and_the_check_of_all(saw, tiles):
    start = saw("use")["start"]
    paths, entries = tiles.golden()
    assert start["error"] is None
    assert start["top"] == tiles.labels()[int(np.argmax(entries[0]["probabilities"]["float32"]))]
    assert start["verdict"] == f"{len(paths)} of {len(paths)} as expected"
    assert paths[0].name in start["caption"] and "exact size" in start["caption"]
    assert re.fullmatch(r"[\d.]+\sms", start["time"])
    assert start["checked"] == ["float32", "litert", "training"]


def test_an_answer_is_accepted_or_unsure_by_the_threshold_of_its_class(saw, tiles):
    thresholds = tiles.thresholds()
    _, entries = tiles.golden()
    for step, entry in (("start", entries[0]), ("golden", entries[1])):
        best = int(np.argmax(entry["probabilities"]["float32"]))
        sure = thresholds[best] is not None and entry["probabilities"]["float32"][best] >= thresholds[best]
        assert saw("use")[step]["accepted"] == ("accepted" if sure else "unsure")


@pytest.mark.parametrize("step", ["chosen", "dropped", "again"])
def test_a_photograph_that_is_chosen_or_dropped_is_classified(saw, ours, tiles, photographs, step):
    seen = saw("use")[step]
    variant = "float32" if step != "again" else "float16"
    [expected] = ours(variant, decode(photographs["photograph.png"], SIZE).numpy()[np.newaxis])
    labels = tiles.labels()
    order = np.argsort(-expected)
    assert seen["error"] is None and seen["top"] == labels[order[0]]
    assert "photograph.png: 640 × 427 pixels" in seen["caption"]
    if step == "again":  # resized by the browser by then
        return
    shown = [(label, float(share.removesuffix("%"))) for label, share in seen["classes"]]
    assert [label for label, _ in shown[:3]] == [labels[i] for i in order[:3]]
    assert [share for _, share in shown[:3]] == pytest.approx(100 * expected[order[:3]], abs=0.3)
    assert sum(share for _, share in shown) == pytest.approx(100, abs=0.4)
    assert seen["bars"][0] == pytest.approx(100 * expected.max(), abs=0.3)


def test_a_golden_image_that_is_clicked_is_classified(saw, tiles):
    _, entries = tiles.golden()
    seen = saw("use")["golden"]
    assert seen["top"] == tiles.labels()[int(np.argmax(entries[1]["probabilities"]["float32"]))]
    assert entries[1]["label"] in seen["caption"]


def test_variant_engine_and_resize_can_be_switched(saw, run):
    steps = saw("use")
    assert steps["variant"]["checked"] == ["float16", "litert", "training"]
    assert steps["engine"]["checked"] == ["float16", "mediapipe", "training"]
    assert steps["back"]["checked"] == ["float16", "litert", "training"]
    assert steps["resize"]["checked"] == ["float16", "litert", "browser"]
    for step in ("variant", "engine", "back"):
        assert steps[step]["error"] is None and steps[step]["verdict"].endswith(" as expected")
    asked = [Path(request["url"]).name for request in run["requests"] if request["scenario"] == "use"]
    assert [name for name in asked if name.endswith(".tflite")] == ["model_float32.tflite"] + [
        "model_float16.tflite"
    ] * 3


def test_a_file_that_is_no_image_is_an_error_that_goes_away(saw):
    steps = saw("use")
    assert steps["no_image"]["error"] == "notes.txt is not an image that this browser can read."
    assert steps["again"]["error"] is None


def test_a_damaged_model_is_named_and_another_variant_still_works(saw):
    steps = saw("damaged")
    assert steps["altered"]["error"].startswith("model_float32.tflite is damaged: it is not the file that was measured")
    assert steps["altered"]["top"] == "–"
    assert steps["refused"]["error"].startswith("LiteRT.js cannot load model_float16.tflite: ")
    assert steps["refused_by_mediapipe"]["error"].startswith("MediaPipe cannot load model_float16.tflite: ")
    assert steps["whole"]["error"] is None and steps["whole"]["verdict"].endswith(" as expected")


def test_the_page_reaches_no_other_server(run, saw):
    assert saw("private")["answers"] == ["answered", "blocked"]
    strangers = [r["url"] for r in run["requests"] if not r["url"].startswith((run["good"], run["bad"], "blob:"))]
    assert strangers == []
    assert len(run["requests"]) > 100


def test_what_mediapipe_reports_is_blocked_without_harm(run, saw):
    still = saw("private")["still"]
    [blocked] = set(run["scenarios"]["private"]["violations"])
    assert blocked.startswith("https://")
    assert still["error"] is None and "mediapipe" in still["checked"] and "01.png" in still["caption"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_whole_and_without_barriers(saw, scheme):
    seen = saw(f"phone {scheme}")
    assert seen["overflow"] == 0
    assert seen["axe"] == []
    assert seen["background"] == {"light": "rgb(244, 246, 245)", "dark": "rgb(14, 20, 19)"}[scheme]
