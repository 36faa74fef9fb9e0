"""CuratedSchema: an ImportSchemaGen that detects edits."""

from __future__ import annotations

from dataclasses import fields

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.types import standard_artifacts

from edgetune.components.curated_schema.component import CuratedSchema
from edgetune.components.curated_schema.executor import Executor
from edgetune.modules.contracts import example_features
from edgetune.modules.images.picture_facts import PictureFacts


@pytest.fixture
def schema(tmp_path):
    path = tmp_path / "schema.pbtxt"
    path.write_text('feature { name: "image" type: BYTES }\n')
    return path


def test_an_edited_schema_changes_a_property_and_an_unchanged_one_does_not(schema):
    before = CuratedSchema(schema).exec_properties
    assert CuratedSchema(schema).exec_properties == before
    schema.write_text(schema.read_text() + "# a comment\n")
    after = CuratedSchema(schema).exec_properties
    assert before["schema_file"] == after["schema_file"] == str(schema)
    assert before["schema_digest"] != after["schema_digest"]


def test_everything_else_is_as_in_tfxs_component(schema):
    component, theirs = CuratedSchema(schema), ImportSchemaGen(schema_file=str(schema))
    assert component.outputs["schema"].type is standard_artifacts.Schema
    assert set(component.outputs) == set(theirs.outputs)
    assert issubclass(component.EXECUTOR_SPEC.executor_class, theirs.EXECUTOR_SPEC.executor_class)


def test_a_schema_beside_the_code_is_found_wherever_the_code_is_installed(root, tmp_path):
    component = CuratedSchema(root / "schemas" / "examples.pbtxt")
    assert component.exec_properties["schema_file"] == "edgetune:schemas/examples.pbtxt"
    artifact = standard_artifacts.Schema()
    artifact.uri = str(tmp_path)
    Executor().Do({}, {"schema": [artifact]}, dict(component.exec_properties))
    assert (tmp_path / "schema.pbtxt").read_bytes() == (root / "schemas" / "examples.pbtxt").read_bytes()


def test_the_schema_of_this_repository_has_every_feature_of_a_raw_example(root):
    schema = text_format.Parse((root / "schemas" / "examples.pbtxt").read_text(), schema_pb2.Schema())
    features = {feature.name: feature for feature in schema.feature}
    texts = {
        example_features.IMAGE,
        example_features.LABEL,
        example_features.SOURCE,
        example_features.IMAGE_ID,
        example_features.SPLIT_GROUP,
        example_features.DUPLICATE_GROUP,
    }
    wholes = {example_features.PLAIN, example_features.WIDTH, example_features.HEIGHT, example_features.BYTES}
    assert set(features) == texts | wholes | {
        example_features.ASPECT,
        example_features.RED,
        example_features.GREEN,
        example_features.BLUE,
        *(field.name for field in fields(PictureFacts)),
    }
    for name, feature in features.items():
        kind = schema_pb2.INT if name in wholes else schema_pb2.FLOAT
        assert feature.type == (schema_pb2.BYTES if name in texts else kind)
        assert feature.presence.min_fraction == 1.0
