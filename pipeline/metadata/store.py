"""Connect to the store of ML Metadata: a file in the workdir, or a server that several machines share.

A password comes from the environment or the URL, and is only used in the connection. TFX logs the connection, so
`without_password` removes the password from the log.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from edgetune.modules.core.errors import AccessError, ConfigError, DatabaseError
from edgetune.modules.core.faults import MOVE_AWAY
from edgetune.modules.settings.execution import METADATA_PORTS
from edgetune.modules.storage import filesystem

if TYPE_CHECKING:
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig
    from tfx.orchestration.pipeline import Pipeline

PASSWORD = "EDGETUNE_METADATA_PASSWORD"  # noqa: S105 - the name of the variable that holds it
_SECONDS = 10.0
"""Timeout for the answer of a server."""
_OLD_TYPES = "components."
"""Beginning of the names of artifact types before 0.1.0."""
_OF_ML_METADATA = "MLMDEnv"
"""Table that every database of ML Metadata has."""
NUMBERED = ("*/*/*", "*/.system/executor_execution/*")
"""Folders below the root that TFX names by the number of an execution."""
_FIELD = re.compile(r'(password: )("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')')


def connection(url: str | None, metadata_db: Path) -> ConnectionConfig:
    """Return the connection for a run.

    Args:
        url: `state.metadata`, validated by the settings; None for a file.
        metadata_db: That file. ML Metadata creates it, but not its folder.
    """
    from ml_metadata.proto import metadata_store_pb2 as pb

    config = pb.ConnectionConfig()
    if url is None:
        config.sqlite.filename_uri = str(metadata_db)
        config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return config
    parts = urlsplit(url)
    port = parts.port or METADATA_PORTS[parts.scheme]
    user, database = unquote(parts.username or ""), parts.path.strip("/")
    password = unquote(parts.password or "") or os.environ.get(PASSWORD, "")
    options = dict(parse_qsl(parts.query))
    if parts.scheme == "mysql":
        config.mysql.MergeFrom(
            pb.MySQLDatabaseConfig(
                host=parts.hostname, port=port, database=database, user=user, password=password or None
            )
        )
        for key, value in options.items():
            setattr(config.mysql.ssl_options, key.removeprefix("ssl_"), value)
    else:
        config.postgresql.MergeFrom(
            pb.PostgreSQLDatabaseConfig(
                host=parts.hostname, port=str(port), dbname=database, user=user, password=password or None
            )
        )
        for key, value in options.items():
            setattr(config.postgresql.ssloption, key, value)
    return config


def describe(config: ConnectionConfig) -> str:
    """Return the path of the file, or the URL of the database without a password."""
    kind = config.WhichOneof("config")
    if kind == "mysql":
        return f"mysql://{config.mysql.user}@{config.mysql.host}:{config.mysql.port}/{config.mysql.database}"
    if kind == "postgresql":
        server = config.postgresql
        return f"postgresql://{server.user}@{server.host}:{server.port}/{server.dbname}"
    return str(config.sqlite.filename_uri)


def check(config: ConnectionConfig) -> None:
    """Check before a run that the server accepts the connection, or that the file can be opened.

    Raises:
        ConfigError: The server does not answer, or rejects the user, the password or the database; or the records are
            from a version before 0.1.0.
        DatabaseError: The file is damaged, or is not a database of ML Metadata.
        AccessError: The file cannot be read and written.
    """
    kind = config.WhichOneof("config")
    if kind == "sqlite":
        _check_kind(Path(describe(config)))
        if Path(describe(config)).is_file() and _check_file(Path(describe(config))):
            _check_types(config)
        return
    server = getattr(config, kind)
    host, port = server.host, int(server.port)
    try:
        # ML Metadata itself would try for minutes.
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"state.metadata {describe(config)}: no server answers at host {host}, port {port}: "
            f"{error.strerror or error}",
            "check host and port, that the server is running and that this machine can reach it, or set state.metadata "
            "to null for a file in the workdir",
        ) from None
    _check_types(config)


def _check_kind(path: Path) -> None:
    """Reject what is there and is not a file: SQLite would wait for the other end of a pipe."""
    if os.path.lexists(path) and not path.is_file():
        what = "a folder" if path.is_dir() else "not a file"
        raise DatabaseError(f"{path}: the records of the runs should be here, and this is {what}", MOVE_AWAY)


def _check_file(path: Path) -> bool:
    """Reject a database that is damaged or another program's, and return whether it has tables.

    ML Metadata opens such a file, and fails later, or adds its tables to those of the other program. Opened for
    writing, SQLite first rolls back what a killed process was writing; ML Metadata, which reads only, could not.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as database:
            [wrong] = database.execute("PRAGMA quick_check(1)").fetchone()
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        if not os.access(path, os.R_OK | os.W_OK):
            raise AccessError(f"{path}: cannot be read and written", "allow this user to") from None
        wrong = str(error)
    if wrong != "ok":
        raise DatabaseError(f"{path}: the records of the runs are damaged ({' '.join(wrong.split())})", MOVE_AWAY)
    if tables and _OF_ML_METADATA not in tables:
        raise DatabaseError(f"{path}: a database of another program, not of ML Metadata", MOVE_AWAY)
    return bool(tables)


