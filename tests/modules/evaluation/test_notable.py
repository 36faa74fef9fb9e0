"""Which answers are kept for the report, whatever the order of the batches."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
from PIL import Image

from edgetune.modules.evaluation.notable import MISTAKE, MOST, UNCERTAIN, Notable

LABELS = ["ash", "beech", "cedar"]
ROWS = 40


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 10, 3), grey, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def kept(tmp_path, batch: int, saliency: int = 0, seconds: float = 5.0, ask=None) -> list[dict]:
    """Offer answers "ash" with probabilities 0.500, 0.501, ...; the truth of every second is "beech"."""
    path = tmp_path / "notable.json"
    notable = Notable(str(path), LABELS, saliency, seconds)
    best = 0.5 + np.arange(ROWS) / 1000
    probabilities = np.stack([best, 0.9 - best, np.full(ROWS, 0.1)], axis=1)
    pixels = np.stack([np.full((8, 8, 3), n, np.uint8) for n in range(ROWS)])
    for at in range(0, ROWS, batch):
        rows = range(at, min(at + batch, ROWS))
        names = [f"{n:02}.png" for n in rows]
        notable.offer(names, [png(n) for n in rows], pixels[rows], np.array(rows) % 2, probabilities[rows])
    notable.write(ask)
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_most_confident_mistakes_and_the_least_certain_right_answers_are_kept(tmp_path):
    found = kept(tmp_path, batch=7)
    assert found == kept(tmp_path, batch=40)
    mistakes, uncertain = found[:MOST], found[MOST:]
    assert [one["file"] for one in mistakes] == [f"{n:02}.png" for n in range(39, 39 - 2 * MOST, -2)]
    assert [one["file"] for one in uncertain] == [f"{n:02}.png" for n in range(0, 2 * MOST, 2)]
    assert {one["kind"] for one in mistakes} == {MISTAKE} and {one["kind"] for one in uncertain} == {UNCERTAIN}
    assert mistakes[0]["label"] == "beech" and uncertain[0]["label"] == "ash"
    assert mistakes[0]["answers"] == [["ash", 0.539], ["beech", 0.361], ["cedar", 0.1]]
    with Image.open(io.BytesIO(base64.b64decode(mistakes[0]["jpeg"]))) as image:
        assert image.size == (10, 20) and abs(image.getpixel((5, 10))[0] - 39) <= 3
    assert {one["looked"] for one in found} == {""}


def test_what_mistakes_depend_on_is_found_for_as_many_as_wanted_and_within_the_time(tmp_path):
    asked = []

    def ask(encoded):
        asked.append(len(encoded))
        answers = np.tile([0.2, 0.8, 0.0], (len(encoded), 1))
        answers[1] = [0.8, 0.2, 0.0]  # of the first part that is covered
        return answers

    found = kept(tmp_path, batch=40, saliency=2, ask=ask)
    assert asked == [50, 50] and [bool(one["looked"]) for one in found] == [True] * 2 + [False] * (2 * MOST - 2)
    asked.clear()
    late = kept(tmp_path, batch=40, saliency=2, seconds=0.0, ask=ask)
    assert asked == [] and not any(one["looked"] for one in late)
