"""From a folder of images to a blessed SavedModel and phone-ready LiteRT models, as a TFX pipeline.

A run needs a folder with one subfolder of images for each class. It returns when it ended, also if a gate refused the
model; `require_blessed` raises in that case:

>>> import edgetune
>>> run = edgetune.run(data="photos", workdir="workdir", overrides={"training.head.epochs": 5})
>>> run.require_blessed().metrics["accuracy"]
0.98
>>> saved_model, bundle = run.pushed

The edge bundle is the folder that a mobile engineer receives. It can be checked and used without the pipeline:

>>> all(check.outcome != "failed" for check in edgetune.verify(bundle))
True
>>> [prediction] = edgetune.load_bundle(bundle).predict("photo.jpg")
>>> prediction.label
'red'

Settings are frozen, typed and validated, one class for each group; a YAML file may be named instead:

>>> settings = edgetune.RunSettings(name="birds", data={"path": "photos"}, model={"backbone": "mobilenet_v2"})
>>> settings.training.head.learning_rate
0.001

Every error of these functions that a user can cause is an `EdgetuneError` with a cause and a remedy:

>>> try:
...     edgetune.load_settings(overrides={"model.alfa": 0.5})
... except edgetune.ConfigError as error:
...     print(error.cause)
unknown key model.alfa (--set): did you mean model.alpha?
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Imported on first use: `import edgetune` takes milliseconds, TensorFlow and TFX take seconds.
_HOMES = {
    "edgetune.pipeline.api": ("evaluate", "load_bundle", "load_settings", "run", "verify"),
    "edgetune.pipeline.classify.evaluation": ("Evaluation",),
    "edgetune.pipeline.local.result": ("Run",),
    "edgetune.modules.bundle.predict": ("Classifier", "Prediction"),
    "edgetune.modules.bundle.verify": ("Check",),
    "edgetune.modules.settings.run": (
        "BeamSettings",
        "CardSettings",
        "DataSettings",
        "EdgeSettings",
        "EvaluationSettings",
        "InfraSettings",
        "ModelSettings",
        "PlatformSettings",
        "PushSettings",
        "RunSettings",
        "StateSettings",
        "TrainingSettings",
    ),
    "edgetune.modules.core.errors": (
        "AccessError",
        "BundleError",
        "ConfigError",
        "DataError",
        "DatabaseError",
        "EdgetuneError",
        "ExportError",
        "MachineError",
        "MemoryShortage",
        "NotBlessed",
        "ProcessKilled",
        "PushError",
        "SubmitError",
        "TrainingError",
        "WeightsError",
    ),
    # On Kubeflow and Vertex, TFX finds the class of an artifact by the name of its type, `edgetune.EdgeModel`, which
    # may have one dot only.
    "edgetune.components.common.artifacts": (
        "ConvertedModel",
        "CrossValidation",
        "DatasetFindings",
        "EdgeBlessing",
        "EdgeEvaluation",
        "EdgeModel",
        "InfraBlessing",
        "IngestReport",
        "PushedBundle",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AccessError",
    "BeamSettings",
    "BundleError",
    "CardSettings",
    "Check",
    "Classifier",
    "ConfigError",
    "DataError",
    "DataSettings",
    "DatabaseError",
    "EdgeSettings",
    "EdgetuneError",
    "Evaluation",
    "EvaluationSettings",
    "ExportError",
    "InfraSettings",
    "MachineError",
    "MemoryShortage",
    "ModelSettings",
    "NotBlessed",
    "PlatformSettings",
    "Prediction",
    "ProcessKilled",
    "PushError",
    "PushSettings",
    "Run",
    "RunSettings",
    "StateSettings",
    "SubmitError",
    "TrainingError",
    "TrainingSettings",
    "WeightsError",
    "__version__",
    "evaluate",
    "load_bundle",
    "load_settings",
    "run",
    "verify",
]

if TYPE_CHECKING:
    from edgetune.modules.bundle.predict import Classifier as Classifier
    from edgetune.modules.bundle.predict import Prediction as Prediction
    from edgetune.modules.bundle.verify import Check as Check
    from edgetune.modules.core.errors import AccessError as AccessError
    from edgetune.modules.core.errors import BundleError as BundleError
    from edgetune.modules.core.errors import ConfigError as ConfigError
    from edgetune.modules.core.errors import DatabaseError as DatabaseError
    from edgetune.modules.core.errors import DataError as DataError
    from edgetune.modules.core.errors import EdgetuneError as EdgetuneError
    from edgetune.modules.core.errors import ExportError as ExportError
    from edgetune.modules.core.errors import MachineError as MachineError
    from edgetune.modules.core.errors import MemoryShortage as MemoryShortage
    from edgetune.modules.core.errors import NotBlessed as NotBlessed
    from edgetune.modules.core.errors import ProcessKilled as ProcessKilled
    from edgetune.modules.core.errors import PushError as PushError
    from edgetune.modules.core.errors import SubmitError as SubmitError
    from edgetune.modules.core.errors import TrainingError as TrainingError
    from edgetune.modules.core.errors import WeightsError as WeightsError
    from edgetune.modules.settings.run import BeamSettings as BeamSettings
    from edgetune.modules.settings.run import CardSettings as CardSettings
    from edgetune.modules.settings.run import DataSettings as DataSettings
    from edgetune.modules.settings.run import EdgeSettings as EdgeSettings
    from edgetune.modules.settings.run import EvaluationSettings as EvaluationSettings
    from edgetune.modules.settings.run import InfraSettings as InfraSettings
    from edgetune.modules.settings.run import ModelSettings as ModelSettings
    from edgetune.modules.settings.run import PlatformSettings as PlatformSettings
    from edgetune.modules.settings.run import PushSettings as PushSettings
    from edgetune.modules.settings.run import RunSettings as RunSettings
    from edgetune.modules.settings.run import StateSettings as StateSettings
    from edgetune.modules.settings.run import TrainingSettings as TrainingSettings
    from edgetune.pipeline.api import evaluate as evaluate
    from edgetune.pipeline.api import load_bundle as load_bundle
    from edgetune.pipeline.api import load_settings as load_settings
    from edgetune.pipeline.api import run as run
    from edgetune.pipeline.api import verify as verify
    from edgetune.pipeline.classify.evaluation import Evaluation as Evaluation
    from edgetune.pipeline.local.result import Run as Run


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
