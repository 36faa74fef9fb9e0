"""The shared names match the components that they stand for, and importing them needs nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from edgetune.components.common import names
from edgetune.components.cross_validator import CrossValidator
from edgetune.components.data_validation.component import StatisticsGen
from edgetune.components.dataset_gate import DatasetGate
from edgetune.components.edge_describer import EdgeDescriber
from edgetune.components.edge_evaluator import EdgeEvaluator
from edgetune.components.edge_exporter import EdgeExporter
from edgetune.components.evaluator import Evaluator
from edgetune.components.image_example_gen import ImageExampleGen
from edgetune.components.infra_validator import InfraValidator
from edgetune.components.label_reviewer import LabelReviewer
from edgetune.components.release_pusher import ReleasePusher
from edgetune.components.two_phase_trainer import TwoPhaseTrainer

OUTPUTS = {
    ImageExampleGen: (names.EXAMPLES_KEY, names.REPORT_KEY),
    StatisticsGen: (names.STATISTICS_KEY,),
    DatasetGate: (names.FINDINGS_KEY,),
    LabelReviewer: (names.FINDINGS_KEY,),
    TwoPhaseTrainer: (names.MODEL_KEY, names.MODEL_RUN_KEY),
    CrossValidator: (names.CROSS_VALIDATION_KEY,),
    Evaluator: (names.EVALUATION_KEY, names.BLESSING_KEY),
    InfraValidator: (names.BLESSING_KEY,),
    EdgeExporter: (names.CONVERTED_MODEL_KEY,),
    EdgeDescriber: (names.EDGE_MODEL_KEY,),
    EdgeEvaluator: (names.EVALUATION_KEY, names.BLESSING_KEY),
    ReleasePusher: (names.PUSHED_MODEL_KEY, names.PUSHED_BUNDLE_KEY),
}
IDS = {
    ImageExampleGen: names.IMAGE_EXAMPLE_GEN,
    StatisticsGen: names.STATISTICS_GEN,
    DatasetGate: names.DATASET_GATE,
    LabelReviewer: names.LABEL_REVIEWER,
    TwoPhaseTrainer: names.TWO_PHASE_TRAINER,
    CrossValidator: names.CROSS_VALIDATOR,
    Evaluator: names.EVALUATOR,
    EdgeExporter: names.EDGE_EXPORTER,
    EdgeDescriber: names.EDGE_DESCRIBER,
    EdgeEvaluator: names.EDGE_EVALUATOR,
    InfraValidator: names.INFRA_VALIDATOR,
    ReleasePusher: names.RELEASE_PUSHER,
}


@pytest.mark.parametrize("component", OUTPUTS, ids=lambda component: component.__name__)
def test_the_output_keys_are_those_of_the_component(component):
    assert set(component.SPEC_CLASS.OUTPUTS) == set(OUTPUTS[component])


def test_the_ids_are_the_class_names_that_tfx_uses():
    assert {component.__name__: name for component, name in IDS.items()} == {name: name for name in IDS.values()}


def test_the_module_imports_nothing():
    tree = ast.parse(Path(names.__file__).read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
