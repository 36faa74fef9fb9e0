"""A compiled pipeline of two tasks, in the form that TFX writes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

IMAGE = "registry.example.org/edgetune:1"
_SCHEMA = "title: tfx.Model\ntype: object\n"
_JOB: dict[str, Any] = {
    "displayName": "birds",
    "labels": {"tfx_runner": "kubeflow_v2"},
    "pipelineSpec": {
        "pipelineInfo": {"name": "birds"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "tfx-1.16.0",
        "root": {
            "dag": {
                "tasks": {
                    "Trainer": {
                        "taskInfo": {"name": "Trainer"},
                        "componentRef": {"name": "Trainer"},
                        "cachingOptions": {"enableCache": True},
                        "inputs": {
                            "parameters": {
                                "epochs": {"componentInputParameter": "epochs"},
                                "learning_rate": {"componentInputParameter": "learning_rate"},
                                "momentum": {"runtimeValue": {"constant": 1e-05}},
                            }
                        },
                    },
                    "Evaluator": {
                        "taskInfo": {"name": "Evaluator"},
                        "componentRef": {"name": "Evaluator"},
                        "cachingOptions": {"enableCache": True},
                        "dependentTasks": ["Trainer"],
                        "inputs": {
                            "artifacts": {
                                "model": {
                                    "taskOutputArtifact": {"outputArtifactKey": "model", "producerTask": "Trainer"}
                                }
                            }
                        },
                    },
                }
            },
            "inputDefinitions": {
                "parameters": {
                    "data_path": {"parameterType": "STRING", "defaultValue": "gs://bucket/images"},
                    "epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": 10},
                    "learning_rate": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 1e-05},
                }
            },
        },
        "components": {
            "Trainer": {
                "executorLabel": "Trainer_executor",
                "inputDefinitions": {
                    "parameters": {
                        "epochs": {"parameterType": "NUMBER_INTEGER"},
                        "learning_rate": {"parameterType": "NUMBER_DOUBLE"},
                        "momentum": {"parameterType": "NUMBER_DOUBLE"},
                    }
                },
                "outputDefinitions": {"artifacts": {"model": {"artifactType": {"instanceSchema": _SCHEMA}}}},
            },
            "Evaluator": {
                "executorLabel": "Evaluator_executor",
                "inputDefinitions": {"artifacts": {"model": {"artifactType": {"instanceSchema": _SCHEMA}}}},
            },
        },
        "deploymentSpec": {
            "executors": {
                f"{name}_executor": {
                    "container": {
                        "image": IMAGE,
                        "command": ["python", "-m", "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"],
                        "args": [
                            "--executor_class_path",
                            f"edgetune.components.{name}",
                            "--json_serialized_invocation_args",
                            "{{$}}",
                        ],
                        "resources": {"cpuLimit": 4.0, "memoryLimit": 16.0},
                    }
                }
                for name in ("Trainer", "Evaluator")
            }
        },
    },
    "runtimeConfig": {"gcsOutputDirectory": "gs://bucket/root"},
}


def document() -> dict[str, Any]:
    """Return the PipelineJob as a copy that tests may change."""
    return copy.deepcopy(_JOB)


def write(folder: Path, job: dict[str, Any] | None = None) -> Path:
    """Write this or another job to a folder."""
    path = folder / "pipeline.json"
    path.write_text(json.dumps(job or _JOB))
    return path
