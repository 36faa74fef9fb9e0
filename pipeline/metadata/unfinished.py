"""Remove what executions left that were killed: TFX records them as running for ever, and keeps their folders.

A folder names its execution by node and number alone, and other records may count from 1, too. So folders are removed
only where these records are the only ones that name any: below the workdir that they are in, unless a run with other
records has ever used that place too, and said so (`SHARED`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import logging

from edgetune.modules.storage import filesystem
from edgetune.pipeline.metadata.store import NUMBERED, describe, open_store

if TYPE_CHECKING:
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig


SHARED = ".shared"
"""File in a root where runs have folders whose records are not in the workdir around it."""


def find(config: ConnectionConfig, root: str) -> list[str]:
    """Return the folders of executions that never ended.

    Call it while the workdir is locked: nobody else then runs executions that its file records. On a server, other
    machines may run them, and elsewhere, records of other workdirs may have folders, so none is returned.

    Args:
        config: A connection to a file that exists.
        root: Folder or URL of the pipeline's artifacts.
    """
    if not _owns(config, root) or not (killed := _killed(config)):
        return []
    store = open_store(config)
    # `<node>/<key>/<number>` and `<node>/.system/executor_execution/<number>`.
    made = {(context.name.rpartition(".")[2], str(one.id)) for one in killed for context in _nodes(store, one)}
    folders = [path for pattern in NUMBERED for path in filesystem.matching(root, pattern)]
    if Path(root, SHARED).exists():  # looked for last: whoever writes it has no folder yet
        return []
    return [path for path in folders if _maker(path) in made]


def sweep(config: ConnectionConfig, root: str) -> list[str]:
    """Remove these folders, record the executions as canceled, and return the folders. Arguments are as of `find`.

    Call it before any component runs: of a root that is not these records' own, it says so there.
    """
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as pb

    if not _owns(config, root) and not filesystem.is_remote(root):
        Path(root).mkdir(parents=True, exist_ok=True)
        Path(root, SHARED).touch()
    removed = find(config, root)
    for path in removed:
        filesystem.remove(path)
        logging.info("removed what a killed execution left: %s", path)
    if killed := _killed(config):
        for execution in killed:
            execution.last_known_state = pb.Execution.CANCELED
        metadata_store.MetadataStore(config).put_executions(killed)
    return removed


def _owns(config: ConnectionConfig, root: str) -> bool:
    """Return whether the records are a file of the workdir whose `tfx_pipeline_output` the root is in."""
    if config.WhichOneof("config") != "sqlite" or filesystem.is_remote(root):
        return False
    _, _, workdir, *_ = Path(describe(config)).resolve().parents  # <workdir>/tfx_metadata/<name>/metadata.db
    return Path(root).resolve().is_relative_to(workdir / "tfx_pipeline_output")


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
