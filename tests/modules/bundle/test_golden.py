"""Golden images and the answers that are expected to them, by classifiers that are made up."""

from __future__ import annotations

import json

import numpy as np
import tensorflow as tf

from edgetune.modules.bundle.golden import MAX_IMAGES, Golden


def server(encoded):
    """Answer by the level of the first pixel."""
    levels = np.array([tf.io.decode_png(content).numpy()[0, 0, 0] for content in encoded])
    return np.stack([levels / 255, 1 - levels / 255], axis=1).astype(np.float32)


def test_the_first_image_of_each_class_is_written_with_the_answers_of_all(tmp_path):
    golden = Golden(str(tmp_path), ["owl", "jay", "wren"])
    images = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    golden.offer(images[:2], np.array([2, 1]))
    golden.offer(images[2:], np.array([1, 2, 2]))  # there is no owl
    answer = np.float32([[1 / 3, 2 / 3]])
    golden.write(server, {"float32": lambda pixels: answer + pixels[0, 0, 0, 0], "int8": lambda pixels: None})
    made = json.loads((tmp_path / "expected.json").read_text())
    assert made["labels"] == ["owl", "jay", "wren"]
    assert [(image["file"], image["label"]) for image in made["images"]] == [("00.png", "jay"), ("01.png", "wren")]
    for image, level in zip(made["images"], (2, 1), strict=True):
        np.testing.assert_array_equal(tf.io.decode_png((tmp_path / image["file"]).read_bytes()), images[level - 1])
        found = {name: np.float32(values) for name, values in image["probabilities"].items()}
        assert set(found) == {"saved_model", "float32"}
        np.testing.assert_array_equal(found["float32"], answer[0] + np.float32(level))  # to the last bit
        np.testing.assert_array_equal(found["saved_model"], np.float32([level / 255, 1 - level / 255]))


def test_there_are_ten_golden_images_at_most(tmp_path):
    classes = MAX_IMAGES + 2
    golden = Golden(str(tmp_path), [f"class {number}" for number in range(classes)])
    golden.offer(np.zeros((classes, 2, 2, 3), np.uint8), np.arange(classes))
    golden.write(server, {})
    assert len(json.loads((tmp_path / "expected.json").read_text())["images"]) == MAX_IMAGES == 10
