"""Transform as a component: the pixels, their order, and the number of images in memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tfx import types
from tfx.components.transform import executor as tfx_executor
from tfx.proto import transform_pb2
from tfx.types import standard_artifacts

from edgetune.components.transform import Transform
from edgetune.components.transform.executor import Executor, Processor
from edgetune.modules.contracts import example_features
from edgetune.modules.examples import records
from edgetune.modules.images import decode
from edgetune.modules.images.reading import Reading
from tests.helpers import beam_context, recorded_shards

SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "examples.pbtxt"
SIZE, NUMBER = 16, 70
LABELS = ("ash", "beech", "cedar")


def encoded(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (SIZE + number % 5, 20, 3), dtype=np.uint8)
    return tf.io.encode_png(pixels).numpy()


def write_raw(folder: Path) -> None:
    for first, split in enumerate(example_features.SPLITS):
        place = folder / f"Split-{split}"
        place.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(place / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
            for number in range(1000 * first, 1000 * first + NUMBER):
                example = tf.train.Example()
                texts = {"image": encoded(number), "label": LABELS[number % 3].encode()}
                texts |= dict.fromkeys(("source", "image_id", "split_group"), str(number).encode())
                for name, text in texts.items():
                    example.features.feature[name].bytes_list.value.append(text)
                for name, value in (("width", 20), ("height", 20), ("bytes", 20), ("plain", number % 2)):
                    example.features.feature[name].int64_list.value.append(value)
                for name in ("aspect", "red", "green", "blue"):
                    example.features.feature[name].float_list.value.append(1.0)
                writer.write(example.SerializeToString())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, types.Artifact], set[int]]:
    """Return the folder, the output artifacts, and the sizes of the written batches."""
    folder = tmp_path_factory.mktemp("transform")
    write_raw(folder / "examples")
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(SCHEMA.read_text(encoding="utf-8"), encoding="utf-8")
    component = Transform(
        examples=types.Channel(type=standard_artifacts.Examples),
        schema=types.Channel(type=standard_artifacts.Schema),
        preprocessing_fn="edgetune.modules.examples.preprocessing.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=example_features.SPLITS),
        custom_config={"image_size": SIZE, "reading": dataclasses.asdict(Reading())},
        disable_statistics=True,
    )
    inputs = {"examples": standard_artifacts.Examples(), "schema": standard_artifacts.Schema()}
    inputs["examples"].split_names = '["train", "eval", "test"]'
    outputs = {key: channel.type() for key, channel in component.outputs.items()}
    for key, artifact in (inputs | outputs).items():
        artifact.uri = str(folder / key)
    recorded_shards.stamp(inputs["examples"])
    sizes: set[int] = set()
    encode = tfx_executor.TransformProcessor._RecordBatchToExamplesFn.process

    def watched(self, batch):
        sizes.add(batch[0].num_rows)
        return encode(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfx_executor.TransformProcessor._RecordBatchToExamplesFn, "process", watched)
        listed = ({key: [artifact] for key, artifact in given.items()} for given in (inputs, outputs))
        Executor(beam_context.context(folder)).Do(*listed, dict(component.exec_properties))
    return folder, outputs, sizes


def test_every_image_is_written_as_decoded_in_the_order_of_its_split(made):
    folder, outputs, _ = made
    for first, split in enumerate(example_features.SPLITS):
        found = list(records.transformed(str(folder / "transformed_examples"), split, SIZE))
        assert len(found) == NUMBER
        for number, (image, label) in enumerate(found, start=1000 * first):
            np.testing.assert_array_equal(image, decode.decode(encoded(number), SIZE))
            assert label == number % 3
    assert outputs["transformed_examples"].split_names == '["train", "eval", "test"]'


def test_the_graph_is_written_and_no_statistics_are(made):
    folder, outputs, _ = made
    assert (folder / "transform_graph" / "transform_fn" / "assets" / "labels.txt").read_text().split() == list(LABELS)
    assert set(outputs) == {"transform_graph", "transformed_examples", "updated_analyzer_cache"}
    assert len(outputs["transform_graph"].get_string_custom_property("recipe_sha256")) == 64


def test_few_images_are_in_memory_at_a_time(made):
    assert max(made[2]) <= 32


def test_tfxs_own_processor_is_restored(made):
    assert tfx_executor.TransformProcessor is not Processor
