"""TFX's BeamDagRunner, observed: when each node starts and ends, and the error that it ended with.

Beam copies the objects that it runs and wraps the errors that they raise, so observer and errors are module globals.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import tensorflow as tf
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner, PipelineNodeAsDoFn
from tfx.orchestration.pipeline import Pipeline

from edgetune.modules.core.errors import EdgetuneError
from edgetune.modules.core.faults import fault
from edgetune.modules.core.replaced import replaced
from edgetune.pipeline.beam.flags import IN_PROCESS as IN_PROCESS
from edgetune.pipeline.terminal.console import State


class Observer(Protocol):
    """Receives the start and the end of every node."""

    def started(self, node_id: str) -> None:
        """Note that a node begins."""

    def finished(self, node_id: str, state: State) -> None:
        """Note that a node has ended."""


_observer: Observer | None = None
_errors: list[EdgetuneError | KeyboardInterrupt] = []


def run_observed(pipeline: Pipeline, observer: Observer) -> None:
    """Run a pipeline to its end in this process.

    Raises:
        EdgetuneError: The first one that a component raised, as it was raised; or what its error means.
        KeyboardInterrupt: A component was interrupted; Beam would raise it as a RuntimeError.
        Exception: Whatever else stopped the run.
    """
    _errors.clear()
    with (
        _watching(observer),
        # BeamDagRunner takes no options for its own Beam pipeline. Beam's default would look for another runner on the
        # network, and run the components in that.
        replaced(StandardOptions, "DEFAULT_RUNNER", IN_PROCESS),
        # TFX's executors read the command line, as absl's flags; it is ours.
        replaced(sys, "argv", sys.argv[:1]),
        # To weigh what it keeps of a side input, Beam walks through the globals of all modules, each time.
        replaced(worker_handlers, "STATE_CACHE_SIZE_MB", 0),
    ):
        try:
            _ObservedRunner().run(pipeline)
        except Exception as error:
            if _errors:
                raise _errors[0] from error
            raise


@contextmanager
def _watching(observer: Observer) -> Iterator[None]:
    global _observer
    _observer = observer
    try:
        yield
    finally:
        _observer = None


class _ObservedNode(PipelineNodeAsDoFn):
    # What components give to tf.data and to metrics has no branches on tensors, and AutoGraph rewrites it all the same.
    @tf.autograph.experimental.do_not_convert
    def _run_node(self) -> None:
        if _observer is None:
            raise RuntimeError("nodes are run by run_observed only")
        _observer.started(self._node_id)
        try:
            super()._run_node()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                _errors.append(error)
            elif found := fault(error):
                _errors.append(found)
            _observer.finished(self._node_id, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        _observer.finished(self._node_id, "cached" if self._was_cached() else "done")

    def _was_cached(self) -> bool:
        """Whether the node's latest execution took its outputs from an earlier one."""
        with metadata.Metadata(self._mlmd_connection_config) as handle:
            name = f"{self._pipeline_info.id}.{self._node_id}"
            context = handle.store.get_context_by_type_and_name("node", name)
            executions = handle.store.get_executions_by_context(context.id)
        latest = max(executions, key=lambda execution: execution.id)
        return latest.last_known_state == metadata_store_pb2.Execution.CACHED


class _ObservedRunner(BeamDagRunner):
    _PIPELINE_NODE_DO_FN_CLS = _ObservedNode
