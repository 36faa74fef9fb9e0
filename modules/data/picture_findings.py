"""Findings about pictures that show little: they inform, and stop no run.

The thresholds of dark, bright and long pictures are those of CleanVision 0.3 (`dark` 0.32, `light` 0.05,
`odd_aspect_ratio` 0.35), whose measures they are. Its measure of blur calls no blurred photograph blurred that has dark
and bright parts, and its entropy calls a flower before black empty; `python -m benchmarks.data.pictures` compares ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgetune.modules.core.wording import counted
from edgetune.modules.data.findings import MOST_FILES, Finding, Picture
from edgetune.modules.images.picture_facts import PictureFacts

MOST_PICTURES = 12
"""Images that a finding shows."""
BLANK, UNIFORM = 1.0, 5.0
"""Contrast in 8-bit levels, below which a picture is blank or nearly uniform: one level is what compression leaves of
one colour, and five are 2 % of the range. Of 1,180 photographs of flowers and waste, the lowest is 8.6."""
BLURRED = 0.12
"""Sharpness below which a picture is blurred: no photograph of the benchmark is before it is blurred."""
MEASURED = 64
"""Side in pixels at which sharpness is measured: a smaller picture was enlarged for it, which looks like blur."""
DARK, BRIGHT = 0.32, 0.95
"""Luma of the brightest hundredth below which a picture is dark; of the darkest twentieth above which it is bright."""
CUT = 4 / 64
"""Share of rows that are the grey of missing data, from which a picture is cut off."""
LONG = 0.35
"""Shorter side divided by the longer one, below which a picture is distorted: the network sees a square."""
ENLARGED = 0.5
"""Shorter side divided by the network's input, below which a picture is enlarged more than twice."""

_WHAT = {
    "blank": "of one colour",
    "uniform": f"nearly uniform (contrast below {UNIFORM:g} of 255 levels)",
    "dark": f"very dark (99 % of the pixels below {DARK:.0%} of the range)",
    "bright": f"very bright (95 % of the pixels above {BRIGHT:.0%} of the range)",
    "blurred": f"blurred (sharpness below {BLURRED:g})",
    "cut_off": "grey in a lower part, as a file that was cut off",
    "distorted": f"far from square (sides of less than {LONG:g} to 1), and the network sees a square",
    "enlarged": "smaller than half of the network's input",
}
KINDS = tuple(_WHAT)
"""Names of the findings."""
_REMEDY = {
    "cut_off": "get the files again from where they come from, or remove them",
    "distorted": "crop them to what they show",
    "enlarged": "lower model.image_size if most are, or get larger ones",
}


def flaws(facts: PictureFacts, width: int, height: int, image_size: int) -> Iterator[tuple[str, float]]:
    """Yield the findings about a picture, each with a score: the lower, the clearer.

    Args:
        facts: About what it shows.
        width: In pixels, as the pipeline stores it.
        height: In pixels, likewise.
        image_size: `model.image_size`.
    """
    if facts.contrast < BLANK:
        yield "blank", facts.contrast
    elif facts.contrast < UNIFORM:
        yield "uniform", facts.contrast
    else:
        # A plain picture is neither dark nor blurred, but plain.
        if facts.brightest < DARK:
            yield "dark", facts.brightest
        if facts.darkest > BRIGHT:
            yield "bright", 1 - facts.darkest
        if min(width, height) >= MEASURED and 0 < facts.sharpness < BLURRED:
            yield "blurred", facts.sharpness
        if facts.grey_below >= CUT:
            yield "cut_off", 1 - facts.grey_below
    shorter, longer = sorted((width, height))
    if shorter < LONG * longer:
        yield "distorted", shorter / longer
    if shorter < ENLARGED * image_size:
        yield "enlarged", shorter / image_size


def pictures(kind: str, number: int, of: int, first: Sequence[Picture]) -> Finding:
    """Report pictures of one kind.

    Args:
        kind: One of `KINDS`.
        number: Number of such pictures, at least 1.
        of: Number of all pictures.
        first: The clearest ones.
    """
    cause = f"{counted(number, 'picture')} of {of:,} {'is' if number == 1 else 'are'} {_WHAT[kind]}"
    remedy = _REMEDY.get(kind, "look at them, and remove those that do not show their class")
    return Finding(kind, cause, remedy, tuple(one.file for one in first), informs=True, pictures=tuple(first))


def all_pictures(found: Mapping[str, tuple[int, Sequence[Picture]]], of: int) -> list[Finding]:
    """Report all kinds that were found, in the order of `KINDS`.

    Args:
        found: Number and the clearest ones, by kind.
        of: Number of all pictures.
    """
    return [pictures(kind, found[kind][0], of, found[kind][1]) for kind in KINDS if kind in found]


def small_images(count: int, first: Sequence[str], smallest: int) -> list[Finding]:
    """Report images with a side shorter than the minimum.

    Args:
        count: Number of such images.
        first: The first of them.
        smallest: `data.min_side`.
    """
    if not count:
        return []
    named = ", ".join(first[:MOST_FILES]) + (", ..." if count > MOST_FILES else "")
    have = f"{counted(count, 'image')} {'has' if count == 1 else 'have'}"
    cause = f"{have} a side of fewer than data.min_side {smallest} pixels: {named}"
    return [Finding("small_images", cause, "replace or remove them, or lower data.min_side", tuple(first[:MOST_FILES]))]
