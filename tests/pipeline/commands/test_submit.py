"""`edgetune submit`: which platform is meant, and what is found wrong without any."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from edgetune.pipeline import cli
from tests.tiny import pipeline_spec


@pytest.fixture
def asked(monkeypatch):
    """Stands in for both platforms; what they were asked for."""
    calls = []

    def submit(request, *where):
        calls.append((*where, request.experiment, request.service_account))
        return types.SimpleNamespace(identifier="1", url="https://page")

    for name in ("kubeflow", "vertex"):
        module = types.ModuleType(f"edgetune.pipeline.submit.{name}")
        module.submit = submit
        monkeypatch.setitem(sys.modules, f"edgetune.pipeline.submit.{name}", module)
        monkeypatch.setattr(f"edgetune.pipeline.submit.{name}", module, raising=False)
    return calls


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--endpoint", "http://h", "--experiment", "e"), ("http://h", None, "e", None)),
        (("--endpoint", "http://h", "--namespace", "n", "--service-account", "a"), ("http://h", "n", None, "a")),
        (("--project", "p", "--region", "r", "--service-account", "a"), ("p", "r", None, "a")),
    ],
)
def test_the_options_name_the_platform(asked, tmp_path, capsys, arguments, expected):
    assert cli.main(["submit", str(pipeline_spec.write(tmp_path)), *arguments]) == 0
    assert asked == [expected]
    assert capsys.readouterr().out.endswith(", run 1\nhttps://page\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "no platform is named"),
        (("--endpoint", "http://h", "--region", "r"), "--endpoint and --region name two platforms"),
        (("--project", "p"), "--project p also needs --region"),
        (("--namespace", "n"), "--namespace n also needs --endpoint"),
    ],
)
def test_a_platform_that_is_not_clear_is_refused(asked, tmp_path, capsys, arguments, told):
    assert cli.main(["submit", str(tmp_path / "no.json"), *arguments]) == 2
    assert asked == [] and told in capsys.readouterr().err


def test_a_file_that_is_none_and_a_wrong_parameter_are_told_before_a_client_is_imported(root, tmp_path):
    path = pipeline_spec.write(tmp_path)
    program = (
        "import sys\nfrom edgetune.pipeline.cli import main\n"
        f"print(main(['submit', {str(tmp_path / 'no.json')!r}, '--endpoint', 'http://127.0.0.1:9']))\n"
        f"print(main(['submit', {str(path)!r}, '--project', 'p', '--region', 'r', '--set', 'epochs=x']))\n"
        "print('imported', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split()[:2] == ["2", "2"]
    imported = set(done.stdout.split())
    assert "kfp.pipeline_spec" in imported
    assert {"tensorflow", "tfx", "google.cloud.aiplatform", "edgetune.pipeline.submit.kubeflow"} & imported == set()


def test_help_imports_nothing_heavy(root):
    program = (
        "import sys\nfrom edgetune.pipeline.cli import main\n"
        "main(['submit', '--help'])\n"
        "print('imported', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "edgetune.pipeline.cli" in imported
    assert imported & {"tensorflow", "tfx", "kfp", "google.protobuf", "numpy", "pydantic", "yaml", "urllib3"} == set()
