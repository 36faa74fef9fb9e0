"""The command line: what reaches the runner, what a user reads when something is wrong, and the exit code."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest

from edgetune.modules.core import errors
from edgetune.modules.core.replaced import replaced
from edgetune.modules.settings.run import EvaluationSettings
from edgetune.pipeline import cli
from edgetune.pipeline.commands.settings_options import complete_setting
from edgetune.pipeline.config.yaml_file import parse
from edgetune.pipeline.terminal.output import Output
from tests.helpers import crafted_parquet


@pytest.fixture
def runner(monkeypatch):
    """Stands in for the local runner: keeps what it is called with, and raises `runner.error` where that is set."""
    stand_in = types.ModuleType("edgetune.pipeline.local.runner")
    stand_in.calls = []
    stand_in.error = None
    stand_in.pushed, stand_in.logs = (), None

    def run(settings, *, workdir, verbose, cache):
        stand_in.calls.append((settings, workdir, verbose, cache))
        if stand_in.error:
            raise stand_in.error
        return types.SimpleNamespace(require_blessed=lambda: None, pushed=stand_in.pushed, tensorboard=stand_in.logs)

    stand_in.run = run
    monkeypatch.setitem(sys.modules, "edgetune.pipeline.local.runner", stand_in)
    monkeypatch.setattr("edgetune.pipeline.local.runner", stand_in, raising=False)
    return stand_in


def test_run_without_options_is_the_demo_in_workdir(runner):
    assert cli.main(["run"]) == 0
    [(settings, workdir, verbose, cache)] = runner.calls
    assert (settings.name, workdir, verbose, cache) == ("demo", Path("workdir"), False, True)


def test_every_option_of_run_reaches_the_runner(runner, tmp_path):
    config = tmp_path / "birds.yaml"
    config.write_text("name: birds\ndata: {path: there}\n", encoding="utf-8")
    arguments = ["run", "--config", str(config), "--data", str(tmp_path / "here"), "--workdir", str(tmp_path / "w")]
    arguments += ["--set", "model.alpha=0.35", "--set", "training.seed=7", "--verbose", "--no-cache"]
    assert cli.main(arguments) == 0
    [(settings, workdir, verbose, cache)] = runner.calls
    assert (settings.name, settings.data.path) == ("birds", str(tmp_path / "here"))
    assert (settings.model.alpha, settings.training.seed) == (0.35, 7)
    assert (workdir, verbose, cache) == (tmp_path / "w", True, False)


def test_a_run_begins_with_a_line_and_ends_with_the_next_commands_quoted(runner, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["edgetune", "run"])
    bundle = "/models of birds/edge/7"
    runner.pushed, runner.logs = ("/models of birds/saved_model/7", bundle), "/my logs"
    data = tmp_path / "my birds"
    places = ["--data", str(data), "--set", "push.edge=/my models", "--workdir", "w 1"]
    assert cli.main(["run", *places, "--set", "training.seed=7", "--no-cache", "--allow", "drift"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "edgetune: starting" and lines[0] == "next"
    commands = [shlex.split(line) for line in lines[1:]]
    assert commands[:3] == [["edgetune", name, bundle] for name in ("verify", "demo", "bench")]
    assert commands[3] == ["edgetune", "runs", *places]
    assert Path(commands[4][0]).name == "tensorboard" and commands[4][1:] == ["--logdir", "/my logs"]


@pytest.mark.parametrize(
    ("called", "expected"), [("/venv/bin/edgetune", "/venv/bin/edgetune"), ("/a/__main__.py", "-m edgetune"),
    ("/usr/bin/jupyter", "edgetune")],
)  # fmt: skip
def test_the_next_commands_call_edgetune_as_the_user_did(runner, capsys, monkeypatch, called, expected):
    monkeypatch.setattr(sys, "argv", [called, "run"])
    assert cli.main(["run"]) == 0
    assert f"{expected} runs" in capsys.readouterr().out


def test_findings_that_may_pass_stand_for_data_allow(runner):
    assert (
        cli.main(["run", "--allow", "two_labels:cats/a, b: 1.jpg", "--allow", "drift", "--set", "data.allow=[leakage]"])
        == 0
    )
    [(settings, *_)] = runner.calls
    assert settings.data.allow == ("two_labels:cats/a, b: 1.jpg", "drift")


def test_a_finding_that_does_not_exist_is_no_permission(runner, capsys):
    assert cli.main(["run", "--allow", "two_lables"]) == 2
    assert runner.calls == [] and "data.allow" in capsys.readouterr().err


@pytest.mark.parametrize("kind", errors.EdgetuneError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_an_error_of_the_user_is_cause_and_remedy_and_its_own_exit_code(runner, capsys, kind):
    runner.error = kind("the cause", "the remedy")
    assert cli.main(["run"]) == kind.exit_code
    assert capsys.readouterr().err == "edgetune: the cause\n  remedy: the remedy\n"


def test_a_defect_is_called_one_and_shows_where_it_is(runner, capsys):
    runner.error = ZeroDivisionError("oh")
    assert cli.main(["run"]) == 1
    written = capsys.readouterr().err
    assert written.startswith("Traceback")
    assert written.endswith("edgetune: a defect, please report it: ZeroDivisionError: oh\n")


def test_a_broken_pipe_that_is_not_our_output_is_a_defect(runner, capfd):
    runner.error = BrokenPipeError("a server went away")
    assert cli.main(["run"]) == 1
    assert capfd.readouterr().err.endswith("BrokenPipeError: a server went away\n")


def test_an_interrupt_ends_quietly(runner, capsys):
    runner.error = KeyboardInterrupt()
    assert cli.main(["run"]) == 130
    assert capsys.readouterr().err == "edgetune: interrupted\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 11, "no temporary files can be written: No space left on"),
    ],
)
def test_what_ends_a_run_before_it_has_a_process_is_a_sentence(monkeypatch, capsys, error, code, said):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("edgetune.pipeline.local.supervisor.temporary_folder", fail)
    assert cli._supervised(["run"]) == code
    assert capsys.readouterr().err.startswith(f"edgetune: {said}")


def test_a_configuration_that_cannot_be_used_stops_before_the_runner(runner, capsys):
    assert cli.main(["run", "--set", "training.batch_size=0"]) == 2
    assert runner.calls == []
    written = capsys.readouterr().err
    assert written.startswith(
        "edgetune: training.batch_size: 0 (--set) must be a whole number of at least 1\n  remedy: "
    )
    assert "Traceback" not in written


def test_a_workdir_that_is_a_file_is_refused(runner, capsys, tmp_path):
    (tmp_path / "w").touch()
    assert cli.main(["run", "--workdir", str(tmp_path / "w")]) == 2
    assert runner.calls == []
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--nope"], ["config", "--schema", "--reference"]])
def test_arguments_that_do_not_exist_exit_as_configuration_errors_do(arguments, capsys):
    assert cli.main(arguments) == errors.ConfigError.exit_code
    assert "Usage: edgetune" in capsys.readouterr().err


def test_a_command_that_does_not_exist_leads_to_the_one_that_is_meant(capsys):
    assert cli.main(["inspekt", "photos"]) == errors.ConfigError.exit_code
    assert "No such command 'inspekt'" in (said := capsys.readouterr().err) and said.count("Did you mean") == 1
    assert "'inspect'" in said


def test_a_list_that_the_shell_has_split_is_told_how_to_be_quoted(capsys):
    assert cli.main(["run", "--set", "edge.variants=[float32,", "int8]"]) == errors.ConfigError.exit_code
    assert "remedy: quote a list for the shell, as in --set 'edge.variants=[float32, int8]'" in capsys.readouterr().err
    assert cli.main(["run", "--nope"]) == errors.ConfigError.exit_code
    assert "quote a list" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("edgetune insp", {"inspect"}),
        ("edgetune evaluate BUNDLE DIR --spl", {"--split"}),
        ("edgetune run --set training.head.ep", {"training.head.epochs"}),
        ("edgetune run --set edge.variants", {"edge.variants"}),
    ],
)
def test_shells_complete_commands_options_and_settings(root, words, expected):
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), cli.COMPLETE: "bash_complete"}
    environment = {**os.environ, **variables, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-m", "edgetune"], capture_output=True, text=True, check=False, env=environment
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == expected, done.stderr


def test_values_of_settings_are_completed():
    def completed(word: str) -> list[str]:
        return complete_setting(None, None, word)

    assert completed("model.backbone=mobilenet_v3_s") == ["model.backbone=mobilenet_v3_small"]
    assert completed("training.augmentation.flip_vertical=") == [
        f"training.augmentation.flip_vertical={value}" for value in ("true", "false")
    ]
    assert completed("no.key=") == [] and "model.head" not in completed("model.") and "name" in completed("")


def test_help_lists_every_exit_code(capsys):
    assert cli.main(["--help"]) == 0
    _, _, listed = capsys.readouterr().out.partition("Exit codes:\n")
    codes = [int(line.split()[0]) for line in listed.splitlines() if line[2] != " "]
    assert codes == [0, 1, *(kind.exit_code for kind in errors.EdgetuneError.__subclasses__()), 129, 130, 141, 143]
    assert len(set(codes)) == len(codes)


def test_config_prints_what_a_run_would_have(capsys):
    assert cli.main(["config", "--set", "evaluation.min_accuracy=0.5"]) == 0
    printed = parse(capsys.readouterr().out, "printed").value
    assert printed["name"] == "demo"
    assert printed["evaluation"] == {**EvaluationSettings().model_dump(), "min_accuracy": 0.5}


def test_temporary_files_without_locks_are_the_machines_fault(monkeypatch, capsys):
    def without_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("edgetune.modules.storage.leftovers.fcntl.flock", without_locks)
    assert cli._supervised(["run"]) == errors.MachineError.exit_code
    said = capsys.readouterr().err
    assert "files there cannot be locked: No locks available\n  remedy: name a folder on a local disk" in said


def test_a_full_disk_is_the_machines_fault(runner, capsys):
    runner.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/model.pb")
    assert cli.main(["run"]) == errors.MachineError.exit_code
    assert capsys.readouterr().err == (
        "edgetune: /data/model.pb: the disk is full\n  remedy: free space there, or name another disk with --workdir "
        "or the environment variable TMPDIR; then run the same command again: it resumes where this run ended\n"
    )


def bundle(folder: Path) -> None:
    (folder / "bundle").mkdir()
    for name in ("bundle.json", "SHA256SUMS"):
        (folder / "bundle" / name).write_text("{}")


PRINTING = {
    "help": ["--help"],
    "version": ["--version"],
    "help of a command": ["run", "--help"],
    "config": ["config"],
    "schema": ["config", "--schema"],
    "run": ["run", "--set", "training.head.epochs=1"],
    "verify": ["verify", "bundle"],
}
"""Commands that print before anything else of them can be wrong."""


def ended(root: Path, folder: Path, arguments: list[str], **standard: object) -> tuple[int, str]:
    """Run a command in a process of its own, and return exit code and standard error."""
    bundle(folder)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    given = {"stderr": subprocess.PIPE, **standard}
    done = subprocess.run(
        [sys.executable, "-m", "edgetune", *arguments], cwd=folder, env=environment, text=True, check=False, **given
    )
    return done.returncode, done.stderr or ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", PRINTING.values(), ids=PRINTING)
def test_a_full_standard_output_is_the_machines_fault_for_every_command(root, tmp_path, arguments):
    with open("/dev/full", "w") as full:
        code, error = ended(root, tmp_path, arguments, stdout=full)
    assert error == (
        "edgetune: standard output cannot be written: No space left on device\n"
        "  remedy: free space where it is written to, or redirect it elsewhere\n"
    )
    assert code == errors.MachineError.exit_code


@pytest.mark.parametrize("arguments", PRINTING.values(), ids=PRINTING)
def test_a_reader_that_goes_away_ends_every_command_quietly(root, tmp_path, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ended(root, tmp_path, arguments, stdout=writer) == (141, "")
    finally:
        os.close(writer)


def test_names_do_not_reach_the_terminal_as_control_characters(tmp_path, capsys):
    """An error has the name of a file, the first line of `config` that of a setting."""
    assert cli.main(["config", "--config", f"{tmp_path}/a\x1b[2J.yaml"]) == errors.ConfigError.exit_code
    assert "/a\\x1b[2J.yaml: the configuration file does not exist" in capsys.readouterr().err
    with replaced(sys, "stdout", Output(sys.stdout, plain=True)):
        print("class \x1b[31m\u202e, and Größe")
        sys.stdout.writelines(["a\x07", "\n"])
    assert capsys.readouterr().out == "class \\x1b[31m\\u202e, and Größe\na\\x07\n"


@pytest.mark.parametrize("arguments", [["config"], ["run"]], ids=" ".join)
def test_a_closed_standard_output_is_told_before_anything_is_done(root, tmp_path, arguments):
    code, error = ended(root, tmp_path, arguments, preexec_fn=lambda: os.close(1))
    assert error == "edgetune: standard output is closed\n  remedy: redirect it to a file, or to /dev/null\n"
    assert code == errors.MachineError.exit_code
    assert not (tmp_path / "workdir").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", [["config", "--set", "x=1"], ["config", "--nope"]], ids=" ".join)
def test_an_error_that_cannot_be_printed_keeps_its_exit_code(root, tmp_path, arguments):
    with open("/dev/full", "w") as full:
        for stderr in ({"stderr": full}, {"stderr": None, "preexec_fn": lambda: os.close(2)}):
            folder = tmp_path / str(len(stderr))
            folder.mkdir()
            done = ended(root, folder, arguments, stdout=subprocess.DEVNULL, **stderr)
            assert done == (errors.ConfigError.exit_code, "")


def test_a_list_that_brings_code_ends_a_run_before_the_code_does_anything(root, tmp_path):
    columns = {"path": ["a.jpg", "b.jpg"], "label": ["oak", "elm"]}
    path = crafted_parquet.write(tmp_path / "images.parquet", columns, "path", f"touch {tmp_path}/ran")
    command = [
        sys.executable,
        "-m",
        "edgetune.pipeline.cli",
        "run",
        "--data",
        str(path),
        "--workdir",
        str(tmp_path / "w"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == errors.DataError.exit_code, done.stderr
    assert f"edgetune: {path}" in done.stderr and "remedy: write" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ran").exists()


def test_help_imports_nothing_heavy(root):
    program = (
        "import sys\nfrom edgetune.pipeline.cli import main\n"
        "main(['run', '--help'])\n"
        "print('imported', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "edgetune" in imported
    heavy = {"tensorflow", "tfx", "keras", "apache_beam", "numpy", "pydantic", "yaml", "rich", "PIL"}
    assert imported & heavy == set()
