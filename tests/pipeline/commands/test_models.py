"""`edgetune verify`, `predict` and `evaluate`: what is printed, and the exit codes."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import types

import pytest

from edgetune.modules.bundle.write import write_checksums
from edgetune.modules.core.errors import BundleError
from edgetune.pipeline import api, cli
from tests.tiny import bundle as tiny_bundle
from tests.tiny import edge, model


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for pixels, label in model.examples(1):
        (folder / f"{label}.png").write_bytes(model.png(pixels))
    return folder


def test_a_good_bundle_is_told_line_by_line(capfd):
    bundle = str(tiny_bundle.bundle())
    capfd.readouterr()  # making it may be told, where a test before has turned the log on
    assert cli.main(["verify", bundle]) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert len(lines) == 8 and err == ""
    assert [line.split()[0] for line in lines] == ["ok"] * 7 + ["skipped"]


def test_a_bad_bundle_ends_with_its_own_exit_code_and_names_file_cause_and_remedy(tmp_path, capfd):
    copy = shutil.copytree(tiny_bundle.bundle(), tmp_path / "bundle")
    (copy / "labels.txt").write_text("green\nblue\nred\n")
    (copy / "golden" / "00.png").unlink()
    assert cli.main(["verify", str(copy)]) == 9
    out, err = capfd.readouterr()
    assert "failed   golden/00.png: is missing\n         remedy: fetch the bundle again" in out
    assert "failed   labels.txt: label 1 in it is 'green', but bundle.json says 'blue'\n" in out
    assert err.startswith(f"edgetune: {copy}: 4 of ") and "Traceback" not in err


def test_what_is_no_bundle_is_one_sentence(tmp_path, capfd):
    assert cli.main(["verify", str(tmp_path / "nothing")]) == 9
    assert "does not exist" in capfd.readouterr().err
    assert cli.main(["verify", str(tiny_bundle.bundle()), "--public-key", str(tmp_path / "no.pem")]) == 9
    assert "failed   model.sig: the bundle is not signed" in capfd.readouterr().out


@pytest.fixture
def forged(tmp_path):
    """Card and digests are altered, and the signature cannot fit any more: nobody has looked at it."""
    copy = shutil.copytree(tiny_bundle.bundle(), tmp_path / "bundle")
    with (copy / "MODEL_CARD.md").open("a") as file:
        file.write("Certified for medical use.\n")
    write_checksums(copy)
    (copy / "model.sig").write_text("{}")
    return copy


def test_a_signature_that_was_not_checked_is_not_success(forged, capfd):
    assert cli.main(["verify", str(forged)]) == 9
    out = capfd.readouterr().out
    assert "failed   model.sig: the folder is signed, and its signature was not checked\n         remedy: pass" in out
    assert cli.main(["verify", str(forged), "--ignore-signature"]) == 0
    assert "skipped  model.sig: not checked, as you chose" in capfd.readouterr().out


def test_every_command_that_opens_a_model_refuses_a_signature_that_was_not_checked(forged, images, tmp_path, capfd):
    saved_model = shutil.copytree(edge.saved_model(), tmp_path / "1")
    (saved_model / "model.sig").write_text("{}")
    for command in (
        ["predict", forged, images],
        ["predict", forged / "model_float32.tflite", images],
        ["predict", saved_model, images],
        ["evaluate", forged, tiny_data(tmp_path)],
        ["bench", forged],
        ["demo", forged, "--port", "0"],
        ["client", forged, "--platform", "python", "--out", tmp_path / "client"],
    ):
        assert cli.main(list(map(str, command))) == 9, command
        assert "the folder is signed, and its signature was not checked" in capfd.readouterr().err, command
    with pytest.raises(BundleError, match="its signature was not checked"):
        api.load_bundle(forged)
    link = tmp_path / "link.tflite"
    link.symlink_to(forged / "model_float32.tflite")
    with pytest.raises(BundleError, match="its signature was not checked"):
        api.load_bundle(link)
    (forged / "bundle.json").rename(tmp_path / "bundle.json")
    for alone in (link, forged / "model_float32.tflite"):
        with pytest.raises(BundleError, match="bundle.json is missing"):
            api.load_bundle(alone)
    (tmp_path / "bundle.json").rename(forged / "bundle.json")
    assert not (tmp_path / "client").exists() and not (tmp_path / "bundle.bench").exists()
    assert cli.main(["predict", str(forged), str(images), "--ignore-signature"]) == 0
    assert cli.main(["predict", str(forged), str(images), "--ignore-signature", "--public-key", "key.pub"]) == 2
    assert "exclude each other" in capfd.readouterr().err


def tiny_data(folder):
    """Return class folders with an image each."""
    for pixels, label in model.examples(1):
        path = folder / "data" / label / "0.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(model.png(pixels))
    return folder / "data"


def test_predict_with_a_key_needs_a_signed_bundle(images, tmp_path, capfd):
    key = tmp_path / "key.pub"
    key.write_text("no key")
    folder = tiny_bundle.bundle()
    assert cli.main(["predict", str(folder), str(images / "red.png"), "--public-key", str(key)]) == 9
    out, err = capfd.readouterr()
    assert out == "" and "the bundle is not signed" in err
    alone = shutil.copy(folder / "model_float32.tflite", tmp_path)
    assert cli.main(["predict", alone, str(images / "red.png"), "--public-key", str(key)]) == 9
    assert "is not in a bundle, so nothing is signed" in capfd.readouterr().err


def test_a_model_that_aborts_the_interpreter_is_one_sentence(images, tmp_path, capfd):
    model = tmp_path / "model.tflite"
    model.write_bytes(edge.deadly(edge.converted()["int8"]))
    shutil.copy(tiny_bundle.bundle() / "labels.txt", tmp_path)
    assert cli.main(["predict", str(model), str(images / "red.png")]) == 9
    out, err = capfd.readouterr()
    assert out == "" and err.startswith(f"edgetune: {model}: the process that runs the model is stopped by SIGABRT\n")


def test_images_and_folders_are_classified(images, capfd):
    assert cli.main(["predict", str(tiny_bundle.bundle()), str(images), str(images / "red.png"), "--top", "2"]) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert [line.split("  ")[1].split()[0] for line in lines] == ["blue", "green", "red", "red"]
    assert all(len(line.split("  ")) == 3 for line in lines) and err == ""


def test_what_cannot_be_read_is_named_and_the_others_are_classified(images, tmp_path, capfd):
    (images / "broken.jpg").write_text("no image")
    (tmp_path / "empty").mkdir()
    asked = [str(images), str(tmp_path / "absent.png"), str(tmp_path / "empty")]
    assert cli.main(["predict", str(tiny_bundle.bundle()), *asked]) == 3
    out, err = capfd.readouterr()
    assert len(out.splitlines()) == 3
    for named in (
        "broken.jpg: ",
        "absent.png: ",
        "empty: the folder contains no files",
        "3 images or folders could not",
    ):
        assert named in err
    assert "Traceback" not in err


def test_json_is_one_document_with_all_of_it(images, capfd):
    (images / "broken.jpg").write_text("no image")
    assert cli.main(["predict", str(tiny_bundle.bundle()), str(images), "--json", "--top", "1"]) == 3
    document = json.loads(capfd.readouterr().out)
    assert document["labels"] == ["blue", "green", "red"] and document["model"].endswith("model_float32.tflite")
    found = {entry["image"].rsplit("/", 1)[1]: entry for entry in document["images"]}
    assert set(found) == {"blue.png", "broken.jpg", "green.png", "red.png"}
    assert found["red.png"]["classes"][0]["label"] == "red" and found["red.png"]["classes"][0]["probability"] > 0.5
    assert "error" in found["broken.jpg"] and "classes" not in found["broken.jpg"]


def test_answers_below_a_threshold_are_unsure_and_do_not_change_the_exit_code(images, capfd):
    asked = ["predict", str(tiny_bundle.bundle()), str(images / "red.png"), "--top", "1"]
    for threshold, accepted in (("0.1", True), ("1", False), ("auto", False)):  # in this bundle, no class has one
        assert cli.main([*asked, "--threshold", threshold]) == 0
        line = capfd.readouterr().out.strip().split("  ")
        assert line[-1].startswith("red 0.") and line[1:-1] == ([] if accepted else ["unsure"])
        assert cli.main([*asked, "--threshold", threshold, "--json"]) == 0
        [found] = json.loads(capfd.readouterr().out)["images"]
        assert (found["accepted"], found["label"]) == (accepted, "red" if accepted else None)
        assert found["classes"][0]["label"] == "red"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--variant", "int8"], 9), (["--top", "0"], 2), (["--threshold", "2"], 2), (["--threshold", "high"], 2)],
)
def test_what_cannot_be_asked_is_refused(images, arguments, code, capfd):
    assert cli.main(["predict", str(tiny_bundle.bundle()), str(images), *arguments]) == code
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["bundle", "saved_model"])
def test_json_lines_have_one_image_each_of_standard_input(images, capfd, monkeypatch, kind):
    asked = str(tiny_bundle.bundle()) if kind == "bundle" else edge.saved_model()
    (images / "broken.jpg").write_text("no image")
    names = "".join(f"{images / name}\n" for name in ("red.png", "broken.jpg", "blue.png")).encode()
    stdin = types.SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(names)), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert cli.main(["predict", asked, "-", "--jsonl", "--top", "1", "--threshold", "0.1"]) == 3
    out, err = capfd.readouterr()
    red, broken, blue = map(json.loads, out.splitlines())
    assert (red["image"], red["label"], red["accepted"]) == (str(images / "red.png"), "red", True)
    assert blue["label"] == blue["classes"][0]["label"] == "blue" and len(blue["classes"]) == 1
    assert set(broken) == {"image", "error"} and "broken.jpg: " in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--threshold", "auto"], 9, "there are no thresholds"),
        (["--variant", "int8"], 9, "which has none"),
        (["--json", "--jsonl"], 2, "exclude each other"),
    ],
)
def test_what_a_saved_model_does_not_have_is_told_before_it_is_loaded(
    images, arguments, code, said, capfd, monkeypatch
):
    monkeypatch.setitem(sys.modules, "edgetune.modules.serving.isolated_saved_model", None)  # importing it fails
    assert cli.main(["predict", edge.saved_model(), str(images), *arguments]) == code
    assert said in capfd.readouterr().err


def labelled(folder, counts):
    for label, count in counts.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            (folder / label / f"{number}.png").write_bytes(
                model.png(model.image(label if label in model.LABELS else "red", number))
            )
    return folder


def test_a_model_is_measured_on_labelled_images(tmp_path, capfd):
    asked = str(tiny_bundle.bundle())
    data = labelled(tmp_path / "data", {"blue": 3, "red": 4, "pink": 2})
    assert cli.main(["evaluate", asked, str(data), "--json", "--threshold", "0.1"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["accuracy"]["of"] == 7 and found["accuracy"]["value"] == 1
    assert found["accepted"]["answers"]["right"] == 7
    assert found["unknown_classes"] == {"pink": {"red": 2}}
    (data / "red" / "broken.png").write_text("no image")
    assert cli.main(["evaluate", asked, str(data)]) == 3
    out, err = capfd.readouterr()
    assert "accuracy  100% (7 of 7; 95% interval 64.6% to 100%)" in out and "not read: red/broken.png: " in out
    assert err.startswith("edgetune: 1 image could not be read")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["predict", "{bundle}", "{absent}"], 3),
        (["predict", "{absent}", "{images}"], 9),
        (["predict", "{bundle}", "{images}", "--variant", "int8"], 9),
        (["predict", "{bundle}", "{images}", "--threshold", "high"], 2),
        (["predict", "{bundle}", "{images}", "--top", "0"], 2),
        (["evaluate", "{bundle}", "{absent}"], 3),
        (["evaluate", "{bundle}", "{images}", "--threshold", "2"], 2),
        (["evaluate", "{absent}", "{images}"], 9),
    ],
)
def test_arguments_are_checked_before_tensorflow_is_imported(images, tmp_path, monkeypatch, capfd, arguments, code):
    for name in ("modules.bundle.predict", "modules.serving.isolated_saved_model"):
        monkeypatch.setitem(sys.modules, f"edgetune.{name}", None)  # importing it fails
    places = {"bundle": tiny_bundle.bundle(), "images": images, "absent": tmp_path / "absent"}
    assert cli.main([argument.format(**places) for argument in arguments]) == code
    assert "Traceback" not in capfd.readouterr().err


def test_the_first_look_at_arguments_imports_neither_tensorflow_nor_litert(root, tmp_path):
    (tmp_path / "model_float32.tflite").touch()
    program = (
        "import sys\nfrom edgetune.pipeline.cli import main\n"
        f"print(main(['predict', {str(tmp_path)!r}, {str(tmp_path / 'absent.jpg')!r}]))\n"
        "print('imported', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    code, imported = done.stdout.splitlines()
    assert code == "3" and {"tensorflow", "ai_edge_litert", "tfx"} & set(imported.split()) == set()


def test_verify_does_without_tensorflow(root):
    imported = ("bundle.verify", "litert.declared_metadata", "litert.interpreter")
    program = "import sys" + "".join(f", edgetune.modules.{name}" for name in imported) + "\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert {"tensorflow", "keras", "tfx"} & set(done.stdout.split()) == set()


@pytest.mark.parametrize("command", ["verify", "predict", "evaluate"])
def test_help_imports_nothing_heavy(root, command):
    program = (
        "import sys\nfrom edgetune.pipeline.cli import main\n"
        f"main(['{command}', '--help'])\n"
        "print('imported', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "edgetune" in imported
    assert imported & {"tensorflow", "tfx", "keras", "numpy", "pydantic", "yaml", "rich", "PIL"} == set()


@pytest.mark.parametrize("named", ["birds/edge", "birds", "."])
@pytest.mark.parametrize(("command", "rest"), [("verify", []), ("predict", ["bird.jpg"]), ("demo", [])])
def test_the_parent_of_bundles_is_told_as_that_with_the_command_to_use(command, rest, named, tmp_path, capfd):
    for version in (9, 10):
        folder = tmp_path / "birds" / "edge" / str(version)
        folder.mkdir(parents=True)
        (folder / "bundle.json").write_text("{}")
    assert cli.main([command, str(tmp_path / named), *rest]) == 9
    newest = tmp_path / "birds" / "edge" / "10"
    err = capfd.readouterr().err
    assert "is a folder of bundles, and not one of them" in err
    assert f"use `edgetune {command} {newest}` (the newest of 2)" in err