def number_after(config: ConnectionConfig, root: str) -> None:
    """Make the numbers of executions in a file begin above those that name folders of artifacts.

    TFX names the folders by these numbers. Those of a new file, or of an older copy, would begin again where folders
    are: components would empty them, or fail.

    Args:
        config: A connection; of a server, the numbers are its own.
        root: Folder or URL of the pipeline's artifacts.
    """
    from ml_metadata import metadata_store

    if config.WhichOneof("config") != "sqlite":
        return
    path = Path(describe(config))
    if not path.is_file() or not path.stat().st_size:
        metadata_store.MetadataStore(config)  # makes the tables
    with contextlib.closing(sqlite3.connect(path)) as database:
        # Where SQLite keeps the last number of a table whose numbers it never uses again (sqlite.org/autoinc.html).
        [last] = database.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'Execution'").fetchone()
        if filesystem.is_remote(root) and last is not None:
            return  # to list a store takes a request for each thousand files
        found = [int(name) for folder in NUMBERED for name in _last_parts(root, folder) if name.isdecimal()]
        if (highest := max(found, default=0)) > (last or 0):
            database.execute("DELETE FROM sqlite_sequence WHERE name = 'Execution'")
            database.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('Execution', ?)", (highest,))
            database.commit()


def _last_parts(root: str, pattern: str) -> list[str]:
    return [path.rpartition("/")[2] for path in filesystem.matching(root, pattern)]


def _check_types(config: ConnectionConfig) -> None:
    """Reject records from a version before 0.1.0, whose artifact types had names that runs no longer find."""
    old = sorted(kind.name for kind in open_store(config).get_artifact_types() if kind.name.startswith(_OLD_TYPES))
    if old:
        raise ConfigError(
            f"{describe(config)} holds runs of edgetune before 0.1.0 (artifacts of type {old[0]})",
            "name another --workdir or another state.metadata; pushed models are not affected",
        )


def check_texts(config: ConnectionConfig, pipeline: Pipeline) -> None:
    """Reject texts with a backslash, for which ML Metadata 1.16 and 1.21 write invalid SQL on PostgreSQL.

    Raises:
        ConfigError: A property of a component or the folder of the artifacts has one.
    """
    if config.WhichOneof("config") != "postgresql":
        return
    texts = [("the folder of artifacts", pipeline.pipeline_info.pipeline_root)]
    for component in pipeline.components:
        texts += [(f"{component.id}: {name}", value) for name, value in component.exec_properties.items()]
    for what, text in texts:
        if "\\" in str(text):
            raise ConfigError(
                f"{what} holds a backslash, which ML Metadata cannot store on PostgreSQL",
                "remove it, or keep the records on MySQL or in the workdir (state.metadata)",
            )


def open_store(config: ConnectionConfig) -> Any:
    """Open the store for reading; on a server, missing tables are created.

    Raises:
        ConfigError: It does not exist or is empty, or a server rejects the connection.
        DatabaseError: The file cannot be opened.
        AccessError: A killed process was writing the file, and this user may not roll that back.
    """
    from ml_metadata import errors, metadata_store
    from ml_metadata.proto import metadata_store_pb2 as pb

    reading = pb.ConnectionConfig.FromString(config.SerializeToString())
    if config.WhichOneof("config") == "sqlite":
        _check_kind(Path(describe(config)))
        _roll_back(Path(describe(config)))
        if not Path(describe(config)).is_file() or not Path(describe(config)).stat().st_size:
            raise ConfigError(
                f"{describe(config)}: no run is recorded here", "run the pipeline first, or name its workdir"
            )
        reading.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READONLY
    try:
        return metadata_store.MetadataStore(reading)
    except (RuntimeError, errors.StatusError) as error:
        what = " ".join(str(error).split())
        if "readonly database" in what:
            raise AccessError(
                f"{describe(config)}: a write to it was interrupted, and this user may not roll it back",
                "allow this user to write the file and its folder, or repeat the command as the user of the runs",
            ) from None
        if config.WhichOneof("config") == "sqlite":
            raise DatabaseError(f"{describe(config)}: not a database of ML Metadata ({what})", MOVE_AWAY) from None
        raise ConfigError(
            f"state.metadata {describe(config)}: the server rejects the connection: {what}",
            f"check the user, the password (environment variable {PASSWORD}) and the user's permissions; the server's "
            "own message is in the log",
        ) from None


def has_tables(path: Path) -> bool:
    """Return whether a file that `check` accepted has tables; one that a killed first run left may have none."""
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,)


def _roll_back(path: Path) -> None:
    """Let SQLite roll back what a killed process was writing, which ML Metadata cannot when it only reads."""
    journal = path.with_name(f"{path.name}-journal")
    with contextlib.suppress(OSError, sqlite3.Error):  # gone meanwhile, or in use; ML Metadata says why it cannot read
        if journal.stat().st_size:
            with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as database:
                database.execute("SELECT count(*) FROM sqlite_master")


@contextlib.contextmanager
def without_password(config: ConnectionConfig) -> Iterator[None]:
    """Hide the connection's password in log lines while the context lasts."""
    server = getattr(config, config.WhichOneof("config"))
    handlers = [*logging.getLogger().handlers, *logging.getLogger("absl").handlers]
    hider = _Hider(getattr(server, "password", ""))
    for handler in handlers:
        handler.addFilter(hider)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(hider)


class _Hider(logging.Filter):
    def __init__(self, password: str) -> None:
        super().__init__()
        self._password = password

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        hidden = _hidden(message, self._password)
        if hidden != message:
            record.msg, record.args = hidden, ()
        return True


def _hidden(text: str, password: str) -> str:
    """Replace the password, also in the field of that name, where its special characters are escaped."""
    text = _FIELD.sub(r'\1"***"', text)
    return text.replace(password, "***") if password else text
