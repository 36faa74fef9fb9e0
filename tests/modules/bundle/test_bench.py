"""Variants are measured by LiteRT's own benchmark, and the results are beside the bundle, never in it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from edgetune.modules.bundle import bench, signing
from edgetune.modules.bundle.files import BundleFiles, checksum_problems
from edgetune.modules.contracts.bundle import SIGNATURE
from edgetune.modules.core.errors import AccessError, BundleError, ConfigError
from edgetune.modules.litert import benchmark
from edgetune.modules.litert.benchmark import Benchmark
from edgetune.pipeline import cli

FROZEN = Path(__file__).resolve().parents[2] / "frozen" / "0.1.0" / "bundle"


def told(content: bytes, threads: int, runs: int) -> Benchmark:
    """Stand in for a measurement; its memory tells which file was measured."""
    return Benchmark(threads, runs, 1.0, 2.0, 3.0 / threads, 4.0, len(content))


@pytest.fixture
def bundle(tmp_path) -> Path:
    return Path(shutil.copytree(FROZEN, tmp_path / "7"))


def test_a_model_is_measured_by_the_benchmark_of_litert():
    content = (FROZEN / "model_int8.tflite").read_bytes()
    found = benchmark.measure(content, threads=1, runs=3)
    assert (found.threads, found.runs) == (1, 3)
    assert found.start_ms > 0 and found.first_ms > 0 and found.p95_ms >= found.p50_ms >= 0
    assert 0 < found.memory < 1 << 30
    with pytest.raises(BundleError, match="ends the process that measures it with"):
        benchmark.measure(b"no model", threads=1)


def test_every_variant_is_measured_with_each_number_of_threads(bundle):
    lines = []
    found = bench.bench(bundle, (1, 2), 5, lambda name, each: lines.append((name, each.threads)), measure=told)
    names = sorted(path.name for path in bundle.glob("*.tflite"))
    assert sorted(facts["file"] for facts in found["variants"].values()) == names
    assert lines == [(name, threads) for name in found["variants"] for threads in (1, 2)]
    for facts in found["variants"].values():
        first, second = facts["measurements"]
        assert (first["runs"], first["p50_ms"], second["p50_ms"]) == (5, 3.0, 1.5)
        assert first["memory"] == (bundle / facts["file"]).stat().st_size
        assert facts["in_run"]["p50_ms"] > 0
    assert found["bundle"] == "7" and len(found["sha256sums"]) == 64 and found["machine"]["cores"] > 0


def test_a_bundle_that_is_not_as_it_was_pushed_is_not_measured(bundle):
    (bundle / "labels.txt").write_text("other\n")
    with pytest.raises(BundleError, match="labels.txt was altered"):
        bench.bench(bundle, measure=told)


def test_results_are_added_beside_the_bundle_and_it_stays_as_it_was(bundle, capsys, monkeypatch):
    monkeypatch.setattr(bench.bench, "__defaults__", (*bench.bench.__defaults__[:-1], told))
    assert cli.main(["bench", str(bundle), "--threads", "1", "--threads", "2", "--runs", "4"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["variant", "threads", "start", "first", "p50", "p95", "memory"]
    assert lines[0].split()[1:8] == ["1", "1.00", "ms", "2.00", "ms", "3.00", "ms"]
    assert cli.main(["bench", str(bundle), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    first, second = sorted((bundle.parent / "7.bench").iterdir())
    assert json.loads(second.read_text()) == document or json.loads(first.read_text()) == document
    assert checksum_problems(BundleFiles(bundle)) == []
    assert f"results    {first}" in lines or f"results    {second}" in lines


def test_what_would_change_the_bundle_or_break_a_signature_is_refused_before_anything_is_measured(bundle, tmp_path):
    for inside in (bundle, bundle / "bench"):
        with pytest.raises(ConfigError, match="is in the bundle"):
            bench.check_place(bundle, inside, None)
    place = tmp_path / "7.bench"
    bench.check_place(bundle, place, None)
    place.mkdir()
    (place / SIGNATURE).touch()
    with pytest.raises(ConfigError, match="its results are signed, and another one would not be"):
        bench.check_place(bundle, place, None)
    with pytest.raises(ConfigError, match="there is no such private key"):
        bench.check_place(bundle, place, str(tmp_path / "no.pem"))
    with pytest.raises(AccessError, match="cannot be written"):
        bench.write({"measured": "2026-11-30T00:00:00+00:00"}, bundle / "labels.txt" / "x")


def test_the_signature_is_that_of_all_results(bundle, tmp_path, monkeypatch):
    signed = []

    def sign(folder: Path, key: str, tool: str) -> None:
        assert not (folder / SIGNATURE).exists()  # or it would be a part of what is signed
        signed.append(sorted(path.name for path in folder.iterdir()))
        (folder / SIGNATURE).write_text(key)

    monkeypatch.setattr(bench, "sign", sign)
    document = bench.bench(bundle, measure=told)
    paths = [bench.write(document, tmp_path / "out", "key.pem", signing.TOOL) for _ in range(2)]
    assert signed == [[paths[0].name], sorted(path.name for path in paths)]
    assert json.loads(paths[1].read_text()) == document and (tmp_path / "out" / SIGNATURE).read_text() == "key.pem"
    assert asdict(told(b"", 1, 1)) == document["variants"]["float32"]["measurements"][0] | {"memory": 0, "runs": 1}
