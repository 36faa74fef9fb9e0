"""ML Metadata on a server: its URL, the checks before a run, and a run that is cached from it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import absl.logging
import pytest
from ml_metadata.errors import InternalError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as pb
from tfx.orchestration.pipeline import Pipeline

from edgetune.components.curated_schema.component import CuratedSchema
from edgetune.modules.core.errors import AccessError, ConfigError, DatabaseError
from edgetune.pipeline.config.load import config_digest, load, to_yaml
from edgetune.pipeline.local.observed_runner import run_observed
from edgetune.pipeline.metadata.outcome import CACHED, read_outcome
from edgetune.pipeline.metadata.store import (
    PASSWORD,
    check,
    check_texts,
    connection,
    describe,
    number_after,
    open_store,
    without_password,
)
from tests.fakes import postgres
from tests.helpers.node_states import Seen
from tests.helpers.recorded_run import Recorder

URL = "postgresql://ada:s3cr%3At@db.example:6543/records?sslmode=require"


def settings(url: str):
    return load(None, [f"state.metadata={url}"], "/photos")


# --- URLs of servers


def test_a_url_becomes_a_connection(tmp_path):
    server = connection(URL, tmp_path / "metadata.db").postgresql
    assert (server.host, server.port, server.user, server.dbname) == ("db.example", "6543", "ada", "records")
    assert (server.password, server.ssloption.sslmode) == ("s3cr:t", "require")
    other = connection("mysql://ada@db.example/records?ssl_ca=/ca.pem", tmp_path / "metadata.db").mysql
    assert (other.host, other.port, other.user, other.database) == ("db.example", 3306, "ada", "records")
    assert not other.HasField("password") and other.ssl_options.ca == "/ca.pem"
    assert connection("postgresql://ada@db.example/records", tmp_path).postgresql.port == "5432"


def test_the_password_can_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORD, "from outside")
    assert connection("postgresql://ada@db.example/records", tmp_path).postgresql.password == "from outside"
    assert connection(URL, tmp_path).postgresql.password == "s3cr:t"


def test_without_a_url_the_store_is_a_file_in_the_workdir(tmp_path):
    config = connection(None, tmp_path / "metadata.db")
    assert describe(config) == config.sqlite.filename_uri == str(tmp_path / "metadata.db")
    check(config)


def test_a_password_is_never_shown(tmp_path):
    found = settings(URL)
    assert found.state.metadata == URL
    shown = "postgresql://ada:***@db.example:6543/records?sslmode=require"
    assert shown in to_yaml(found)
    for text in (to_yaml(found), repr(found), str(found), describe(connection(URL, tmp_path))):
        assert "s3cr" not in text
    assert config_digest(found) == config_digest(settings(URL.replace("s3cr%3At", "other")))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("oracle://ada:s3cret@db/records", "it does not begin with a supported kind of server"),
        ("postgresql://ada:s3cret@/records", "it has no host"),
        ("postgresql://db/records", "it has no user"),
        ("postgresql://ada:s3cret@db", "it has no database"),
        ("postgresql://ada:s3cret@db/one/two", "it has no database"),
        ("postgresql://ada:s3cret@db:port/records", "it cannot be parsed"),
        ("postgresql://ada:s3/cret@db/records", "it"),
        ("postgresql://ada:s3cret@db/records?password=s3cret", "the option password is not one of sslmode"),
        ("mysql://ada:s3cret@db/records?sslmode=require", "the option sslmode is not one of ssl_cert"),
    ],
)
def test_an_invalid_url_is_rejected_without_repeating_it(url, problem):
    with pytest.raises(ConfigError) as caught:
        settings(url)
    assert problem in caught.value.cause and "state.metadata" in caught.value.cause
    assert "postgresql://user@host:5432/database" in caught.value.cause
    assert "s3" not in str(caught.value)


# --- a file that is damaged


def recorded(path: Path) -> bytes:
    """Write a database with a run, and return its content."""
    recorder = Recorder(path, "birds")
    recorder.run("1")
    for number in range(40):
        recorder.node(f"Node{number}", outputs={"out": ("Model", "/out", {"text": "x" * 1000})})
    return path.read_bytes()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[: len(content) // 2], "are damaged \\("),
        (lambda content: b"nothing of SQLite's" * 100, "file is not a database"),
        (lambda content: content[:8192] + bytes(16384) + content[24576:], "are damaged \\("),
    ],
)
def test_a_damaged_file_is_refused_before_a_run_and_left_as_it_is(tmp_path, damage, said):
    path = tmp_path / "records of birds" / "metadata.db"
    path.parent.mkdir()
    damaged = damage(recorded(path))
    path.write_bytes(damaged)
    with pytest.raises(DatabaseError, match=said) as caught:
        check(connection(None, path))
    assert str(path) in caught.value.cause and "move the file away" in caught.value.remedy
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere")])
@pytest.mark.parametrize("opened", [check, open_store])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, make, opened):
    path = tmp_path / "metadata.db"
    make(path)
    with pytest.raises(DatabaseError, match="the records of the runs should be here") as caught:
        opened(connection(None, path))
    assert str(path) in caught.value.cause and "move the file away" in caught.value.remedy


def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "metadata.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE songs (title)")
        database.commit()
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="a database of another program"):
        check(connection(None, path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("checked", [True, False], ids=["by a run", "by a command that only reads"])
def test_what_a_killed_process_was_writing_is_rolled_back(tmp_path, checked):
    path = tmp_path / "metadata.db"
    recorded(path)
    program = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1])\n"
        "database.execute('PRAGMA cache_size = 1')\n"
        "database.execute('UPDATE ArtifactProperty SET string_value = hex(zeroblob(2000))')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert path.with_name("metadata.db-journal").stat().st_size > 0
    if checked:
        check(connection(None, path))
    assert len(read_outcome(path, "birds").nodes) == 40


def test_a_write_that_cannot_be_rolled_back_does_not_condemn_the_records(tmp_path, monkeypatch):
    path = tmp_path / "metadata.db"
    recorded(path)
    error = RuntimeError("attempt to write a readonly database")
    monkeypatch.setattr("ml_metadata.metadata_store.MetadataStore", Mock(side_effect=error))
    with pytest.raises(AccessError, match="may not roll it back"):
        open_store(connection(None, path))


def test_an_empty_file_is_what_a_killed_first_run_may_leave(tmp_path):
    path = tmp_path / "metadata.db"
    path.touch()
    check(connection(None, path))
    with pytest.raises(ConfigError, match="no run is recorded here"):
        open_store(connection(None, path))


# --- numbers of executions


def first_number(path: Path) -> int:
    recorder = Recorder(path, "birds")
    recorder.run(str(uuid.uuid4()))
    return recorder.node("Transform")


def test_numbers_of_a_new_file_begin_above_the_folders_that_there_are(tmp_path):
    root, path = tmp_path / "birds", tmp_path / "metadata.db"
    for name in ("Trainer/model/7", "Transform/.system/executor_execution/12", "Trainer/model/notes"):
        (root / name).mkdir(parents=True)
    number_after(connection(None, path), str(root))
    check(connection(None, path))
    assert first_number(path) == 13


def test_numbers_go_on_where_the_folders_are_those_of_the_file(tmp_path):
    path = tmp_path / "metadata.db"
    assert first_number(path) == 1
    (tmp_path / "birds/Transform/graph/1").mkdir(parents=True)
    number_after(connection(None, path), str(tmp_path / "birds"))
    assert first_number(path) == 2


def test_numbers_of_an_older_copy_skip_what_was_made_since(tmp_path):
    path = tmp_path / "metadata.db"
    first_number(path)
    (tmp_path / "birds/Transform/graph/30").mkdir(parents=True)
    number_after(connection(None, path), str(tmp_path / "birds"))
    assert first_number(path) == 31


# --- servers that do not answer


def test_if_no_server_answers_the_error_names_host_and_port_with_a_remedy(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but not listening
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            check(connection(f"postgresql://ada:s3cret@127.0.0.1:{port}/records", tmp_path))
    assert f"no server answers at host 127.0.0.1, port {port}: Connection refused" in caught.value.cause
    assert "state.metadata" in caught.value.remedy
    assert "s3cret" not in str(caught.value)


# --- a real server


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres.running(programs) as server:
        yield server


def test_a_password_or_user_rejected_by_the_server_is_an_error_before_a_run(server, tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORD, server.password)
    check(connection(server.url(), tmp_path))
    for url in (server.url(password="wr0ng"), server.url().replace(postgres.USER, "nobody")):
        with pytest.raises(ConfigError, match="the server rejects the connection") as caught:
            check(connection(url, tmp_path))
        assert PASSWORD in caught.value.remedy
        assert "wr0ng" not in str(caught.value) and server.password not in str(caught.value)


def test_a_second_run_is_cached_from_the_server_and_no_log_line_has_the_password(server, tmp_path, root, monkeypatch):
    monkeypatch.setenv(PASSWORD, server.password)
    config = connection(server.url(), tmp_path / "metadata.db")
    written, seen = io.StringIO(), Seen()
    handler = logging.StreamHandler(written)
    logging.getLogger().addHandler(handler)
    before = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.INFO)
    try:
        for _ in range(2):
            pipeline = Pipeline(
                pipeline_name="birds",
                pipeline_root=str(tmp_path / "root"),
                components=[CuratedSchema(root / "schemas" / "examples.pbtxt")],
                enable_cache=True,
                metadata_connection_config=config,
                beam_pipeline_args=["--runner=FnApiRunner"],
            )
            with without_password(config):
                run_observed(pipeline, seen)
    finally:
        absl.logging.set_verbosity(before)
        logging.getLogger().removeHandler(handler)
    assert seen.states == [("CuratedSchema", "done"), ("CuratedSchema", "cached")]
    node = read_outcome(config, "birds").node("CuratedSchema")
    assert node.state == CACHED
    assert Path(node.artifact("schema").uri, "schema.pbtxt").is_file()
    assert not (tmp_path / "metadata.db").exists()
    with pytest.raises(ConfigError, match=r"postgresql://edgetune@127.0.0.1:\d+/records holds no run of pipeline owls"):
        read_outcome(config, "owls")
    assert '"***"' in written.getvalue() and server.password not in written.getvalue()


def test_a_text_that_postgresql_would_reject_is_an_error_before_a_run(tmp_path, root):
    file = tmp_path / "back\\slash.pbtxt"
    file.write_bytes((root / "schemas" / "examples.pbtxt").read_bytes())
    pipeline = Pipeline("birds", str(tmp_path / "root"), components=[CuratedSchema(file)])
    with pytest.raises(ConfigError, match="CuratedSchema: schema_file holds a backslash"):
        check_texts(connection(URL, tmp_path), pipeline)
    check_texts(connection(None, tmp_path / "metadata.db"), pipeline)
    check_texts(connection("mysql://ada@db/records", tmp_path), pipeline)
    pipeline = Pipeline("birds", f"{tmp_path}/back\\slash", components=[])
    with pytest.raises(ConfigError, match="the folder of artifacts holds a backslash"):
        check_texts(connection(URL, tmp_path), pipeline)


def test_ml_metadata_still_fails_on_backslashes(server, tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORD, server.password)
    store = MetadataStore(connection(server.url(), tmp_path))
    kind = store.put_execution_type(pb.ExecutionType(name="Any", properties={"text": pb.STRING}))
    execution = pb.Execution(type_id=kind, properties={"text": pb.Value(string_value="a quote ' and an Ä")})
    [number] = store.put_executions([execution])
    [kept] = store.get_executions_by_id([number])
    assert kept.properties["text"] == execution.properties["text"]
    execution.properties["text"].string_value = "back\\slash"
    # Once this is fixed, `check_texts` can be removed.
    with pytest.raises(InternalError, match="syntax error"):
        store.put_executions([execution])
