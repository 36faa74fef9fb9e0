"""Read a thousand damaged image files of every format; `tests.programs.fuzz_reader` reads any number."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.programs import fuzz_containers, fuzz_reader
from tests.programs.fuzz_reader import Figures, fuzz
from tests.programs.fuzz_seeds import all_seeds, damaged, generated


@pytest.mark.parametrize("inputs", [1000, pytest.param(10_000, marks=pytest.mark.large)])
def test_damaged_files_neither_crash_the_reader_nor_pass_it_and_fail_later(tmp_path, inputs):
    figures = Figures()
    fuzz(0, inputs, 1, seed=7, limit=60.0, keep=tmp_path, figures=figures)
    assert figures.findings == []
    assert figures.inputs == inputs
    # Otherwise the damage is too small to matter, or so large that nothing after the header is reached.
    assert 0.1 < figures.accepted / inputs < 0.67


@pytest.mark.parametrize("inputs", [40, pytest.param(1000, marks=pytest.mark.large)])
def test_damaged_containers_neither_crash_their_readers_nor_raise_another_error(tmp_path, inputs):
    figures = Figures()
    fuzz(0, inputs, 1, seed=7, limit=60.0, keep=tmp_path, figures=figures, of="containers")
    assert figures.findings == []
    assert figures.inputs == inputs and 0.2 < figures.accepted / inputs < 0.6


@pytest.mark.parametrize("name", fuzz_containers.KINDS)
def test_a_container_without_damage_is_accepted(name):
    number = next(number for number in range(100) if fuzz_containers.name_of(number) == name)
    for seed in fuzz_containers.KINDS[name].seeds():
        assert fuzz_containers.look(number, seed) == ("", "")


def test_an_input_depends_only_on_its_number():
    seeds = all_seeds()
    made = [damaged(seeds, number, 1) for number in range(50)]
    random.seed(3)
    assert [damaged(seeds, number, 1) for number in range(50)] == made
    assert len(set(made)) > 45 and not set(made) & {damaged(seeds, number, 2) for number in range(50)} - set(seeds)


def test_every_format_is_among_the_seed_files():
    assert {name.split()[0] for name in generated()} == {"JPEG", "PNG", "GIF", "BMP", "WEBP", "AVIF", "TIFF"}


_WORKER = """
import json, os, sys, time
for number in range(*map(int, sys.argv[1:4])):
    print(json.dumps({{"at": number}}), flush=True)
    if number == 2:
        {happens}
    print(json.dumps({{"accepted": True, "reason": "", "finding": ""}}), flush=True)
"""


@pytest.mark.parametrize(
    ("happens", "finding"),
    [("os.abort()", "the process died (-6)"), ("time.sleep(60)", "takes more than 1 seconds")],
)
def test_a_worker_that_dies_or_hangs_is_a_finding_and_the_rest_is_read(tmp_path, monkeypatch, happens, finding):
    """The worker is a substitute, because its supervisor is tested here."""
    program = tmp_path / "worker.py"
    program.write_text(_WORKER.format(happens=happens))
    monkeypatch.setattr(fuzz_reader, "worker_command", lambda arguments: [sys.executable, str(program), *arguments])
    figures = Figures()
    fuzz(0, 5, 1, seed=1, limit=1.0, keep=tmp_path / "kept", figures=figures)
    (found,) = figures.findings
    path, _, what = found.partition(": ")
    assert what.startswith(finding)
    assert Path(path).read_bytes() == damaged(all_seeds(), 2, 1)
    assert figures.inputs == 4
