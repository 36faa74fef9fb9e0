"""Run a compiled pipeline on this machine like Vertex AI Pipelines and Kubeflow's launcher do.

Each task runs the command of its container in a separate process, with an executor input made from the specification:
parameters with their defaults, artifacts with name, URI and metadata. The output file of a task is the input of later
ones. There are no resolvers and importers. The processes are forks of one that has imported TFX
(tests/helpers/fork_server.py).

Vertex passes the type of each artifact, and a path as its name. Kubeflow passes numbers as names, no types of inputs,
and no names of outputs (kubeflow/pipelines, backend/src/v2: metadata/client.go, driver, component/launcher_v2.go).

    done = Platform("kubeflow", folder, server).run(json.loads(path.read_text()), {"training_head_epochs": 2})
    done["ReleasePusher"]["pushed_bundle"][0]["metadata"]["pushed_destination"]
"""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from tests.helpers.fork_server import ForkServer

Json = dict[str, Any]
Artifacts = dict[str, list[Json]]
"""Outputs of a task: runtime artifacts by key."""

_STORE = "projects/1/locations/here/metadataStores/default/artifacts"
_WHOLE_INPUT = "{{$}}"
IMPORTED = (
    "edgetune.modules.core.child_process",
    "edgetune.pipeline.kubeflow.container_entry",
    "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor",
)
"""What every task imports."""


class Platform:
    """State that outlives a run: a folder for logs, and the numbers that are taken."""

    def __init__(self, kind: str, folder: Path, server: ForkServer, parallel: int = 2, seconds: float = 300) -> None:
        """Create `folder` for logs. `server` runs up to `parallel` tasks at once, each for up to `seconds`."""
        self.kind, self.folder, self.server, self.parallel, self.seconds = kind, folder, server, parallel, seconds
        self._ids = itertools.count(1)
        self._runs = itertools.count(1)
        folder.mkdir(parents=True, exist_ok=True)

    def run(
        self, job: Json, values: Mapping[str, Any] | None = None, known: Mapping[str, Artifacts] | None = None
    ) -> dict[str, Artifacts]:
        """Run all tasks except those with known outputs, and return the outputs of all tasks.

        Raises:
            RuntimeError: A task failed; the message ends with its log.
        """
        spec = job["pipelineSpec"]
        declared = spec["root"]["inputDefinitions"]["parameters"]
        given = {name: parameter["defaultValue"] for name, parameter in declared.items()} | dict(values or {})
        uri = f"{job['runtimeConfig']['gcsOutputDirectory']}/1/run-{next(self._runs)}"
        tasks, done = dict(spec["root"]["dag"]["tasks"]), dict(known or {})
        running: dict[str, Future[Artifacts]] = {}
        with ThreadPoolExecutor(self.parallel) as pool:
            while len(done) < len(tasks):
                for name, task in tasks.items():
                    if name not in done and name not in running and _needs(task) <= set(done):
                        running[name] = pool.submit(self._task, spec, name, given, dict(done), uri)
                for name in _ended(running):
                    done[name] = running.pop(name).result()
        return done

    def _task(self, spec: Json, name: str, given: Json, done: dict[str, Artifacts], uri: str) -> Artifacts:
        task = spec["root"]["dag"]["tasks"][name]
        component = spec["components"][task["componentRef"]["name"]]
        executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]
        inputs = {
            key: done[source["taskOutputArtifact"]["producerTask"]][source["taskOutputArtifact"]["outputArtifactKey"]]
            for key, source in task.get("inputs", {}).get("artifacts", {}).items()
        }
        folder = f"{uri}/{name}_{next(self._ids)}"
        outputs = {
            key: [{"name": self._name(), "type": declared["artifactType"], "uri": f"{folder}/{key}", "metadata": {}}]
            for key, declared in component["outputDefinitions"]["artifacts"].items()
        }
        output_file = f"{folder}/executor_output.json"
        whole = {
            "inputs": {
                "parameterValues": {
                    key: _value(source, given) for key, source in task["inputs"].get("parameters", {}).items()
                },
                "artifacts": {key: {"artifacts": self._as_inputs(found)} for key, found in inputs.items()},
            },
            "outputs": {
                "artifacts": {key: {"artifacts": self._as_outputs(made)} for key, made in outputs.items()},
                "outputFile": output_file,
            },
        }
        container = executor["container"]
        for hook in container.get("lifecycle", {}).values():
            self._execute(f"{name}-hook", hook, whole)
        self._execute(name, container, whole)
        for key, made in json.loads(Path(output_file).read_text())["artifacts"].items():
            for artifact, output in zip(outputs[key], made["artifacts"], strict=True):
                assert output["uri"] == artifact["uri"]
                artifact["metadata"] = output.get("metadata", {})
        return outputs

    def _as_inputs(self, artifacts: list[Json]) -> list[Json]:
        if self.kind == "vertex":
            return artifacts
        added = {"display_name": "it", "store_session_info": "{}"}
        return [{**one, "type": {}, "metadata": {**one["metadata"], **added}} for one in artifacts]

    def _as_outputs(self, artifacts: list[Json]) -> list[Json]:
        return artifacts if self.kind == "vertex" else [{**one, "name": ""} for one in artifacts]

    def _execute(self, name: str, container: Json, whole: Json) -> None:
        command = [*container["command"], *container["args"]]
        assert command.count(_WHOLE_INPUT) == 1
        command = [json.dumps(whole) if word == _WHOLE_INPUT else word for word in command]
        assert not [word for word in command if word.startswith("{{")]
        python, as_module, module, *arguments = command
        assert (python, as_module) == ("python", "-m")
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            done = subprocess.run(
                self.server.command(module, *arguments),
                cwd=self.folder,
                stdout=output,
                stderr=output,
                timeout=self.seconds,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{name} ended with {done.returncode}:\n{log.read_text()[-4000:]}")

    def _name(self) -> str:
        number = next(self._ids)
        return f"{_STORE}/{number}" if self.kind == "vertex" else str(number)


def _needs(task: Json) -> set[str]:
    """Return the tasks that must end before: those named as dependencies, and those that provide inputs."""
    sources = task.get("inputs", {}).get("artifacts", {}).values()
    return {*task.get("dependentTasks", ()), *(source["taskOutputArtifact"]["producerTask"] for source in sources)}


def _ended(running: dict[str, Future[Artifacts]]) -> list[str]:
    ended, _ = wait(running.values(), return_when=FIRST_COMPLETED)
    return [name for name, future in running.items() if future in ended]


def _value(source: Json, given: Json) -> Any:
    if "componentInputParameter" in source:
        return given[source["componentInputParameter"]]
    return source["runtimeValue"]["constant"]
