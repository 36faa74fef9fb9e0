"""What a SavedModel is asked before it is pushed, here in the process of the test."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.contracts import signatures as names
from edgetune.modules.serving import infra_probe
from edgetune.modules.serving.infra_probe import (
    BATCH,
    Examination,
    Findings,
    Image,
    Request,
    broken_images,
    reason,
)
from tests.tiny import edge, infra, model

Served = dict[str, Callable[..., Mapping[str, Any]]]
IMAGES = 9
BROKEN = len(broken_images())


@pytest.fixture(scope="module")
def loaded() -> Any:
    return infra.loaded(edge.saved_model())


@pytest.fixture
def served(loaded) -> Served:
    return dict(loaded.signatures.items())


def example(content: bytes, label: str) -> bytes:
    made = tf.train.Example()
    for name, value in (("image", content), ("label", label.encode())):
        made.features.feature[name].bytes_list.value.append(value)
    return bytes(made.SerializeToString())


@pytest.fixture(scope="module")
def request_(loaded, tmp_path_factory) -> Request:
    folder, images = tmp_path_factory.mktemp("request"), []
    for number, (pixels, label) in enumerate(model.examples(IMAGES // 3)):
        content = model.png(pixels)
        (folder / f"{number}.original").write_bytes(content)
        (folder / f"{number}.example").write_bytes(example(content, label))
        [scores] = loaded.signatures[names.SERVING](image_bytes=tf.constant([content]))[names.PROBABILITIES].numpy()
        paths = (str(folder / f"{number}.{kind}") for kind in ("example", "original"))
        images.append(Image(f"{label}/{number}.png", label, scores.tolist(), *paths))
    return Request(edge.saved_model(), list(model.LABELS), images)


def findings(served: Served, request: Request) -> tuple[Findings, list[str]]:
    """Return the findings at the end, and what was done."""
    examination, steps = Examination(served, request), []
    for found in examination.run():
        steps.append(found.doing)
    return examination.findings, steps


def test_a_model_that_answers_as_measured_has_no_problem_and_every_signature_is_asked(served, request_):
    assert IMAGES > BATCH  # so that there are two batches
    found, steps = findings(served, request_)
    assert found.problems == [] and found.more_problems == 0
    # Alone and in batches: originals, stored images, some of them again, and examples; each one's pixels by `edge`.
    assert found.compared == IMAGES * (2 * 3 + 1) + BATCH * 2
    assert found.difference is not None and found.difference < 1e-5
    assert found.refused == BROKEN * 2 * 3
    assert steps == [
        "asking serving_default: original files",
        "asking serving_default: stored images",
        "asking serving_examples: stored examples",
        "asking transform_features: stored examples",
        "asking edge: transformed images",
        "asking serving_default: broken images",
        "asking serving_default: stored images again, after broken ones",
        "done",
    ]


@pytest.mark.parametrize("missing", [names.SERVING, names.EXAMPLES, names.TRANSFORM, names.EDGE])
def test_a_missing_signature_is_named_and_the_others_are_asked(served, request_, missing):
    del served[missing]
    found, _ = findings(served, request_)
    assert found.problems == [f"has no signature {missing}"]
    assert found.compared > 0


def otherwise(function: Callable[..., Mapping[str, Any]], change: Callable[[dict[str, Any]], None]) -> Any:
    """Return a signature whose answer is changed."""

    def ask(**given: tf.Tensor) -> dict[str, Any]:
        answer = {key: value.numpy() for key, value in function(**given).items()}
        change(answer)
        return answer

    return ask


def swap(answer: dict[str, Any]) -> None:
    answer["probabilities"] = answer["probabilities"][:, ::-1]


def by_a_little(size: float) -> Callable[[dict[str, Any]], None]:
    def change(answer: dict[str, Any]) -> None:
        answer["probabilities"] = answer["probabilities"] + np.float32(size)
        answer["score"] = answer["probabilities"].max(axis=1)

    return change


@pytest.mark.parametrize("signature", [names.SERVING, names.EXAMPLES, names.EDGE])
def test_another_answer_than_the_measured_one_is_a_problem_that_names_image_and_class(served, request_, signature):
    served[signature] = otherwise(served[signature], swap)
    found, _ = findings(served, request_)
    first = next(text for text in found.problems if signature in text)
    assert first.startswith("blue/0.png: ") and "and the Evaluator measured" in first
    assert "the probability of 'blue'" in first or "the probability of 'red'" in first
    assert found.difference is not None and found.difference > 0.1
    assert len(found.problems) <= 20


def test_a_difference_within_the_tolerance_is_none_and_one_above_it_is(served, request_):
    plain = served[names.SERVING]
    for size, problems in ((0.0009, False), (0.0011, True)):
        served[names.SERVING] = otherwise(plain, by_a_little(size))
        found, _ = findings(served, request_)
        assert bool(found.problems) == problems
        assert found.difference == pytest.approx(size, abs=1e-5)


def test_an_answer_that_is_not_a_number_is_the_largest_difference(served, request_):
    served[names.EDGE] = otherwise(served[names.EDGE], lambda answer: answer["probabilities"].fill(np.nan))
    found, _ = findings(served, request_)
    assert found.difference == 1.0 and "nan" in found.problems[0]


def test_a_label_that_is_not_that_of_the_best_class_is_a_problem(served, request_):
    served[names.SERVING] = otherwise(served[names.SERVING], lambda answer: answer["label"].fill(b"green"))
    found, _ = findings(served, request_)
    assert "blue/0.png: serving_default names another class than the most probable one" in found.problems


def test_a_wrong_label_of_transform_is_a_problem(served, request_):
    served[names.TRANSFORM] = otherwise(served[names.TRANSFORM], lambda answer: answer["label_index"].fill(2))
    found, _ = findings(served, request_)
    assert "blue/0.png: transform_features gives the labels [2], not [0]" in found.problems


def test_other_pixels_in_a_batch_than_alone_are_a_problem(served, request_):
    plain = served[names.TRANSFORM]

    def ask(**given: tf.Tensor) -> Any:
        answer = {key: value.numpy() for key, value in plain(**given).items()}
        if len(answer["image"]) > 1:
            answer["image"][-1] = answer["image"][0]
        return answer

    served[names.TRANSFORM] = ask
    found, _ = findings(served, request_)
    assert found.problems == ["blue/0.png: transform_features gives other pixels in a batch"]


def test_an_original_that_is_refused_is_a_problem_with_the_reason(served, request_):
    Path(str(request_.images[0].original)).with_suffix(".bad").write_bytes(b"nothing")
    bad = replace(request_.images[0], original=str(Path(str(request_.images[0].original)).with_suffix(".bad")))
    found, _ = findings(served, replace(request_, images=[bad, *request_.images[1:]]))
    assert any(text.startswith("blue/0.png: serving_default refuses the file (alone): ") for text in found.problems)


def test_what_must_be_refused_and_is_answered_is_a_problem(served, request_):
    refused = [("photo.webp", str(request_.images[0].original))]  # which is a PNG
    found, _ = findings(served, replace(request_, refused=refused))
    assert "photo.webp: serving_default answers it instead of refusing it" in found.problems


def test_a_model_that_does_not_answer_after_a_broken_image_is_refused(served, request_):
    plain, broken = served[names.SERVING], []

    def ask(**given: tf.Tensor) -> Any:
        if broken:
            raise tf.errors.InternalError(None, None, "worn out")
        try:
            return plain(**given)
        except tf.errors.OpError:
            broken.append(True)
            raise

    served[names.SERVING] = ask
    found, _ = findings(served, request_)
    assert found.problems[0] == "blue/0.png: serving_default refuses the stored image (alone): worn out"


def test_a_model_that_cannot_be_loaded_is_told_as_a_problem(tmp_path, monkeypatch, capsys):
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"saved_model": str(tmp_path), "labels": [], "images": []}))
    monkeypatch.setattr(sys, "argv", ["infra_probe", str(request)])
    alarms: list[int] = []
    monkeypatch.setattr(signal, "alarm", alarms.append)
    infra_probe.main()
    told = [json.loads(line.removeprefix(infra_probe.MARK)) for line in capsys.readouterr().out.splitlines()]
    assert [findings["doing"] for findings in told] == ["loading the SavedModel", infra_probe.DONE]
    [problem] = told[-1]["problems"]
    assert problem.startswith(f"cannot be loaded: SavedModel file does not exist at: {tmp_path}")
    assert alarms == [660]


def test_the_nodes_of_a_graph_are_not_in_the_reason_of_an_error():
    error = tf.errors.DataLossError(None, None, "{{function_node __wrapped__RestoreV2_}} The file is damaged\nmore")
    assert reason(error) == "The file is damaged"
