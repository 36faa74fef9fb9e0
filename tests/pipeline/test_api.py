"""The Python API: what is offered, what a run returns, bundles, and the tour in the package's docstring."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import edgetune
from edgetune.modules.core import errors
from edgetune.pipeline.local.result import Run
from tests.tiny import bundle as tiny_bundle


@pytest.fixture
def bundle() -> Path:
    return tiny_bundle.bundle()


@pytest.fixture
def runner(monkeypatch, tmp_path, bundle):
    """Stands in for the local runner: keeps what it is called with, and returns a blessed run."""
    runner = importlib.import_module("edgetune.pipeline.local.runner")
    calls = []

    def run(settings, **options):
        calls.append(SimpleNamespace(settings=settings, **options))
        pushed = (str(tmp_path / "saved_model" / "1"), str(bundle))
        return Run("photos", "1", True, (), pushed, tmp_path / "index.html", tmp_path / "log", {"accuracy": 0.98})

    monkeypatch.setattr(runner, "run", run)
    return calls


def test_everything_that_is_listed_is_there_and_nothing_else():
    assert set(edgetune.__all__) == set(dir(edgetune))
    assert len(set(edgetune.__all__)) == len(edgetune.__all__)
    for name in edgetune.__all__:
        assert getattr(edgetune, name) is not None
    kinds = {kind.__name__ for kind in errors.EdgetuneError.__subclasses__()}
    assert {"EdgetuneError", *kinds} <= set(edgetune.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        _ = edgetune.fly


def test_type_checkers_see_all_that_is_listed(root):
    stub = (root / "edgetune" / "__init__.py").read_text(encoding="utf-8").partition("if TYPE_CHECKING:")[2]
    seen = {line.split(" as ")[1] for line in stub.partition("def ")[0].splitlines() if " as " in line}
    assert seen == set(edgetune.__all__) - {"__version__"}


def test_importing_it_imports_nothing_heavy(root):
    code = (
        "import sys, edgetune; print(*{'numpy', 'tensorflow', 'tfx', 'pydantic', 'click', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == ""


def test_the_tour_in_the_docstring_is_true(runner, bundle, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64), "red").save(tmp_path / "photo.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(edgetune.__doc__, {}, "tour", None, None)
    assert len(test.examples) > 8
    told: list[str] = []
    assert doctest.DocTestRunner(verbose=False).run(test, out=told.append).failed == 0, "".join(told)
    [call] = runner
    assert call.settings.data.path == str(tmp_path / "photos") and call.settings.training.head.epochs == 5
    assert call.workdir == Path("workdir")


def test_run_takes_settings_a_file_or_neither(runner, tmp_path):
    file = tmp_path / "birds.yaml"
    file.write_text("name: birds\ndata: {path: there}\n", encoding="utf-8")
    settings = edgetune.RunSettings(name="owls", data={"path": "/owls"})
    edgetune.run(settings, workdir=tmp_path, cache=False)
    edgetune.run(settings, data=tmp_path / "other")
    edgetune.run(str(file), overrides=["model.alpha=0.5"], verbose=True)
    edgetune.run()
    first, second, third, fourth = runner[:4]
    assert first.settings == settings and (first.workdir, first.cache, first.verbose) == (tmp_path, False, False)
    assert second.settings.data.path == str(tmp_path / "other") and second.settings.name == "owls"
    assert (third.settings.name, third.settings.model.alpha, third.verbose) == ("birds", 0.5, True)
    assert third.settings.data.path == str(tmp_path / "there")
    assert fourth.settings.name == "demo"
    edgetune.run(settings, overrides={"model.alpha": 0.5, "data.path": tmp_path}, data="photos")
    assert (runner[-1].settings.model.alpha, runner[-1].settings.data.path) == (0.5, str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(edgetune.ConfigError, match="is a file"):
        edgetune.run(settings, workdir=tmp_path / "file")
    assert len(runner) == 5


def test_settings_are_validated_again_and_keep_their_password(runner):
    url = "postgresql://ada:secret@db.example:5432/records"
    settings = edgetune.RunSettings(name="owls", data={"path": "/owls"}, state={"metadata": url})
    edgetune.run(settings, overrides=["training.batch_size=4"])
    assert runner[0].settings.state.metadata == url and runner[0].settings.training.batch_size == 4
    for update in ({"name": "../../evil"}, {"training.head.epochs": 5, "model": {"alpha": 9}}):
        with pytest.raises(edgetune.ConfigError):
            edgetune.run(settings.model_copy(update=update))
    with pytest.raises(edgetune.ConfigError, match="the settings are a dict"):
        edgetune.run({"name": "owls"})
    with pytest.raises(edgetune.ConfigError, match="--workdir is empty"):
        edgetune.run(settings, workdir="")
    for function in (edgetune.load_bundle, edgetune.verify):
        with pytest.raises(edgetune.BundleError, match="is empty"):
            function("")
    assert len(runner) == 1


def test_overrides_may_be_one_text(runner):
    assert edgetune.load_settings(overrides="model.alpha=0.5", data="/owls").model.alpha == 0.5


def test_a_refused_run_is_an_error_only_on_demand(tmp_path):
    run = Run("birds", "1", False, ("accuracy .5 is below .8",), (), tmp_path / "index.html", tmp_path / "log")
    with pytest.raises(edgetune.NotBlessed, match=r"accuracy \.5 is below \.8") as caught:
        run.require_blessed()
    assert str(tmp_path / "index.html") in caught.value.remedy


def test_a_bundle_answers_for_files_bytes_and_pixels_alike(bundle, tmp_path):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[..., 2] = 255
    path = tmp_path / "blue.png"
    Image.fromarray(pixels).save(path)
    classifier = edgetune.load_bundle(bundle)
    forms = [path, str(path), path.read_bytes(), bytearray(path.read_bytes()), pixels, Image.open(path)]
    answers = classifier.predict(forms)
    assert len(answers) == 6 and len({answer.probability for answer in answers}) == 1
    assert classifier.predict(pixels) == answers[:1]
    assert answers[0].label == "blue" and list(answers[0].probabilities)[0] == "blue"
    assert sum(answers[0].probabilities.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
        b"no",
        b"",
        [None],
        "a\0b.jpg",
        "no.jpg",
    ],
)
def test_what_is_not_an_image_is_a_data_error(bundle, bad):
    with pytest.raises(edgetune.DataError) as caught:
        edgetune.load_bundle(bundle).predict(bad)
    assert caught.value.cause and caught.value.remedy
