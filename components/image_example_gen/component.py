"""Interface of the ImageExampleGen component."""

from __future__ import annotations

import json

from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.channel import Channel
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from edgetune.components.common.artifacts import IngestReport
from edgetune.components.common.names import REPORT_KEY
from edgetune.components.common.parameters import READING, reading_properties
from edgetune.components.image_example_gen.deferred_source import (
    BOUNDS_KEYS,
    COLUMNS_KEY,
    DEFERRED,
    KIND_KEY,
    PATTERN_KEY,
    SMALLEST_KEY,
    input_config,
)
from edgetune.components.image_example_gen.driver import Driver
from edgetune.components.image_example_gen.executor import LIBRARIES, Executor
from edgetune.modules.contracts.example_features import SPLIT_GROUP
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.data.groups import list_columns
from edgetune.modules.data.sources import Source
from edgetune.modules.settings.run import DataSettings


class ImageExampleGenSpec(standard_component_specs.FileBasedExampleGenSpec):
    """FileBasedExampleGen's interface, with the properties for reading images added."""

    PARAMETERS = {
        **standard_component_specs.FileBasedExampleGenSpec.PARAMETERS,
        KIND_KEY: ExecutionParameter(type=str),
        PATTERN_KEY: ExecutionParameter(type=str, optional=True),
        SMALLEST_KEY: ExecutionParameter(type=int, optional=True),
        COLUMNS_KEY: ExecutionParameter(type=str),
        "image_feature": ExecutionParameter(type=str),
        "label_feature": ExecutionParameter(type=str),
        "group": ExecutionParameter(type=str),
        "max_rejected": ExecutionParameter(type=float),
        **{name: ExecutionParameter(type=kind) for name, kind in READING.items()},
        "verify_images": ExecutionParameter(type=int),
        **{name: ExecutionParameter(type=int) for name in BOUNDS_KEYS},
        "on_duplicates": ExecutionParameter(type=str),
        "duplicate_distance": ExecutionParameter(type=int),
        "split_memory": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }
    OUTPUTS = {
        **standard_component_specs.FileBasedExampleGenSpec.OUTPUTS,
        REPORT_KEY: ChannelParameter(type=IngestReport),
    }


class ImageExampleGen(FileBasedExampleGen):
    """A TFX component to ingest a folder of images, a list of images, or TFRecords of tf.Examples that hold images.

    It keeps the bytes of each JPEG and PNG that the exported graph reads, and writes the upright sRGB pixels of larger
    images and of all others that Pillow reads as PNG, in an example as `modules.examples.records` describes. Files that
    cannot be read are left out and listed; the component fails if their share of all files exceeds `max_rejected`. If
    the data have no splits of their own, near-duplicates go to the same split, every class is divided by the shares of
    the splits, and an image stays in the split that an earlier run of the pipeline gave it.

    It is served from the cache while paths, sizes and times of the files stay the same: see `Driver`.

    ## Example
    ```
    settings = DataSettings(path="/photos")
    example_gen = ImageExampleGen(source=discover(settings), settings=settings)
    ```

    Component `outputs` contains:
     - `examples`: Channel of type `standard_artifacts.Examples` with the splits train, eval and test; its custom
                   property `data_digest` is a digest of the images and labels in it.
     - `report`: Channel of type `IngestReport`: `ingest.json` and `rejected.csv`.
    """

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, source: Source | None, settings: DataSettings, split_memory: str = "") -> None:
        """Construct an ImageExampleGen component.

        Args:
            source: The result of `modules.data.sources.discover`; None if the component is to call it at run time.
            settings: `splits` (if the source lacks some), `columns`, `group`, `image_feature`, `label_feature`,
                `max_rejected`, `max_pixels`, `verify_images`, `max_list_bytes`, `max_records`, `max_unpack_ratio`,
                `on_duplicates` and `duplicate_distance` are used; without a source, also `path`, `tfrecord_pattern` and
                `min_examples_per_class`.
            split_memory: Folder in which runs of the pipeline remember the split of each image; empty for none.
        """
        deferred = {PATTERN_KEY: settings.tfrecord_pattern, SMALLEST_KEY: settings.min_examples_per_class}
        output = example_gen_pb2.Output()
        if made := type(settings.splits).model_fields if source is None else source.made_splits:
            output.split_config.partition_feature_name = SPLIT_GROUP
            for name in made:
                output.split_config.splits.add(name=name, hash_buckets=getattr(settings.splits, name))
        spec = ImageExampleGenSpec(
            input_base=source.base if source else settings.path,
            input_config=input_config(source) if source else example_gen_pb2.Input(),
            output_config=output,
            output_data_format=example_gen_pb2.FORMAT_TF_EXAMPLE,
            output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
            source_kind=source.kind if source else DEFERRED,
            **({} if source else deferred),
            columns=json.dumps(list_columns(settings)),
            group=settings.group or "",
            image_feature=settings.image_feature,
            label_feature=settings.label_feature,
            max_rejected=settings.max_rejected,
            **reading_properties(settings),
            verify_images=int(settings.verify_images),
            **{name: getattr(settings, name) for name in BOUNDS_KEYS},
            on_duplicates=settings.on_duplicates,
            duplicate_distance=settings.duplicate_distance,
            split_memory=split_memory,
            code_digest=code_digest("edgetune.components.image_example_gen.executor"),
            library_versions=library_versions(LIBRARIES),
            examples=Channel(type=standard_artifacts.Examples),
            report=Channel(type=IngestReport),
        )
        # FileBasedExampleGen's own constructor would build its own specification.
        base_beam_component.BaseBeamComponent.__init__(self, spec=spec)
