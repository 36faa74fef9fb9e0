"""The command line: its commands, and the exit code of each error.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import click

from edgetune.modules.core.errors import EdgetuneError, MachineError
from edgetune.modules.core.faults import fault
from edgetune.modules.core.replaced import replaced
from edgetune.modules.core.untrusted_text import for_terminal
from edgetune.pipeline.commands.bench import bench
from edgetune.pipeline.commands.client import client
from edgetune.pipeline.commands.compile import compile_command
from edgetune.pipeline.commands.config import config
from edgetune.pipeline.commands.demo import demo
from edgetune.pipeline.commands.doctor import doctor
from edgetune.pipeline.commands.evaluate import evaluate
from edgetune.pipeline.commands.gc import gc
from edgetune.pipeline.commands.history import compare, lineage, rollback, runs
from edgetune.pipeline.commands.inspect import inspect
from edgetune.pipeline.commands.predict import predict
from edgetune.pipeline.commands.run import run
from edgetune.pipeline.commands.submit import submit
from edgetune.pipeline.commands.suggest import suggest
from edgetune.pipeline.commands.verify import verify
from edgetune.pipeline.terminal.output import Output, OutputError, ReaderGone, discard, open_closed_descriptors

DEFECT = EdgetuneError.exit_code
COMPLETE = "_EDGETUNE_COMPLETE"
"""Variable by which a shell asks for completions, as of every program of click (docs/commands.md)."""
_OPEN_LIST = re.compile(r"=\s*\[[^\]]*$")
HUNG_UP, INTERRUPTED, READER_GONE, TERMINATED = 129, 130, 141, 143


class _Commands(click.Group):
    """The commands in the order of use, and a table of the exit codes below them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl(_exit_codes())


@click.group(
    cls=_Commands,
    commands=[
        run,
        inspect,
        suggest,
        doctor,
        runs,
        compare,
        rollback,
        lineage,
        gc,
        config,
        verify,
        predict,
        evaluate,
        bench,
        demo,
        client,
        compile_command,
        submit,
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="edgetune", message="edgetune %(version)s")
def edgetune() -> None:
    """From a folder of images to a blessed SavedModel and phone-ready LiteRT models."""


def program() -> NoReturn:
    """Be the program `edgetune`: run one command, a run in a child process, and exit."""
    arguments = sys.argv[1:]
    if (instruction := os.environ.get(COMPLETE)) is not None:
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(edgetune, {}, "edgetune", COMPLETE, instruction))
    # `--help` of a run, and what it cannot use, are the same in a child.
    sys.exit(_supervised(arguments) if arguments[:1] == ["run"] else main(arguments))


def _supervised(arguments: Sequence[str]) -> int:
    from edgetune.pipeline.local.supervisor import supervise

    open_closed_descriptors()
    try:
        end = supervise(lambda: main(arguments))
    except KeyboardInterrupt:  # before there is a run
        _say("edgetune: interrupted")
        return INTERRUPTED
    except EdgetuneError as error:
        return _failed(error)
    except OSError as error:
        remedy = "free space there, or name another folder in the environment variable TMPDIR"
        return _failed(MachineError(f"no temporary files can be written: {error.strerror or error}", remedy))
    if isinstance(end, int):
        return end
    _say(f"edgetune: {end}")
    return end.exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows `edgetune`; None for those of this process.

    Returns:
        The exit code, as `--help` lists them.
    """
    open_closed_descriptors()
    if sys.stderr is None:  # Python's for a closed descriptor; `print` would take it for standard output
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    if sys.stdout is None:
        return _failed(MachineError("standard output is closed", "redirect it to a file, or to /dev/null"))
    with replaced(sys, "stdout", Output(sys.stdout, plain=True)):
        return _run(sys.argv[1:] if arguments is None else arguments)


def _run(arguments: Sequence[str]) -> int:
    try:
        # Not `edgetune.main`, which handles interrupts and closed pipes in ways of its own.
        with edgetune.make_context("edgetune", list(arguments)) as context:
            edgetune.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:  # of --help and --version
        return end.exit_code
    except click.ClickException as error:
        with _standard_error():
            error.show()
            if any(map(_OPEN_LIST.search, arguments)):  # the shell has split it at its blanks
                from edgetune.pipeline.config.load import LIST_SYNTAX

                print(f"  remedy: {LIST_SYNTAX}", file=sys.stderr)
        return error.exit_code
    except OutputError as error:
        discard(sys.stdout)
        # A program that writes to a closed pipe ends without a word, as by the signal SIGPIPE.
        return READER_GONE if isinstance(error, ReaderGone) else _failed(error)
    except EdgetuneError as error:
        return _failed(error)
    except KeyboardInterrupt:
        _say("edgetune: interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort of a command line
        if found := fault(error):
            return _failed(found)
        with _standard_error():
            traceback.print_exc()
        _say(f"edgetune: a defect, please report it: {type(error).__name__}: {error}")
        return DEFECT
    return 0


def _failed(error: EdgetuneError) -> int:
    _say(f"edgetune: {error}")
    return error.exit_code


def _say(text: str) -> None:
    with _standard_error():
        print(for_terminal(text), file=sys.stderr)


@contextmanager
def _standard_error() -> Iterator[None]:
    """Write to standard error, if that can be written: nobody could be told otherwise."""
    try:
        yield
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def _exit_codes() -> list[tuple[str, str]]:
    codes = [(0, "Everything that was asked for is blessed and pushed."), (DEFECT, "A defect of edgetune.")]
    for kind in EdgetuneError.__subclasses__():
        codes.append((kind.exit_code, (kind.__doc__ or "").splitlines()[0]))
    codes += [
        (HUNG_UP, "Ended by SIGHUP, as when the terminal closes; a run resumes when it is started again."),
        (INTERRUPTED, "Interrupted by Ctrl-C; a run resumes when it is started again."),
        (READER_GONE, "Nobody reads the output any more, as after `| head -1`."),
        (TERMINATED, "Ended by SIGTERM; a run resumes when it is started again."),
    ]
    return [(str(code), meaning) for code, meaning in codes]


if __name__ == "__main__":
    program()
