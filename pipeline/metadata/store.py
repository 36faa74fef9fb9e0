"""Where ML Metadata keeps a run's records: a file in the workdir, or a server that several machines share.

A password comes from the environment or from the URL, and goes into the connection and nowhere else: TFX writes the
connection into its log, so `without_password` takes it out there.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.settings.execution import METADATA_PORTS

if TYPE_CHECKING:
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig
    from tfx.orchestration.pipeline import Pipeline

PASSWORD = "EDGETUNE_METADATA_PASSWORD"  # noqa: S105 - the name of the variable that holds it
_SECONDS = 10.0
# Before 0.1.0 the packages had no common name.
_OLD_TYPES = "components."
"""How long a server may take to answer."""
_FIELD = re.compile(r'(password: )("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')')


def connection(url: str | None, metadata_db: Path) -> ConnectionConfig:
    """The connection of a run.

    Args:
        url: `state.metadata`, as the settings let it through; None for a file.
        metadata_db: That file; ML Metadata makes it, in a folder that is there.
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


def place(config: ConnectionConfig) -> str:
    """The file, or the server and its database, for people; without a password."""
    kind = config.WhichOneof("config")
    if kind == "mysql":
        return f"mysql://{config.mysql.user}@{config.mysql.host}:{config.mysql.port}/{config.mysql.database}"
    if kind == "postgresql":
        server = config.postgresql
        return f"postgresql://{server.user}@{server.host}:{server.port}/{server.dbname}"
    return str(config.sqlite.filename_uri)


def check(config: ConnectionConfig) -> None:
    """Connect to the server or open the file, before anything runs.

    Raises:
        ConfigError: The server does not answer, or refuses the user, the password or the database; the records are of
            an edgetune before 0.1.0.
    """
    kind = config.WhichOneof("config")
    if kind == "sqlite":
        if Path(place(config)).is_file():
            _check_types(config)
        return
    server = getattr(config, kind)
    host, port = server.host, int(server.port)
    try:
        # ML Metadata's own attempt would take minutes where nothing answers.
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"state.metadata {place(config)}: no server answers at host {host}, port {port}: {error.strerror or error}",
            "check host and port, that the server runs and that this machine may reach it, or set state.metadata to "
            "null for a file in the workdir",
        ) from None
    _check_types(config)


def _check_types(config: ConnectionConfig) -> None:
    """Refuse records whose artifact types have the names of before 0.1.0: no run would find them again."""
    old = sorted(kind.name for kind in open_store(config).get_artifact_types() if kind.name.startswith(_OLD_TYPES))
    if old:
        raise ConfigError(
            f"{place(config)}: holds runs of an edgetune before 0.1.0 (artifacts of type {old[0]})",
            "name another --workdir, or another state.metadata; what was pushed stays where it is",
        )


def check_texts(config: ConnectionConfig, pipeline: Pipeline) -> None:
    """Look for what PostgreSQL would refuse in the middle of a run: ML Metadata, 1.16 and 1.21 alike, writes a text
    that holds a backslash as SQL that is none.

    Raises:
        ConfigError: A component has such a property, or artifacts would have such a place.
    """
    if config.WhichOneof("config") != "postgresql":
        return
    texts = [("the folder of artifacts", pipeline.pipeline_info.pipeline_root)]
    for component in pipeline.components:
        texts += [(f"{component.id}: {name}", value) for name, value in component.exec_properties.items()]
    for what, text in texts:
        if "\\" in str(text):
            raise ConfigError(
                f"{what} holds a backslash, which ML Metadata cannot keep on PostgreSQL",
                "write it without one, or keep the records on MySQL or in the workdir (state.metadata)",
            )


def open_store(config: ConnectionConfig) -> Any:
    """The store, for reading; on a server its tables are made where there are none.

    Raises:
        ConfigError: There is none, or it cannot be opened.
    """
    from ml_metadata import errors, metadata_store
    from ml_metadata.proto import metadata_store_pb2 as pb

    reading = pb.ConnectionConfig.FromString(config.SerializeToString())
    if config.WhichOneof("config") == "sqlite":
        if not Path(place(config)).is_file():
            raise ConfigError(
                f"{place(config)}: no run is recorded here", "run the pipeline first, or name its workdir"
            )
        reading.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READONLY
    try:
        return metadata_store.MetadataStore(reading)
    except (RuntimeError, errors.StatusError) as error:
        what = " ".join(str(error).split())
        if config.WhichOneof("config") == "sqlite":
            remedy = "move it away, and the next run begins a new one"
            raise ConfigError(f"{place(config)}: not a database of ML Metadata ({what})", remedy) from None
        raise ConfigError(
            f"state.metadata {place(config)}: the server refuses the connection: {what}",
            f"check the user, the password (the environment variable {PASSWORD}) and what that user may do there; "
            "the server's own words are in the log",
        ) from None


@contextmanager
def without_password(config: ConnectionConfig) -> Iterator[None]:
    """Inside, no log line shows the connection's password."""
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
    """The field by its name too: there, special characters of a password are written in another way."""
    text = _FIELD.sub(r'\1"***"', text)
    return text.replace(password, "***") if password else text
