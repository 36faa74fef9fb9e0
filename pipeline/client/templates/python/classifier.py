"""Classify photographs and camera frames with the edge bundle in `bundle/`.

    python classifier.py photograph.jpg ...
    python classifier.py --camera 0

The contract of the model is read from `bundle/bundle.json`. Only LiteRT, NumPy and Pillow are needed; the camera needs
`pip install opencv-python` too.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageCms, ImageOps

BUNDLE = Path(__file__).resolve().parent / "bundle"
VARIANTS = ("float16", "float32", "int8", "dynamic")
"""The first of these that is in the bundle is used, unless you name another."""


@dataclass(frozen=True)
class Answer:
    """A model's answer for one image."""

    label: str
    """The most probable class."""
    probability: float
    accepted: bool | None
    """Whether the probability reaches the threshold of the class; None if the bundle has no thresholds."""


class Classifier:
    """One variant of the bundle: `labels` in the order of the probabilities, `size` of the input in pixels.

    Args:
        variant: Its name in bundle.json; by default the first of `VARIANTS` that is in the bundle.

    Raises:
        ValueError: The bundle has no such variant, or the file is not the one that was measured.
    """

    def __init__(self, variant: str | None = None, bundle: Path = BUNDLE) -> None:
        facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
        variant = variant or next(name for name in VARIANTS if name in facts["variants"])
        if variant not in facts["variants"]:
            raise ValueError(f"the bundle has no variant {variant}, but {', '.join(facts['variants'])}")
        file = facts["variants"][variant]
        content = (bundle / file["file"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != file["sha256"]:
            raise ValueError(f"{file['file']} is not the file that was measured: copy the bundle again")
        self.variant: str = variant
        self.labels: list[str] = facts["labels"]
        self.size: int = facts["input"]["shape"][1]
        self.background = tuple((facts["input"].get("reading") or {}).get("background", (255, 255, 255)))
        self.thresholds: list[float | None] | None = (facts.get("calibration") or {}).get("thresholds")
        # The float variants take (value - mean) / std of each channel's 0..255; int8 takes the bytes themselves.
        self._mean, self._std = facts["input"].get("mean", 0), facts["input"].get("std", 1)
        self._interpreter = Interpreter(model_content=content, num_threads=2)
        self._interpreter.allocate_tensors()
        [self._input], [self._output] = self._interpreter.get_input_details(), self._interpreter.get_output_details()

    def classify(self, image: Image.Image | np.ndarray | str | Path) -> Answer:
        """Classify a file, an image of Pillow, or a camera frame: upright RGB, uint8 `[H, W, 3]`."""
        if isinstance(image, str | Path):
            image = Image.open(image)
        pixels = image if isinstance(image, np.ndarray) else upright(image, self.background)
        probabilities = self.probabilities(resized(pixels, self.size))
        best = int(probabilities.argmax())
        return Answer(self.labels[best], float(probabilities[best]), self.accepts(best, probabilities[best]))

    def accepts(self, index: int, probability: float) -> bool | None:
        """Return whether an answer reaches the threshold of its class; a class without one is never sure enough."""
        if self.thresholds is None:
            return None
        threshold = self.thresholds[index]
        return threshold is not None and bool(probability >= threshold)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return float32 `[C]` for uint8 `[size, size, 3]`, RGB."""
        if self._input["dtype"] == np.float32:
            pixels = (pixels.astype(np.float32) - self._mean) / self._std
        self._interpreter.set_tensor(self._input["index"], pixels[np.newaxis].astype(self._input["dtype"]))
        self._interpreter.invoke()
        return np.array(self._interpreter.get_tensor(self._output["index"])[0])


def upright(image: Image.Image, background: tuple[int, ...] = (255, 255, 255)) -> np.ndarray:
    """Return uint8 `[H, W, 3]`: turned as the EXIF data says, in sRGB, on the background where it is transparent."""
    image = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGBA", rgba.size, (*background, 255))
        image.alpha_composite(rgba)
    image = image.convert("RGB")
    if profile:
        try:
            own = ImageCms.getOpenProfile(io.BytesIO(profile))
            image = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
        except ImageCms.PyCMSError:
            pass  # a damaged profile, or one of another color model
    return np.asarray(image)


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """Stretch uint8 `[H, W, 3]` to `[size, size, 3]` as in training: bilinear with antialiasing, rounded once."""
    if pixels.shape[:2] == (size, size):
        return pixels
    channels = [Image.fromarray(pixels[..., channel].astype(np.float32)) for channel in range(3)]
    stretched = [np.asarray(one.resize((size, size), Image.Resampling.BILINEAR)) for one in channels]
    return np.rint(np.stack(stretched, axis=-1)).clip(0, 255).astype(np.uint8)


def main() -> None:
    """Classify the files that are named, or what the camera sees until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Classify photographs, or the frames of a camera.")
    parser.add_argument("images", nargs="*", metavar="IMAGE")
    parser.add_argument("--variant", help=f"default: the first of {', '.join(VARIANTS)} that is in the bundle")
    parser.add_argument("--camera", type=int, metavar="N", help="number of a camera, 0 for the first")
    options = parser.parse_args()
    classifier = Classifier(options.variant)
    for name in options.images:
        print(f"{name}  {told(classifier.classify(name))}")
    if options.camera is not None:
        watch(classifier, options.camera)


def watch(classifier: Classifier, camera: int) -> None:
    """Print the answer to each frame of a camera."""
    import cv2

    frames = cv2.VideoCapture(camera)
    while True:
        there, frame = frames.read()  # uint8 [H, W, 3], upright, in the order blue, green, red
        if not there:
            raise SystemExit(f"camera {camera} gives no frames")
        print(f"\r{told(classifier.classify(np.ascontiguousarray(frame[..., ::-1]))):<60}", end="", flush=True)


def told(answer: Answer) -> str:
    """Return an answer as a line; one that is not accepted is unsure."""
    return f"{'unsure: ' if answer.accepted is False else ''}{answer.label} {answer.probability:.3f}"


if __name__ == "__main__":
    main()
