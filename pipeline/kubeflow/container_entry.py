"""What each container of a compiled pipeline runs: TFX's own entry point, with two things around it.

Kubeflow's launcher tells of an input artifact its name, URI and metadata, but not its type, without which TFX's entry
point cannot read it. Vertex does tell it. The component itself declares the types of its inputs, so they are filled in.

And what a user has caused is told as the command line tells it: cause and remedy, no traceback, and its exit code.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from absl import app

from edgetune.modules.core.errors import EdgetuneError
from edgetune.modules.core.gc_pause import gc_paused

_INVOCATION, _DECLARED = "--json_serialized_invocation_args", "--json_serialized_inputs_spec_args"


def typed(invocation: str, declared: str) -> str:
    """An executor input in which every input artifact has a type.

    Args:
        invocation: KFP's ExecutorInput, as JSON.
        declared: The component's ComponentInputsSpec, as JSON.
    """
    given = json.loads(invocation)
    types = json.loads(declared).get("artifacts", {})
    for key, found in given.get("inputs", {}).get("artifacts", {}).items():
        for artifact in found.get("artifacts", ()):
            if not any(artifact.get("type", {}).values()):
                artifact["type"] = types[key]["artifactType"]
    return json.dumps(given)


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Ends the process at an error that a user has caused: it is said as the command line says it."""
    try:
        yield
    except EdgetuneError as error:
        print(f"edgetune: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the component that the command line names; it ends the process where the component fails."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument(_INVOCATION, dest="invocation", required=True)
    parser.add_argument(_DECLARED, dest="declared", required=True)
    options, others = parser.parse_known_args(arguments)
    command = [sys.argv[0], *others, _INVOCATION, typed(options.invocation, options.declared)]

    with gc_paused():
        from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as tfx_entry

        from edgetune.modules.training import devices

    devices.prepare()

    def run(parsed: Any) -> None:
        with exit_on_user_error():
            tfx_entry.main(parsed)

    app.run(run, argv=[*command, _DECLARED, options.declared], flags_parser=tfx_entry._parse_flags)  # noqa: SLF001


if __name__ == "__main__":
    main()
