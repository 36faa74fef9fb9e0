"""The command line: its commands, and the exit code of each error.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

import click

from edgetune.modules.core.errors import EdgetuneError
from edgetune.pipeline.commands.bundle import predict, verify
from edgetune.pipeline.commands.compile import compile_command
from edgetune.pipeline.commands.config import config
from edgetune.pipeline.commands.demo import demo
from edgetune.pipeline.commands.run import run
from edgetune.pipeline.commands.submit import submit

DEFECT = EdgetuneError.exit_code
INTERRUPTED = 130
READER_GONE = 141


class _Commands(click.Group):
    """The commands in the order of use, and a table of the exit codes below them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl(_exit_codes())


@click.group(
    cls=_Commands,
    commands=[run, config, verify, predict, demo, compile_command, submit],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="edgetune", message="edgetune %(version)s")
def edgetune() -> None:
    """From a folder of images to a blessed SavedModel and phone-ready LiteRT models."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows `edgetune`; None for those of this process.

    Returns:
        The exit code, as `--help` lists them.
    """
    try:
        # Not `edgetune.main`, which handles interrupts and closed pipes in ways of its own.
        with edgetune.make_context("edgetune", list(sys.argv[1:] if arguments is None else arguments)) as context:
            edgetune.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:  # of --help and --version
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except EdgetuneError as error:
        print(f"edgetune: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("edgetune: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort of a command line
        if isinstance(error, BrokenPipeError) and _reader_is_gone(sys.stdout):
            # Python flushes the stream once more when it ends, and would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return READER_GONE
        traceback.print_exc()
        print(f"edgetune: a defect, please report it: {type(error).__name__}: {error}", file=sys.stderr)
        return DEFECT
    return 0


def _exit_codes() -> list[tuple[str, str]]:
    codes = [(0, "Everything that was asked for is blessed and pushed."), (DEFECT, "A defect of edgetune.")]
    for kind in EdgetuneError.__subclasses__():
        codes.append((kind.exit_code, (kind.__doc__ or "").splitlines()[0]))
    codes.append((INTERRUPTED, "Interrupted."))
    return [(str(code), meaning) for code, meaning in codes]


def _reader_is_gone(stream: TextIO) -> bool:
    """Return whether nobody reads `stream` any more, as in `edgetune config | head -1`."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


if __name__ == "__main__":
    sys.exit(main())
