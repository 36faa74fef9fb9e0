"""Which pictures are called blurred, dark or empty, and what the facts cost.

    python -m benchmarks.data.pictures --data DIR [DIR ...]

Every photograph in the class folders of each DIR is measured as it is, and blurred by a Gaussian with a standard
deviation of 1, 2 and 3 % of its longer side. Printed is the share that is called blurred: by ours
(`modules.images.picture_facts`), and by the measure and bounds of CleanVision 0.3 (edges of 64 pixels with a square
root of the variance below 34.2, and a standard deviation of grey of at most 19.8). Then, of the photographs as they
are, each kind of finding, the lowest contrast of ours, and the lowest entropy in bits, for which CleanVision has a
bound of 3; and the milliseconds of processor for the facts beside those of the hash, for one image.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageStat

from benchmarks.lib.measure import cpu_name
from edgetune.modules.data.picture_findings import flaws
from edgetune.modules.images.perceptual_hash import appearance
from edgetune.modules.images.picture_facts import picture_facts

_BLURS = (0.0, 0.01, 0.02, 0.03)
_IMAGE_SIZE = 224


def main() -> None:
    """Measure all folders, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="class folders of images")
    options = parser.parse_args()
    print(f"{cpu_name()}\n\n| | blurred by, of the longer side | ours | CleanVision's |\n|-|-:|-:|-:|")
    kinds: dict[str, Counter[str]] = {}
    lowest: dict[str, tuple[float, float]] = {}
    for folder in options.data:
        photographs = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*/*")) if path.is_file()]
        kinds[folder.name] = Counter()
        contrast = min(appearance(np.asarray(photograph)).facts.contrast for photograph in photographs)
        lowest[folder.name] = contrast, min(photograph.entropy() for photograph in photographs)
        for blur in _BLURS:
            ours = theirs = 0
            for photograph in photographs:
                radius = blur * max(photograph.size)
                seen = photograph.filter(ImageFilter.GaussianBlur(radius)) if blur else photograph
                found = [kind for kind, _ in flaws(appearance(np.asarray(seen)).facts, *seen.size, _IMAGE_SIZE)]
                ours += "blurred" in found
                theirs += _cleanvision(seen)
                kinds[folder.name].update(found if not blur else ())
            number = len(photographs)
            print(f"| {folder.name}, {number} | {blur:.0%} | {ours / number:.1%} | {theirs / number:.1%} |")
    for name, of_folder in kinds.items():
        contrast, entropy = lowest[name]
        print(f"\n{name}, as they are: {dict(of_folder) or 'nothing'}; ", end="")
        print(f"lowest contrast {contrast:.1f}, entropy {entropy:.1f}")
    _cost()


def _cleanvision(image: Image.Image) -> bool:
    ratio = max(image.size) / 64
    small = image.resize((max(1, int(image.width // ratio)), max(1, int(image.height // ratio)))).convert("L")
    edges = ImageStat.Stat(small.filter(ImageFilter.FIND_EDGES)).var[0]
    return math.sqrt(edges) < 34.2 and ImageStat.Stat(small).stddev[0] <= 19.8


def _cost() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    small = np.ascontiguousarray(pixels[:64, :64])
    ycbcr = small.astype(np.float32)
    times = {}
    for what, call in {
        "hash, means and facts": lambda: appearance(pixels),
        "of these, the facts": lambda: picture_facts(small, ycbcr),
    }.items():
        started = time.process_time()
        for _ in range(300):
            call()
        times[what] = (time.process_time() - started) / 300 * 1000
    print("\n" + "; ".join(f"{what} {milliseconds:.2f} ms" for what, milliseconds in times.items()))


if __name__ == "__main__":
    main()
