"""What a machine lacks is told with its remedy, and only what a run would fail for changes the exit code."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgetune.modules.core.errors import MachineError
from edgetune.modules.settings.run import BeamSettings, ModelSettings
from edgetune.pipeline import api, cli
from edgetune.pipeline.doctor import environment, machine, needs
from edgetune.pipeline.doctor.check import Check

GB = 1_000_000_000


@pytest.mark.parametrize(
    ("version", "outcome", "said"),
    [((3, 9, 1), "missing", "3.9.1"), ((3, 10, 14), "ok", "TFX 1.16"), ((3, 13, 5), "ok", "TFX 1.21"),
     ((3, 14, 0), "missing", "no packages")],
)  # fmt: skip
def test_python_has_a_lock(version, outcome, said):
    found = environment.python(version)
    assert found.outcome == outcome and said in found.text and bool(found.remedy) is (outcome == "missing")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("Linux", "x86_64", "2.36", "fpu avx", "tfx116"), ""),
        (("Linux", "x86_64", "2.39", "", "tfx121"), ""),
        (("Linux", "x86_64", "2.36", "avx", "tfx121"), "need 2.39"),
        (("Linux", "x86_64", "2.9", "avx", "tfx116"), "need 2.28"),
        (("Linux", "x86_64", "", "avx", "tfx116"), "glibc not found"),
        (("Linux", "x86_64", "2.39", "fpu sse", "tfx121"), "no AVX"),
        (("Linux", "aarch64", "2.39", "avx", "tfx121"), "x86_64 only"),
        (("Darwin", "x86_64", "", "avx", "tfx121"), "Linux"),
    ],
)
def test_system_and_processor(given, said):
    found = environment.system(*given)
    assert found.outcome == ("missing" if said else "ok") and said in found.text


def test_installed_packages_are_compared_with_the_lock(tmp_path):
    for name in ("Absl_Py-1.4.0.dist-info", "tfx-1.16.0.dist-info", "zlib_ng-1.0.0.dist-info"):
        (tmp_path / name).mkdir()
    there = environment.installed([str(tmp_path), str(tmp_path / "nowhere")])
    assert there == {"absl-py": "1.4.0", "tfx": "1.16.0", "zlib-ng": "1.0.0"}
    assert environment.libraries({"absl-py": "1.4.0"}, there, "tfx116").outcome == "ok"
    other = environment.libraries({"tfx": "1.16.0", "zlib-ng": "0.9"}, there, "tfx116")
    assert other.outcome == "warning" and "zlib-ng 1.0.0 instead of 0.9" in other.text
    absent = environment.libraries({"keras": "3.6.0", "tfx": "1.15"}, there, "tfx116")
    assert absent.outcome == "missing" and "1 of 2 packages of tfx116 are not installed: keras" in absent.text
    assert "make setup" in absent.remedy
    assert environment.libraries(None, there, "tfx116").outcome == "warning"


def test_this_environment_has_all_packages_of_its_lock():
    lock = environment.lock_of(sys.version_info[:2])
    wanted = environment.locked(lock)
    assert len(wanted) > 100 and "tensorflow" in wanted
    assert environment.libraries(wanted, environment.installed(), lock).outcome != "missing"
    assert environment.locked("of another time") is None


@pytest.mark.parametrize(("free", "outcome"), [(0.5, "missing"), (2, "warning"), (8, "ok")])
def test_memory_and_disk(free, outcome):
    assert machine.memory(int(free * GB), 16 * GB).outcome == outcome
    free_on_disk = {"missing": GB // 10, "warning": GB, "ok": 9 * GB}[outcome]
    found = machine.disk("TMPDIR", Path("somewhere"), free_on_disk)
    assert found.outcome == outcome and ("TMPDIR" in found.remedy) is (outcome != "ok")
    assert machine.memory(None, None).outcome == "warning"


def test_the_limit_of_a_container_is_the_memory_that_counts(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:  16000000 kB\nMemAvailable:   8000000 kB\n")
    assert machine.free_memory(tmp_path, tmp_path / "none") == (8_000_000 << 10, 16_000_000 << 10)
    (tmp_path / "memory.max").write_text("3000000000\n")
    (tmp_path / "memory.current").write_text("1000000000\n")
    assert machine.free_memory(tmp_path, tmp_path) == (2 * GB, 3 * GB)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.free_memory(tmp_path, tmp_path)[1] == 16_000_000 << 10


def test_a_workdir_is_a_folder_that_can_be_made_and_written(tmp_path):
    assert machine.workdir(tmp_path / "new" / "one").outcome != "missing"
    (tmp_path / "file").touch()
    assert machine.workdir(tmp_path / "file").text.endswith("is a file")


def test_temporary_files_without_locks_are_missing(monkeypatch):
    def without_locks(*_):
        raise MachineError("files there cannot be locked", "name a folder on a local disk")

    assert machine.temporary().outcome != "missing"
    monkeypatch.setattr(machine, "temporary_folder", without_locks)
    assert machine.temporary() == Check(
        "TMPDIR", "missing", "files there cannot be locked", "name a folder on a local disk"
    )


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ({}, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        ({"alpha": 0.35, "image_size": 128}, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_128_no_top.h5"),
        ({"image_size": 100}, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        ({"backbone": "mobilenet", "alpha": 0.25}, "mobilenet_2_5_224_tf_no_top.h5"),
        ({"backbone": "mobilenet_v3_small"}, "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"),
        ({"backbone": "mobilenet_v3_large", "minimalistic": True},
         "weights_mobilenet_v3_large_minimalistic_224_1.0_float_no_top_v2.h5"),
        ({"backbone": "resnet50"}, "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ({"backbone": "efficientnet_b0"}, "efficientnetb0_notop.h5"),
        ({"backbone": "efficientnet_v2_b1"}, "efficientnetv2-b1_notop.h5"),
        ({"backbone": "inception_v3"}, "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    ],
)  # fmt: skip
def test_imagenet_weights_are_cached_or_can_be_downloaded(tmp_path, model, file):
    settings = ModelSettings(**model)
    absent = needs.weights(settings, tmp_path, lambda url: False)
    assert absent.outcome == "missing" and str(tmp_path) in absent.text
    assert needs.weights(settings, tmp_path, lambda url: True).outcome == "ok"
    (tmp_path / file).touch()
    assert needs.weights(settings, tmp_path, lambda url: False) == Check("weights", "ok", str(tmp_path / file))


def test_weights_in_a_file_are_there_and_as_pinned(tmp_path):
    path = tmp_path / "w.h5"
    assert needs.weights(ModelSettings(weights=str(path)), tmp_path).outcome == "missing"
    path.write_bytes(b"weights")
    assert needs.weights(ModelSettings(weights=str(path)), tmp_path).outcome == "ok"
    digest = hashlib.sha256(b"weights").hexdigest()
    assert needs.weights(ModelSettings(weights=str(path), weights_sha256=digest), tmp_path).outcome == "ok"
    altered = needs.weights(ModelSettings(weights=str(path), weights_sha256="0" * 64), tmp_path)
    assert altered.outcome == "missing" and digest in altered.text
    assert needs.weights(ModelSettings(weights="none"), tmp_path).outcome == "ok"


def test_java_is_needed_by_some_engines_alone(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    local = list(needs.engine(BeamSettings(), {}))
    assert [check.outcome for check in local] == ["ok", "ok"]
    assert "not installed; only Flink or Spark" in local[1].text
    spark = next(needs.engine(BeamSettings(runner="spark", master="local[2]", environment_type="loopback"), {}))
    assert spark.outcome == "missing" and "Java" in spark.text and "install a Java runtime" in spark.remedy


def test_credentials_are_asked_for_where_a_place_needs_them(monkeypatch):
    settings = api.load_settings(data="photos")
    [found] = needs.credentials(settings)
    assert found.outcome == "ok" and "none are needed" in found.text
    url = api.load_settings(data="photos", overrides={"state.metadata": "mysql://me@host:3306/db"})
    monkeypatch.delenv("EDGETUNE_METADATA_PASSWORD", raising=False)
    assert [check.outcome for check in needs.credentials(url)] == ["warning"]
    monkeypatch.setattr(needs.importlib.util, "find_spec", lambda name: None)
    [s3] = needs.credentials(api.load_settings(data="s3://bucket/photos"))
    assert s3.outcome == "missing" and "boto3 and tensorflow_io" in s3.text
    monkeypatch.setattr(needs, "_google", lambda: Check("credentials", "missing", "none", "log in"))
    assert [check.remedy for check in needs.credentials(api.load_settings(data="gs://bucket/photos"))] == ["log in"]


def test_the_command_prints_each_check_and_fails_for_what_a_run_would_fail_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: (8 * GB, 16 * GB))
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 9 * GB}))
    arguments = ["doctor", "--workdir", str(tmp_path / "w")]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [line.split(": ")[0].split(None, 1)[1] for line in lines if not line.startswith(" ")]
    assert named[:2] == ["Python", "system"] and {"libraries", "memory", "workdir", "TMPDIR", "weights", "Java"} < set(
        named
    )
    absent = tmp_path / "photos of birds"
    assert cli.main([*arguments, "--data", str(absent), "--set", "model.weights=none", "--json"]) == 11
    out, err = capsys.readouterr()
    [found] = [check for check in json.loads(out)["checks"] if check["outcome"] == "missing"]
    assert (found["name"], found["text"]) == ("data", f"{absent}: does not exist")
    assert err.startswith("edgetune: a run would fail here: data\n  remedy: ")
    assert not (tmp_path / "w").exists()


def test_a_library_that_breaks_at_its_import_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "_IMPORTS", ("json", "broken_here"))
    (tmp_path / "broken_here.py").write_text("raise ImportError('GLIBCXX_3.4.32 not found')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    [found] = environment.imports()
    assert found.outcome == "missing"
    assert found.text == "importing broken_here ends with exit code 1: ImportError: GLIBCXX_3.4.32 not found"
    monkeypatch.setattr(environment, "_IMPORTS", ("json",))
    assert next(environment.imports()).outcome == "ok"


def test_nothing_heavy_is_imported(root, tmp_path):
    program = (
        "import sys\nfrom edgetune.pipeline.cli import main\n"
        f"main(shlex.split({shlex.join(['doctor', '--workdir', str(tmp_path / 'w')])!r}))\n"
        "print('imported', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import shlex\n{program}"], capture_output=True, text=True, check=True, cwd=root
    )
    assert {"tensorflow", "tfx", "apache_beam", "keras", "ml_metadata"} & set(done.stdout.split()) == set()
