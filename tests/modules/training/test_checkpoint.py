"""The checkpoint of a phase is complete at every moment, or not used."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.settings.run import PhaseSettings, Recipe
from edgetune.modules.training import checkpoint as resume
from edgetune.modules.training.epochs import Epochs
from edgetune.modules.training.losses import WeightedCrossentropy

ARRAYS = {
    "model/0": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not in C order
    "optimizer/0": np.array(7, np.int64),  # a scalar
    "seed": np.array([1, 2**32 - 1], np.uint32),
}
STATE = {"key": "k", "epochs": [{"loss": 0.1 + 0.2}], "stopped": False}


def save(folder: Path, epochs: int, **changes: object) -> None:
    resume.save(folder, "head", epochs, {**STATE, "number": epochs, **changes}, ARRAYS)


def number(folder: Path) -> int | None:
    """Return the epochs of the checkpoint that would be used."""
    checkpoint = resume.load(folder, "head", "k")
    return None if checkpoint is None else checkpoint.state["number"]


def test_state_and_arrays_are_restored_bit_for_bit(tmp_path):
    save(tmp_path / "made", 1)
    checkpoint = resume.load(tmp_path / "made", "head", "k")
    assert checkpoint is not None and checkpoint.state == {**STATE, "number": 1}
    assert set(checkpoint.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        found = checkpoint.arrays[name]
        assert found.dtype == array.dtype and found.shape == array.shape
        np.testing.assert_array_equal(found, array)


def test_a_missing_checkpoint_is_not_logged(tmp_path, caplog):
    assert resume.load(tmp_path / "absent", "head", "k") is None
    assert not caplog.records


def test_a_new_checkpoint_replaces_the_last_one_of_its_phase_only(tmp_path):
    resume.save(tmp_path, "head-2", 1, STATE, ARRAYS)
    for epochs in (1, 2, 3):
        save(tmp_path, epochs)
    assert number(tmp_path) == 3
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["head-0003.safetensors", "head-2-0001.safetensors", "head-2.json", "head.json"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


DAMAGES = {
    "a flipped bit in the arrays": lambda folder: flip(folder / "head-0002.safetensors"),
    "truncated arrays": lambda folder: os.truncate(folder / "head-0002.safetensors", 100),
    "no arrays": lambda folder: (folder / "head-0002.safetensors").unlink(),
    "half a manifest": lambda folder: os.truncate(folder / "head.json", 50),
    "an empty manifest": lambda folder: os.truncate(folder / "head.json", 0),
    "a manifest of another form": lambda folder: (folder / "head.json").write_text("[]"),
    "bytes that are not text": lambda folder: (folder / "head.json").write_bytes(b"\xff\xfe\x00"),
    "another counter": lambda folder: edit(folder / "head.json", state={**STATE, "number": 9}),
    "a state of another form": lambda folder: edit(folder / "head.json", state="k"),
    "a file elsewhere": lambda folder: edit(folder / "head.json", arrays="../head-0002.safetensors"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_not_used_and_logged(tmp_path, caplog, damage):
    save(tmp_path, 2)
    DAMAGES[damage](tmp_path)
    with caplog.at_level("WARNING"):
        assert resume.load(tmp_path, "head", "k") is None
    assert "head.json is not used, the phase starts over" in caplog.text
    save(tmp_path, 1)
    assert number(tmp_path) == 1


def test_a_checkpoint_of_another_training_is_not_used(tmp_path, caplog):
    save(tmp_path, 2, key="another")
    assert resume.load(tmp_path, "head", "k") is None
    assert "belongs to other settings" in caplog.text


@pytest.mark.parametrize("fails", ["head-0002.safetensors", "head.json"])
def test_a_save_that_is_killed_leaves_the_last_checkpoint_intact(tmp_path, monkeypatch, fails):
    """Files that have not been renamed yet are never used."""
    save(tmp_path, 1)
    replace = Path.replace

    def killed(source: Path, target: Path) -> None:
        if target.name == fails:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 2)
    assert number(tmp_path) == 1
    monkeypatch.undo()
    save(tmp_path, 2)
    assert number(tmp_path) == 2


def test_a_full_disk_keeps_the_last_checkpoint_and_does_not_end_the_training(tmp_path, monkeypatch, caplog):
    save(tmp_path, 1)

    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    save(tmp_path, 2)
    monkeypatch.undo()
    assert "cannot save the checkpoint after epoch 2 of head" in caplog.text and "No space left" in caplog.text
    assert number(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head-0001.safetensors", "head.json"]


def test_the_key_of_a_checkpoint_depends_on_all_that_the_training_does():
    def key(
        name: str = "head",
        weight: float = 1.0,
        steps: int = 2,
        smoothing: float = 0.1,
        recipe: Recipe = "auto",
        **settings: object,
    ) -> str:
        network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        network.set_weights([np.float32([[weight]])])
        batches = tf.data.Dataset.from_tensors((np.zeros((4, 1), np.float32), np.zeros(4, np.int64)))
        train = Epochs(lambda epoch: batches, lambda: steps)
        loss = WeightedCrossentropy(2, smoothing, None)
        return resume.training_key(name, network, train, batches, loss, PhaseSettings(**settings), recipe)

    keys = [
        key(),
        key(name="fine_tune"),
        key(weight=2.0),
        key(steps=3),
        key(smoothing=0.2),
        key(recipe="tutorial"),
        key(epochs=7),
        key(learning_rate=0.5),
        key(patience=9),
    ]
    assert key() == keys[0] and len(set(keys)) == len(keys)
