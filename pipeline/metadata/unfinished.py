"""Remove what executions left that were killed: TFX records them as running for ever, and keeps their folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absl import logging

from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.store import NUMBERED, open_store

if TYPE_CHECKING:
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig


def find(config: ConnectionConfig, root: str) -> list[str]:
    """Return the folders of executions that never ended.

    Call it while the workdir is locked: nobody else then runs executions that its file records. On a server, other
    machines may run them, so none is returned.

    Args:
        config: A connection to a file that exists.
        root: Folder or URL of the pipeline's artifacts.
    """
    if not (killed := _killed(config)):
        return []
    store = open_store(config)
    # `<node>/<key>/<number>` and `<node>/.system/executor_execution/<number>`. Other records may count from 1, too.
    made = {(context.name.rpartition(".")[2], str(one.id)) for one in killed for context in _nodes(store, one)}
    folders = [path for pattern in NUMBERED for path in filesystem.matching(root, pattern)]
    return [path for path in folders if _maker(path) in made]


def sweep(config: ConnectionConfig, root: str) -> list[str]:
    """Remove these folders, record the executions as canceled, and return the folders. Arguments are as of `find`."""
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as pb

    removed = find(config, root)
    for path in removed:
        filesystem.remove(path)
        logging.info("removed what a killed execution left: %s", path)
    if killed := _killed(config):
        for execution in killed:
            execution.last_known_state = pb.Execution.CANCELED
        metadata_store.MetadataStore(config).put_executions(killed)
    return removed


def _maker(path: str) -> tuple[str, str]:
    """Return the node and the number in the path of a folder."""
    *_, above, node, key, number = path.split("/")
    return (above if node == ".system" else node), number


def _nodes(store: Any, execution: Any) -> list[Any]:
    return [context for context in store.get_contexts_by_execution(execution.id) if context.type == "node"]


def _killed(config: ConnectionConfig) -> list[Any]:
    from ml_metadata.proto import metadata_store_pb2 as pb

    if config.WhichOneof("config") != "sqlite":
        return []
    alive = (pb.Execution.NEW, pb.Execution.RUNNING)
    return [execution for execution in open_store(config).get_executions() if execution.last_known_state in alive]
