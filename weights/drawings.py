"""Draw letters and shapes, but no digits, for pretraining a backbone without third-party images.

A drawing is made in three random steps, which depend only on the seed and the drawing's number:

    ink      a letter in a font that matplotlib ships, or a shape made of lines, arcs and polygons
    warp     rotate, shear, stretch and bend a little, as in handwriting
    render   colours, background, blur, noise; some are reduced to a thumbnail of few pixels and scaled up again
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIZE = 96
"""Height and width of a drawing, in pixels."""

# Lower-case letters like small capitals are left out, because the scale is random; and `l`, because many fonts
# draw it as `I`.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "abdefghijmnqrty"
FONTS = (
    *(f"DejaVu{face}" for face in ("Sans", "Sans-Bold", "Sans-Oblique", "Serif", "Serif-Italic", "Serif-Bold")),
    *(f"DejaVuSansMono{face}" for face in ("", "-Bold", "-Oblique")),
    *(f"STIXGeneral{face}" for face in ("", "Bol", "BolIta", "Italic")),
)

_CANVAS = 160
_MIDDLE = _CANVAS / 2
Points = list[tuple[float, float]]


def _on_circle(count: int, radius: float, start: float = -90.0) -> Points:
    angles = (math.radians(start + 360.0 * i / count) for i in range(count))
    return [(_MIDDLE + radius * math.cos(a), _MIDDLE + radius * math.sin(a)) for a in angles]


def _curve(x: Callable[[float], float], y: Callable[[float], float], turns: float = 1.0) -> Points:
    angles = np.linspace(0.0, 2.0 * math.pi * turns, 60)
    return [(_MIDDLE + 55.0 * x(a), _MIDDLE + 55.0 * y(a)) for a in angles]


def _star(points: int) -> Points:
    outer, inner = _on_circle(points, 60), _on_circle(points, 26, -90.0 + 180.0 / points)
    return [p for pair in zip(outer, inner, strict=True) for p in pair]


def _closed(points: Points) -> list[Points]:
    return [[*points, points[0]]]


def _grid() -> list[Points]:
    return [line for t in (35.0, 80.0, 125.0) for line in ([(t, 25.0), (t, 135.0)], [(25.0, t), (135.0, t)])]


def _ladder() -> list[Points]:
    rungs = [[(50.0, y), (110.0, y)] for y in (40.0, 65.0, 95.0, 120.0)]
    return [[(50.0, 20.0), (50.0, 140.0)], [(110.0, 20.0), (110.0, 140.0)], *rungs]


SHAPES: dict[str, list[Points]] = {
    "triangle": _closed(_on_circle(3, 60)),
    "square": _closed([(30.0, 30.0), (130.0, 30.0), (130.0, 130.0), (30.0, 130.0)]),
    "pentagon": _closed(_on_circle(5, 58)),
    "star": _closed(_star(5)),
    "burst": _closed(_star(9)),
    "half disc": _closed(_curve(math.cos, lambda a: -math.sin(a), 0.5)),
    "crescent": _closed(
        [(70.0 + 55.0 * math.cos(a), 80.0 + 55.0 * math.sin(a)) for a in np.linspace(0.9, 5.4, 40)]
        + [(88.0 + 38.0 * math.cos(a), 80.0 + 44.0 * math.sin(a)) for a in np.linspace(5.2, 1.1, 40)]
    ),
    "heart": _closed(
        _curve(
            lambda a: math.sin(a) ** 3,
            lambda a: -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 16,
        )
    ),
    "drop": _closed(_curve(lambda a: math.sin(a) * math.sin(a / 2) ** 2, lambda a: -math.cos(a))),
    "arrow": [[(20.0, 80.0), (138.0, 80.0)], [(98.0, 40.0), (140.0, 80.0), (98.0, 120.0)]],
    "cross": [[(80.0, 22.0), (80.0, 138.0)], [(22.0, 80.0), (138.0, 80.0)]],
    "asterisk": [[p, (160.0 - p[0], 160.0 - p[1])] for p in _on_circle(6, 58)[:3]],
    "hash": [[(55.0, 20.0), (55.0, 140.0)], [(105.0, 20.0), (105.0, 140.0)]]
    + [[(20.0, 55.0), (140.0, 55.0)], [(20.0, 105.0), (140.0, 105.0)]],
    "grid": _grid(),
    "ladder": _ladder(),
    "spiral": [_curve(lambda a: a / 14.0 * math.cos(a), lambda a: a / 14.0 * math.sin(a), 2.2)],
    "wave": [_curve(lambda a: a / 2 / math.pi - 1.0, lambda a: 0.5 * math.sin(a * 1.5), 2.0)],
    "zigzag": [[(15.0 + 21.7 * i, 50.0 if i % 2 else 110.0) for i in range(7)]],
    "lying loop": [_curve(math.sin, lambda a: math.sin(a) * math.cos(a))],
    "fork": [[(80.0, 140.0), (80.0, 20.0)], [(35.0, 22.0), (35.0, 70.0), (80.0, 95.0), (125.0, 70.0), (125.0, 22.0)]],
    "question": [
        [(80.0 + 36.0 * math.cos(a), 55.0 + 34.0 * math.sin(a)) for a in np.linspace(-3.0, 1.4, 40)]
        + [(80.0, 92.0), (80.0, 112.0)],
        [(80.0, 132.0), (80.0, 136.0)],
    ],
}
CLASSES: tuple[str, ...] = (*LETTERS, *SHAPES)


def draw(number: int, seed: int) -> tuple[np.ndarray, int]:
    """Return the drawing with this number, which is always the same for the same seed.

    Args:
        number: From 0; each run of `len(CLASSES)` drawings has every class once.
        seed: Seed of the whole series.

    Returns:
        The image, uint8 `[96, 96, 3]` RGB, and the index of its class in `CLASSES`.
    """
    rng = np.random.default_rng((seed, number))
    label = number % len(CLASSES)
    name = CLASSES[label]
    ink = _letter(name, rng) if len(name) == 1 else _shape(SHAPES[name], rng)
    return _render(_warp(ink, rng), rng), label


@functools.cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")), size)


def _letter(letter: str, rng: np.random.Generator) -> Image.Image:
    ink = Image.new("L", (_CANVAS, _CANVAS))
    font = _font(FONTS[rng.integers(len(FONTS))], 110)
    stroke = int(rng.choice((0, 0, 0, 2, 4)))
    ImageDraw.Draw(ink).text((_MIDDLE, _MIDDLE), letter, 255, font, anchor="mm", stroke_width=stroke)
    box = ink.getbbox()
    if box is None:
        raise RuntimeError(f"the font has no glyph for {letter}")
    # Fill the frame, like an icon or a scanned sign, with the aspect ratio kept within that of handwriting.
    width, height = box[2] - box[0], box[3] - box[1]
    long = max(width, height)
    half_w, half_h = max(width, 0.6 * long) / 2 + 8, max(height, 0.6 * long) / 2 + 8
    middle_x, middle_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    frame = (middle_x - half_w, middle_y - half_h, middle_x + half_w, middle_y + half_h)
    return ink.transform((_CANVAS, _CANVAS), Image.Transform.EXTENT, frame, Image.Resampling.BILINEAR)


def _shape(lines: list[Points], rng: np.random.Generator) -> Image.Image:
    ink = Image.new("L", (_CANVAS, _CANVAS))
    pen = ImageDraw.Draw(ink)
    closed = lines[0][0] == lines[0][-1] and len(lines) == 1
    if closed and rng.random() < 0.4:
        pen.polygon(lines[0], fill=255)
    else:
        width = int(rng.integers(7, 20))
        for line in lines:
            pen.line(line, fill=255, width=width, joint="curve")
            for x, y in (line[0], line[-1]):
                pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    return ink


def _warp(ink: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Apply an affine transform and bending in one step: each corner of a 4 x 4 mesh has its own source position."""
    cells = 4
    turn, shear = np.radians(rng.normal(0.0, 10.0)), rng.uniform(-0.35, 0.35)
    stretch = _CANVAS * rng.uniform(0.9, 1.5) * np.array((rng.uniform(0.85, 1.5), rng.uniform(0.85, 1.2)))
    matrix = np.array(((np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn)))) @ np.array(((1.0, shear), (0, 1)))
    axis = np.linspace(-0.5, 0.5, cells + 1)
    nodes = np.stack(np.meshgrid(axis, axis), axis=-1) * stretch @ matrix.T
    nodes += _MIDDLE + rng.normal(0.0, 0.05 * _CANVAS, 2) + rng.normal(0.0, rng.uniform(0.0, 7.0), nodes.shape)
    step = SIZE // cells
    mesh = []
    for row in range(cells):
        for column in range(cells):
            corners = nodes[row, column], nodes[row + 1, column], nodes[row + 1, column + 1], nodes[row, column + 1]
            box = (column * step, row * step, (column + 1) * step, (row + 1) * step)
            mesh.append((box, tuple(float(v) for corner in corners for v in corner)))
    return ink.transform((SIZE, SIZE), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _render(ink: Image.Image, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.3:
        ink = ink.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.5)))
    coarse = int(rng.integers(8, 25)) if rng.random() < 0.5 else None
    if coarse is not None:
        ink = ink.resize((coarse, coarse), Image.Resampling.BOX)
    alpha = np.asarray(ink, np.float32)[..., None] / 255.0
    if coarse is not None:  # in a scan, ink that partly covers a coarse pixel counts for more than its share
        alpha = np.minimum(alpha * rng.uniform(1.0, 1.8), 1.0)
    side = alpha.shape[0]
    back, front = _colours(rng)
    if rng.random() < 0.4:  # light from one side
        ramp = np.linspace(-1.0, 1.0, side, dtype=np.float32)
        x, y = rng.uniform(-40.0, 40.0, 2)
        back = back + (x * ramp[None, :] + y * ramp[:, None])[..., None]
    pixels = back * (1.0 - alpha) + front * alpha
    if rng.random() < 0.6:
        pixels = pixels + rng.uniform(1.0, 20.0) * rng.standard_normal((side, side, 1), np.float32)
    image = Image.fromarray(np.clip(pixels, 0.0, 255.0).astype(np.uint8), "RGB")
    if coarse is not None:
        method = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST)[rng.integers(3)]
        image = image.resize((SIZE, SIZE), method)
    return np.asarray(image)


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Choose background and ink, float32 `[3]` in 0..255, at least 60 apart in mean brightness; half are grey."""
    while True:
        back, front = rng.uniform(0.0, 255.0, (2, 3)).astype(np.float32)
        kind = rng.random()
        if kind < 0.25:
            back, front = np.zeros(3, np.float32) + back[0] / 8, np.zeros(3, np.float32) + 255.0 - front[0] / 4
        elif kind < 0.5:
            back, front = np.full(3, back[0], np.float32), np.full(3, front[0], np.float32)
        if abs(float(back.mean() - front.mean())) >= 60.0:
            return back, front
