"""A SavedModel in a child process answers as a server does, and nothing that it does ends this process."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from edgetune.modules.contracts.signatures import IMAGE_BYTES, PROBABILITIES, SERVING
from edgetune.modules.core.errors import BundleError, DataError
from edgetune.modules.serving.isolated_saved_model import BATCH, ServedModel
from tests.tiny import edge, infra, model


@pytest.fixture(scope="module")
def served() -> ServedModel:
    return ServedModel(Path(edge.saved_model()))


def test_it_answers_like_the_server_in_batches_and_names_what_is_refused(served, tmp_path):
    pngs = [model.png(pixels) for pixels, _ in model.examples(BATCH // 2)]  # more than a batch
    path = tmp_path / "0.png"
    path.write_bytes(pngs[0])
    unreadable = DataError("of the caller")
    images = [("first", path), *((str(n), png) for n, png in enumerate(pngs[1:])), ("cut", pngs[0][:60])]
    answers = dict(served.answers([*images, ("absent", tmp_path / "absent.png"), ("given", unreadable)]))
    expected = np.asarray(infra.loaded(edge.saved_model()).signatures[SERVING](**{IMAGE_BYTES: pngs})[PROBABILITIES])
    names = [name for name, _ in images[:-1]]
    np.testing.assert_allclose([answers[name] for name in names], expected, atol=1e-5)
    assert served.labels == list(model.LABELS) and list(answers) == [*names, "cut", "absent", "given"]
    assert answers["cut"].cause.startswith("cut: ") and answers["absent"].cause.startswith("absent: ")
    assert answers["given"] is unreadable


def test_what_the_graph_refuses_and_ingest_reads_is_converted_first(served):
    gif = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), (250, 10, 10), np.uint8)).save(gif, "GIF")
    [answer] = served.probabilities([gif.getvalue()])
    assert model.LABELS[int(answer.argmax())] == "red"


def test_bounds_and_damage_are_errors(tmp_path):
    with pytest.raises(BundleError, match="takes more than 1 MB of memory, and was stopped"):
        ServedModel(Path(edge.saved_model()), memory=1 << 20)
    broken = Path(shutil.copytree(edge.saved_model(), tmp_path / "model"))
    (broken / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(BundleError, match="cannot be used as a SavedModel"):
        ServedModel(broken)


def test_a_model_that_writes_files_is_refused_before_it_is_loaded(tmp_path):
    class Harmful(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=IMAGE_BYTES)])
        def serve(self, image_bytes):
            tf.io.write_file(str(tmp_path / "written"), "x")
            return {PROBABILITIES: tf.ones([tf.size(image_bytes), 3])}

    module = Harmful()
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={SERVING: module.serve})
    (tmp_path / "model" / "assets" / "labels.txt").write_text("a\nb\nc\n")
    with pytest.raises(BundleError, match="it has the operations WriteFile, which act outside of the model"):
        ServedModel(tmp_path / "model")
    assert not (tmp_path / "written").exists()
