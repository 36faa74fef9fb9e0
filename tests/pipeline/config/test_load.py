"""Loading settings from YAML and the command line, with all kinds of errors."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.config import reference
from edgetune.pipeline.config.load import config_digest, load, run_name, to_yaml
from edgetune.pipeline.config.yaml_file import dump, parse

MINIMAL = "name: birds\ndata: {path: images}\n"


@pytest.fixture
def write(tmp_path: Path):
    """Return a function that writes a configuration and returns its path."""

    def writer(text: str) -> Path:
        path = tmp_path / "birds.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return writer


def refusal(config: Path | None, overrides: list[str] | None = None, data: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(config, overrides or [], data)
    assert caught.value.exit_code == 2
    return caught.value.cause


# --- loading ----------------------------------------------------------------------------------------------------------


def test_without_arguments_the_demo_is_loaded_from_any_folder(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    settings = load(None, [], None)
    assert (settings.name, settings.data.path, settings.model.alpha) == ("demo", "embedded:digits", 0.35)
    assert settings.model.weights == str(root / "weights" / "mobilenet_v2_0.35_96_letters.safetensors")


def test_a_minimal_file_has_the_default_values(write):
    path = write(MINIMAL)
    settings = load(path, [], None)
    assert settings == RunSettings.model_validate({"name": "birds", "data": {"path": str(path.parent / "images")}})


def test_data_without_a_file_names_the_run_and_has_the_default_values(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load(None, [], "My Birds/")
    assert (settings.name, settings.data.path) == ("my-birds", str(tmp_path / "My Birds"))
    assert settings.model == RunSettings.model_fields["model"].default


def test_data_with_a_file_only_replaces_the_path(write, tmp_path, monkeypatch):
    path = write(MINIMAL + "training: {batch_size: 7}\n")
    monkeypatch.chdir("/")
    settings = load(path, [], str(tmp_path / "others"))
    assert (settings.name, settings.training.batch_size) == ("birds", 7)
    assert settings.data.path == str(tmp_path / "others")


def test_an_override_replaces_the_file_and_the_last_override_wins(write):
    overrides = [
        "training.head.epochs=3",
        "training.head.epochs=4",
        "edge.variants=[float32, int8]",
        "edge.max_bytes=~",
    ]
    settings = load(write(MINIMAL + "training: {head: {epochs: 2, patience: 9}}\n"), overrides, None)
    assert (settings.training.head.epochs, settings.training.head.patience) == (4, 9)
    assert settings.edge.variants == ("float32", "int8")
    assert settings.edge.max_bytes is None


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", "1.0e-3", ".001"])
def test_a_learning_rate_is_a_number_in_every_notation(write, text):
    settings = load(write(MINIMAL + f"training: {{head: {{learning_rate: {text}}}}}\n"), [], None)
    assert settings.training.head.learning_rate == 1e-3
    assert load(None, [f"training.fine_tune.learning_rate={text}"], None).training.fine_tune.learning_rate == 1e-3


def test_paths_in_a_file_are_relative_to_it_and_those_on_the_command_line_to_the_working_directory(
    write, tmp_path, monkeypatch
):
    path = write("name: birds\ndata: {path: ../images}\nmodel: {weights: w.h5}\npush: {edge: out}\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    settings = load(path, ["push.saved_model=here"], None)
    assert settings.data.path == str(tmp_path.parent / "images")
    assert settings.model.weights == str(tmp_path / "w.h5")
    assert settings.push.edge == str(tmp_path / "out")
    assert settings.push.saved_model == str(elsewhere / "here")
    assert load(path, ["model={weights: v.h5}"], None).model.weights == str(elsewhere / "v.h5")


@pytest.mark.parametrize("value", ["embedded:digits", "gs://bucket/images", "s3://bucket/images"])
def test_urls_and_embedded_data_are_not_changed(write, value):
    assert load(write(f"name: a\ndata: {{path: '{value}'}}\n"), [], None).data.path == value
    assert load(write(MINIMAL), [], value).data.path == value


@pytest.mark.parametrize("word", ["imagenet", "none"])
def test_weights_by_name_are_not_changed(write, word):
    assert load(write(MINIMAL), [f"model.weights={word}"], None).model.weights == word


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("/photos/Größe 2024/", "grosse-2024"),
        ("2024", "images-2024"),
        ("embedded:digits", "digits"),
        ("gs://bucket/My.Images/", "my-images"),
        ("/photos/鳥", "images"),
        ("snake_case", "snake_case"),
    ],
)
def test_a_run_is_named_after_its_folder(data, name):
    assert run_name(data) == name
    assert load(None, [], data).name == name


def test_the_working_directory_can_name_the_run(tmp_path, monkeypatch):
    (tmp_path / "wasps").mkdir()
    monkeypatch.chdir(tmp_path / "wasps")
    assert load(None, [], ".").name == "wasps"


@pytest.mark.parametrize("name", ["demo", "flowers"])
def test_every_committed_configuration_loads_and_survives_printing(root, tmp_path, name):
    settings = load(root / "configs" / f"{name}.yaml", [], None)
    printed = tmp_path / "printed.yaml"
    printed.write_text(to_yaml(settings), encoding="utf-8")
    assert load(printed, [], None) == settings


def test_the_digest_depends_on_every_value_and_nothing_else(write):
    settings = load(write(MINIMAL), [], None)
    digest = config_digest(settings)
    assert len(digest) == 64
    assert config_digest(load(write("# a comment\n" + MINIMAL + "beam: {runner: direct}\n"), [], None)) == digest
    assert config_digest(load(write(MINIMAL), ["edge.license=MIT"], None)) != digest


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("training: {batch_size: 0}", "training.batch_size: 0 ({file}, line 3) must be a whole number of at least 1"),
        (
            "training: {batch_size: 1.5}",
            "training.batch_size: 1.5 ({file}, line 3) must be a whole number of at least 1",
        ),
        ("training: {batch_size: true}", "training.batch_size: true ({file}, line 3) must be a whole number"),
        ("training: {seed: '1'}", 'training.seed: "1" ({file}, line 3) must be a whole number of at least 0 and below'),
        ("training: {seed: 010}", 'training.seed: "010" ({file}, line 3) must be a whole number'),
        (
            "evaluation:\n  min_accuracy: 80",
            "evaluation.min_accuracy: 80 ({file}, line 4) must be a number from 0 to 1",
        ),
        ("evaluation: {min_accuracy: .inf}", "evaluation.min_accuracy: Infinity ({file}, line 3) must be a number"),
        ("evaluation: {min_accuracy: .nan}", "evaluation.min_accuracy: NaN ({file}, line 3) must be a number"),
        ("model: {alpha: 0}", "model.alpha: 0 ({file}, line 3) must be a number above 0 and at most 2"),
        ("model: {backbone: vgg}", 'model.backbone: "vgg" ({file}, line 3) must be one of mobilenet, mobilenet_v2'),
        ("model: {weights_sha256: abc}", 'model.weights_sha256: "abc" ({file}, line 3) must be 64 lower-case hex'),
        ("model: {head: {units: [4, 0], dropout: [0, 0]}}", "model.head.units: item 2: 0 ({file}, line 3) must be a w"),
        ("model: {head: {units: [4]}}", "model.head ({file}, line 3): 1 hidden layers need 1 rates, not 0"),
        ("edge: {variants: float32}", 'edge.variants: "float32" ({file}, line 3) must be a list, each item one of'),
        ("edge: {license: 2.0}", "edge.license: 2.0 ({file}, line 3) must be text, in quotes"),
        ("edge: {required: [dynamic]}", "edge ({file}, line 3): required variants that are not in `variants`"),
        ("training: ", "training: null ({file}, line 3) must be a group of keys"),
        ("training: {augmentation: {flip_horizontal: no}}", '"no" ({file}, line 3) must be true or false'),
        ("trainig: {batch_size: 1}", "unknown key trainig ({file}, line 3): did you mean training?"),
        ("model: {aplha: 1}", "unknown key model.aplha ({file}, line 3): did you mean model.alpha?"),
        ("training: {epochs: 1}", "did you mean training.head.epochs or training.fine_tune.epochs?"),
        ("beam: {xyzzy: 1}", "unknown key beam.xyzzy ({file}, line 3): beam has runner"),
        ("model.alpha: 1", "unknown key model.alpha ({file}, line 3): in YAML, a dotted key is written as groups"),
        ("model: {weights: ~nobody-of-that-name/w.h5}", "model.weights: '~nobody-of-that-name/w.h5' ({file}, line 3)"),
    ],
)
def test_an_error_names_key_value_line_and_what_is_allowed(write, lines, message):
    path = write(MINIMAL + lines + "\n")
    cause = refusal(path)
    assert message.format(file=path) in cause
    assert "\n" not in cause


def test_all_errors_are_listed_with_their_sources(write):
    path = write("name: Birds\ndata: {}\nmodel: {alpha: 3}\n")
    cause = refusal(path, ["edge.min_agreement=2", "foo=1"])
    assert cause.splitlines()[0] == "5 settings are invalid:"
    for message in (
        f'name: "Birds" ({path}, line 1) must be lower-case letters',
        f"data.path is missing ({path}, line 2): it must be text",
        f"model.alpha: 3 ({path}, line 3)",
        "edge.min_agreement: 2 (--set) must be a number from 0 to 1",
        "unknown key foo (--set): the top level has name, data, model",
    ):
        assert f"\n  - {message}" in cause


def test_a_file_without_a_name_reports_the_missing_keys(write):
    cause = refusal(write("model: {alpha: 1}\n"))
    assert "name is missing" in cause
    assert "data is missing" in cause


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [a\ndata: {path: b}\n", "birds.yaml, line 2, column 5: not valid YAML"),
        ("name: a\n\tdata: b\n", "birds.yaml, line 2, column 1: not valid YAML"),
        ("name: a\nname: b\n", "line 2, column 1: not valid YAML: duplicate key name, first in line 1"),
        ("a: {b: 1, b: 2}\n", "line 1, column 11: not valid YAML: duplicate key a.b, first in line 1"),
        ("name: &n a\ndata: {path: *n}\n", "line 2, column 14: not valid YAML: aliases are not supported"),
        ("name: &n [*n]\n", "aliases are not supported"),
        ("name: !x a\n", "line 1, column 7: not valid YAML: the tag !x is not supported"),
        ("name: !!python/object:os.system a\n", "line 1, column 7: not valid YAML"),
        ("name: a\n---\nname: b\n", "not valid YAML"),
        ("? [a]\n: b\n", "a key must be text"),
        ("name: " + "9" * 5000 + "\n", "birds.yaml: "),
        ("[" * 5000, "nested too deeply"),
        ("name: a\x07\n", "not valid YAML"),
        ("", "the configuration is empty"),
        ("# only a comment\n", "the configuration is empty"),
        ("- a\n", "the configuration is not a group of keys"),
    ],
)
def test_invalid_yaml_is_reported_with_its_line(write, text, message):
    assert message in refusal(write(text))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    binary = tmp_path / "model.tflite"
    binary.write_bytes(b"\x1c\x00\xff\xfeTFL3")
    assert refusal(tmp_path / "none.yaml") == f"{tmp_path / 'none.yaml'}: the configuration file does not exist"
    assert "it is not UTF-8 text" in refusal(binary)
    assert refusal(Path("/dev/zero")).startswith("/dev/zero: larger than the 1048576 bytes of any configuration")
    assert "cannot be read: Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.batch_size", "--set training.batch_size: not of the form key=value"),
        ("=3", "--set =3: not of the form key=value"),
        ("a..b=3", "not of the form key=value"),
        ("data.path.x=3", "--set data.path.x: `data.path` is a value, not a group of keys"),
        ("name=[1", "--set name, line 1, column 3: not valid YAML"),
        ("training.batch_size=", "training.batch_size: null (--set) must be a whole number"),
        ("model.head.units=[8]", "model.head (--set): 1 hidden layers need 1 rates, not 0"),
        ("training.fine_tune.learning_rate=0.01", "fine_tune.learning_rate is 0.01, above head.learning_rate, 0.001"),
    ],
)
def test_an_invalid_override_is_named(override, message):
    assert message in refusal(None, [override])


def test_empty_data_is_an_error():
    assert refusal(None, data="") == "--data is empty"


# --- YAML, schema, reference ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("1_000", 1000), ("-3", -3), ("1.", 1.0), ("+.5e2", 50.0), ("True", True), ("~", None), ("null", None)]
    + [(text, text) for text in ("yes", "on", "010", "1e", "0x1F", "1:30", "2024-01-01", "e5", ".", "1__e")],
)
def test_scalars_follow_yaml_1_2(text, value):
    read = parse(f"key: {text}", "here").value["key"]
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(
    "value", ["1e-3", "on", "010", "true", "~", "", "2024-01-01", "a: b", "# c", "é\n\n ü", 1e-7, 3]
)
def test_written_yaml_is_read_back(value):
    assert parse(dump({"key": [value]}), "here").value == {"key": [value]}


def test_the_committed_schema_and_reference_match_the_settings(root):
    remedy = "stale: run `make schema`"
    assert (root / "schemas" / "config.json").read_text(encoding="utf-8") == reference.json_schema_text(), remedy
    assert (root / "docs" / "configuration.md").read_text(encoding="utf-8") == reference.reference(), remedy


def test_the_reference_opens_with_a_dozen_settings_that_lead_to_their_tables():
    text = reference.reference()
    opening, headings = text[: text.index("## All settings")], re.findall(r"^### `(.+)`$", text, re.MULTILINE)
    rows = re.findall(r"^\| \[`([\w.]+)`\]\(#(\w+)\) \|", opening, re.MULTILINE)
    assert len(rows) == 12 and rows[0][0] == "data.path"
    anchors = {heading.replace(".", ""): heading for heading in headings}
    for key, anchor in rows:
        assert key == anchors[anchor] or key.rpartition(".")[0] == anchors[anchor]


def test_every_setting_has_a_one_line_description():
    keys = dict(reference.fields(reference.json_schema()))
    assert "training.fine_tune.unfreeze.last" in keys
    assert [key for key, field in keys.items() if not field.get("description")] == []


@pytest.mark.parametrize("name", ["demo", "flowers"])
def test_committed_configurations_fit_the_json_schema(root, name, monkeypatch):
    monkeypatch.setitem(sys.modules, "rfc3987_syntax", None)  # it compiles a grammar of URIs that no setting needs
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((root / "schemas" / "config.json").read_text(encoding="utf-8"))
    tree = yaml.safe_load((root / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(tree)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**tree, "trainig": {}})


def test_max_side_must_not_be_below_the_input_size_of_the_model():
    values = {"name": "birds", "data": {"path": "x", "max_side": 223}, "model": {"image_size": 224}}
    with pytest.raises(ValueError, match="max_side 223 is less than model.image_size 224"):
        RunSettings.model_validate(values)
    for side in (224, None):
        RunSettings.model_validate({**values, "data": {"path": "x", "max_side": side}})


@pytest.mark.parametrize("background", [[0, 0], [0, 0, 256], [0, 0, 0, 0], "white"])
def test_a_background_has_three_levels(background):
    with pytest.raises(ValueError, match="background"):
        RunSettings.model_validate({"name": "birds", "data": {"path": "x", "background": background}})


PIN = "model.weights_sha256=" + "0" * 64


@pytest.mark.parametrize(
    ("overrides", "cause", "remedy"),
    [
        (["model.weights=none", PIN], "model (--set): weights_sha256 is set, but", "--set model.weights_sha256=null"),
        (
            ["model.alpha=0.6"],
            "model (--set): alpha is 0.6, but there are no ImageNet",
            "set model.alpha to one of 0.35",
        ),
        (
            ["model.backbone=inception_v3", "model.image_size=74"],
            "image_size 74 is too small",
            "75 or more, or to null",
        ),
        (["model.backbone=auto"], "model.backbone (--set): a run does not choose", "`edgetune suggest --data DIR`"),
        (["model.image_size=1000"], "data.max_side 640 is less than model.image_size 1000", "to 1000 or more"),
        (["evaluation.folds=2"], "folds is 2, but a head needs three parts", "evaluation.folds to 0 or to 3 or more"),
        (["data.min_side=641"], "min_side 641 is more than max_side 640", "lower data.min_side"),
        (["data.min_side=9", "data.max_pixels=80"], "means at least 81 pixels, more than max_pixels 80", "raise data."),
        (["push.edge=out/", "push.saved_model=./out"], "saved_model and edge are the same folder", "a folder for each"),
    ],
)
def test_settings_that_exclude_each_other_are_found_before_anything_is_loaded(write, overrides, cause, remedy):
    with pytest.raises(ConfigError) as caught:
        load(write(MINIMAL), overrides, None)
    assert cause in caught.value.cause and remedy in caught.value.remedy


def test_the_remedies_of_several_contradictions_are_all_given(write):
    with pytest.raises(ConfigError) as caught:
        load(write(MINIMAL), ["model.weights=none", PIN, "data.min_side=641", "edge.min_agreement=2"], None)
    assert caught.value.cause.startswith("3 settings are invalid:")
    for words in ("--set model.weights_sha256=null", "lower data.min_side", "`edgetune config --reference`"):
        assert words in caught.value.remedy


def test_the_remedy_against_a_digest_of_random_weights_works(write):
    settings = load(write(MINIMAL), ["model.weights=none", PIN, "model.weights_sha256=null"], None)
    assert settings.model.weights_sha256 is None


# --- what was meant ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("model.backbone=MobileNetV2", "mobilenet_v2"),
        ("model.backbone=ResNet-50", "resnet50"),
        ("model.backbone=EfficientNetV2B1", "efficientnet_v2_b1"),
        ("model.backbone=mobilenet_v4", "mobilenet_v2"),
        ("edge.variants=[float32, fp16, Int8]", "int8"),
        ("beam.runner=DataFlow", "dataflow"),
        ("training.class_weights=balance", "balanced"),
        ("training.mixed_precision=TRue", "true"),
    ],
)
def test_a_value_that_is_nearly_right_leads_to_the_right_one(write, override, meant):
    assert f"did you mean {meant}?" in refusal(write(MINIMAL), [override])


def test_a_value_that_is_like_none_has_no_suggestion(write):
    assert "did you mean" not in refusal(write(MINIMAL), ["model.backbone=vgg"])


def test_a_list_that_is_written_as_text_is_told_how_to_be_written(write):
    said = refusal(write(MINIMAL), ["edge.variants=float32,int8"])
    assert said.endswith("; write it like --set 'edge.variants=[float32, int8]'")
    assert load(write(MINIMAL), ["edge.variants=[float32, int8]"], None).edge.variants == ("float32", "int8")
    assert refusal(write(MINIMAL), ["model.head.units=64"]).endswith("; write it like --set 'model.head.units=[64]'")
    assert refusal(write(MINIMAL + "edge: {variants: int8}\n")).endswith("; write it like `[int8]`")
    with pytest.raises(ConfigError) as caught:
        load(write(MINIMAL), ["edge.variants=[float32,"], None)
    assert "as in --set 'edge.variants=[float32, int8]'" in caught.value.remedy
