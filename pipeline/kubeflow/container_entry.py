"""Entry point of each container of a compiled pipeline: TFX's own, with two additions.

Kubeflow's launcher passes name, URI and metadata of an input artifact, but not its type, which TFX's entry point needs.
(Vertex passes the type.) The component declares the types of its inputs, so they are filled in from there.

User errors are reported as on the command line: cause and remedy without a traceback, and the exit code of the error.
So are faults of the machine (`modules.core.faults`), after their traceback, as there is no other log.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from absl import app

from edgetune.modules.core.errors import EdgetuneError
from edgetune.modules.core.faults import fault
from edgetune.modules.core.gc_pause import gc_paused
from edgetune.modules.core.untrusted_text import for_terminal

_INVOCATION, _DECLARED = "--json_serialized_invocation_args", "--json_serialized_inputs_spec_args"


def add_types(invocation: str, declared: str) -> str:
    """Return the executor input with a type for every input artifact.

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
    """Exit like the command line does on a user error or a fault of the machine."""
    try:
        yield
    except Exception as error:
        if (found := fault(error)) is None:
            raise
        if not isinstance(error, EdgetuneError):
            print(for_terminal(traceback.format_exc()), file=sys.stderr)
        print(for_terminal(f"edgetune: {found}"), file=sys.stderr, flush=True)
        sys.exit(found.exit_code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the component that the command line names, and exit the process if it fails."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument(_INVOCATION, dest="invocation", required=True)
    parser.add_argument(_DECLARED, dest="declared", required=True)
    options, others = parser.parse_known_args(arguments)
    command = [sys.argv[0], *others, _INVOCATION, add_types(options.invocation, options.declared)]

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
