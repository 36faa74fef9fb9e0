"""A pipeline that ran for some nights, without running it: records, releases and the files that both name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from edgetune.modules.evaluation.gates import FILE, Gate, as_json, file_of
from edgetune.modules.release.marker import Release
from edgetune.modules.release.release import EDGE, SAVED_MODEL, Places, release
from edgetune.modules.settings.run import RunSettings
from edgetune.modules.storage.digests import digest_of, file_digests
from tests.helpers.recorded_run import Recorder

BLESSINGS = {"model_blessing": "Evaluator", "infra_blessing": "InfraValidator", "edge_blessing": "EdgeEvaluator"}


class Nights:
    """A workdir in which a pipeline named `birds` ran every night."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workdir = folder, folder / "workdir"
        self.settings = RunSettings.model_validate({"name": "birds", "data": {"path": str(folder)}})
        self.db = self.workdir / "tfx_metadata" / "birds" / "metadata.db"
        self.db.parent.mkdir(parents=True)
        pushed = self.workdir / "pushed" / "birds"
        self.places = Places(str(pushed / "edge"), str(pushed / "saved_model"))
        self.recorder = Recorder(self.db, "birds")
        self.number = 0

    def night(
        self, accuracy: float = 0.9, *, refused_by: str = "", killed_before_record: bool = False
    ) -> Release | None:
        """Record a night with a new model, and release it unless a gate refused it."""
        self.number += 1
        night = self.folder / f"night-{self.number}"
        sources = self._models(night, accuracy)
        digest = digest_of(file_digests(sources[SAVED_MODEL]))
        recorder = self.recorder
        recorder.run(f"run-{self.number}")
        versions = json.dumps({"tensorflow": f"2.{self.number}"})
        recorder.node("ImageExampleGen", outputs={"examples": ("Examples", "", {"library_versions": versions})})
        trained = {"model": ("Model", str(night), {"library_versions": versions})}
        inputs = {"examples": ("ImageExampleGen", "examples")}
        recorder.node("TwoPhaseTrainer", outputs=trained, properties={"code_digest": "c" * 64}, inputs=inputs)
        bounds = {"low": accuracy - 0.05, "high": accuracy + 0.05, "images": 200}
        gate = Gate("evaluation.min_accuracy", "SavedModel", "accuracy", 0.8, True, measured=accuracy, **bounds)
        (night / FILE).write_text(file_of([gate]))
        (night / "metrics.json").write_text(json.dumps({"variants": {}, "reasons": []}))
        for node in BLESSINGS.values():
            properties = {"blessed": int(node != refused_by), "saved_model_sha256": digest}
            kinds = {"Evaluator": "ModelBlessing"}
            outputs = {
                "blessing": (kinds.get(node, f"edgetune.{node}Blessing"), str(night), properties),
                "evaluation": ("ModelEvaluation", str(night), {}),
            }
            recorder.node(node, outputs=outputs, inputs={"model": ("TwoPhaseTrainer", "model")})
        inputs = {key: (node, "blessing") for key, node in BLESSINGS.items()} | {"model": ("TwoPhaseTrainer", "model")}
        made = None
        if not refused_by:
            ids = {key: recorder.artifacts[source][0].id for key, source in inputs.items()}
            made = release(sources, self.places, "birds", ids)
        if not killed_before_record:
            outputs = {}
            for key, kind, name in (
                ("pushed_model", "PushedModel", SAVED_MODEL), ("pushed_bundle", "edgetune.PushedBundle", EDGE),
            ):  # fmt: skip
                done = {"pushed": 0, "reason": "refused"}
                if made:
                    part = made.parts()[name]
                    done = {"pushed": 1, "pushed_version": str(made.version), "pushed_destination": part.path}
                    done["pushed_sha256"] = digest_of(part.files)
                outputs[key] = (kind, "", done)
            destinations = {"edge_destination": self.places.edge, "saved_model_destination": self.places.saved_model}
            recorder.node("ReleasePusher", outputs=outputs, inputs=inputs, properties=destinations)
        return made

    def _models(self, night: Path, accuracy: float) -> dict[str, str]:
        """Write both models; the bundle is one that can be read, and not one that can be used."""
        sources = {EDGE: night / "bundle", SAVED_MODEL: night / "model"}
        for folder in sources.values():
            folder.mkdir(parents=True)
        (sources[SAVED_MODEL] / "saved_model.pb").write_text(f"model of night {self.number}")
        tflite = f"bundle of night {self.number}".encode()
        gate = Gate("evaluation.min_accuracy", "SavedModel", "accuracy", 0.8, True, measured=accuracy)
        bundle = {
            "format": 1,
            "labels": ["owl", "jay"],
            "input": {"shape": [1, 8, 8, 3]},
            "variants": {
                "float32": {
                    "file": "model_float32.tflite",
                    "bytes": len(tflite),
                    "sha256": hashlib.sha256(tflite).hexdigest(),
                    "ops": {"ADD": 1},
                    "min_runtime": None,
                }
            },
            "gates": as_json([gate]),
            "images": {"train": {"owl": 40, "jay": 41}, "test": {"owl": 5, "jay": 6}},
            "lineage": {
                "pipeline": "birds",
                "config_digest": f"{self.number:064x}",
                "saved_model_sha256": "b" * 64,
                "test_data_sha256": "d" * 64,
                "data_digest": "e" * 64,
                "code": {"model": "c" * 64},
                "versions": {"model": {"tensorflow": f"2.{self.number}"}, "edge_model": None},
            },
        }
        (sources[EDGE] / "bundle.json").write_text(json.dumps(bundle))
        (sources[EDGE] / "model_float32.tflite").write_bytes(tflite)
        (sources[EDGE] / "SHA256SUMS").write_text(f"sums of night {self.number}")
        return {name: str(path) for name, path in sources.items()}
