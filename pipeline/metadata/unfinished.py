"""Remove what executions left that were killed: TFX records them as running for ever, and keeps their folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import logging

from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.store import NUMBERED, open_store

if TYPE_CHECKING:
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig


def sweep(config: ConnectionConfig, root: str) -> list[str]:
    """Remove the folders of executions that never ended, and record these as canceled.

    Call it while the workdir is locked: nobody else then runs executions that its file records. On a server, other
    machines may run them, so nothing is removed.

    Args:
        config: A connection to a file that exists.
        root: Folder or URL of the pipeline's artifacts.

    Returns:
        The removed folders.
    """
    if config.WhichOneof("config") != "sqlite":
        return []
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as pb

    alive = (pb.Execution.NEW, pb.Execution.RUNNING)
    killed = [execution for execution in open_store(config).get_executions() if execution.last_known_state in alive]
    if not killed:
        return []
    numbers = {str(execution.id) for execution in killed}
    folders = [path for pattern in NUMBERED for path in filesystem.matching(root, pattern)]
    removed = [path for path in folders if path.rpartition("/")[2] in numbers]
    for path in removed:
        filesystem.remove(path)
        logging.info("removed what a killed execution left: %s", path)
    for execution in killed:
        execution.last_known_state = pb.Execution.CANCELED
    metadata_store.MetadataStore(config).put_executions(killed)
    return removed
