"""The checkpoint of a phase: whole or not used, at every moment."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from edgetune.modules.training import checkpoint as resume

ARRAYS = {
    "model/0": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not in C's order
    "optimizer/0": np.array(7, np.int64),  # a scalar
    "seed": np.array([1, 2**32 - 1], np.uint32),
}
STATE = {"key": "k", "epochs": [{"loss": 0.1 + 0.2}], "stopped": False}


def save(folder: Path, epochs: int, **changes: object) -> None:
    resume.save(folder, "head", epochs, {**STATE, "number": epochs, **changes}, ARRAYS)


def number(folder: Path) -> int | None:
    """Epochs of the checkpoint that would be used."""
    checkpoint = resume.load(folder, "head", "k")
    return None if checkpoint is None else checkpoint.state["number"]


def test_state_and_arrays_come_back_to_the_bit(tmp_path):
    save(tmp_path / "made", 1)
    checkpoint = resume.load(tmp_path / "made", "head", "k")
    assert checkpoint is not None and checkpoint.state == {**STATE, "number": 1}
    assert set(checkpoint.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        found = checkpoint.arrays[name]
        assert found.dtype == array.dtype and found.shape == array.shape
        np.testing.assert_array_equal(found, array)


def test_without_a_checkpoint_there_is_none_and_no_word_about_it(tmp_path, caplog):
    assert resume.load(tmp_path / "absent", "head", "k") is None
    assert not caplog.records


def test_a_new_one_takes_the_place_of_the_last_and_leaves_other_phases_alone(tmp_path):
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
    "a bit of an array": lambda folder: flip(folder / "head-0002.safetensors"),
    "the arrays' end": lambda folder: os.truncate(folder / "head-0002.safetensors", 100),
    "no arrays": lambda folder: (folder / "head-0002.safetensors").unlink(),
    "half a manifest": lambda folder: os.truncate(folder / "head.json", 50),
    "an empty manifest": lambda folder: os.truncate(folder / "head.json", 0),
    "no manifest's form": lambda folder: (folder / "head.json").write_text("[]"),
    "bytes that are no text": lambda folder: (folder / "head.json").write_bytes(b"\xff\xfe\x00"),
    "another counter": lambda folder: edit(folder / "head.json", state={**STATE, "number": 9}),
    "a state of another form": lambda folder: edit(folder / "head.json", state="k"),
    "a file elsewhere": lambda folder: edit(folder / "head.json", arrays="../head-0002.safetensors"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_not_used_and_the_log_says_so(tmp_path, caplog, damage):
    save(tmp_path, 2)
    DAMAGES[damage](tmp_path)
    with caplog.at_level("WARNING"):
        assert resume.load(tmp_path, "head", "k") is None
    assert "head.json is not used, the phase starts over" in caplog.text
    save(tmp_path, 1)
    assert number(tmp_path) == 1


def test_what_belongs_to_another_training_is_not_used(tmp_path, caplog):
    save(tmp_path, 2, key="another")
    assert resume.load(tmp_path, "head", "k") is None
    assert "of other settings" in caplog.text


@pytest.mark.parametrize("fails", ["head-0002.safetensors", "head.json"])
def test_killed_between_two_steps_the_last_checkpoint_is_still_whole(tmp_path, monkeypatch, fails):
    """Whatever is not renamed yet is as good as never written."""
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


def test_on_a_full_disk_the_training_goes_on_with_the_last_checkpoint(tmp_path, monkeypatch, caplog):
    save(tmp_path, 1)

    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    save(tmp_path, 2)
    monkeypatch.undo()
    assert "no checkpoint after epoch 2 of head" in caplog.text and "No space left" in caplog.text
    assert number(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head-0001.safetensors", "head.json"]
