"""The command line: it parses arguments and hands them to one function each.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from edgetune.modules.core.errors import ConfigError, EdgetuneError
from edgetune.pipeline.commands import bundle, compile, demo, submit

if TYPE_CHECKING:
    from edgetune.modules.settings.run import RunSettings

DEFECT = EdgetuneError.exit_code
INTERRUPTED = 130
READER_GONE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: What follows `edgetune`; None for those of this process.

    Returns:
        The exit code, as the epilog of `--help` lists them.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        sys.stdout.flush()
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


def _run(options: argparse.Namespace) -> None:
    if options.allow:
        options.set = [*options.set, f"data.allow={json.dumps(options.allow)}"]
    settings = _load(options)
    if options.workdir.exists() and not options.workdir.is_dir():
        raise ConfigError(f"--workdir {options.workdir}: is a file", "name a folder; it is made where it is missing")
    from edgetune.pipeline.local import runner

    runner.run(settings, workdir=options.workdir, verbose=options.verbose, cache=options.cache)


def _config(options: argparse.Namespace) -> None:
    if options.schema or options.reference:
        from edgetune.pipeline.config import reference

        print(reference.json_schema_text() if options.schema else reference.reference(), end="")
    else:
        from edgetune.pipeline.config.load import to_yaml

        print(to_yaml(_load(options)), end="")


def _load(options: argparse.Namespace) -> RunSettings:
    from edgetune.pipeline.config.load import load

    return load(options.config, options.set, options.data)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgetune",
        description="From a folder of images to a blessed SavedModel and phone-ready LiteRT models.",
        epilog=_exit_codes(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument("--config", type=Path, metavar="FILE", help="configuration in YAML; default: the digits demo")
    settings.add_argument("--data", metavar="DIR", help="images as DIR/<class>/*; stands for data.path")
    settings.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as model.alpha=0.35; repeatable"
    )

    run = commands.add_parser("run", parents=[settings], help="run the whole pipeline on this machine")
    run.add_argument("--workdir", type=Path, default=Path("workdir"), metavar="DIR", help="default: ./%(default)s")
    run.add_argument("--verbose", action="store_true", help="show the log of TFX and TensorFlow too")
    run.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="FINDING",
        help="let a finding in the data pass, as two_labels:cats/1.jpg; stands for data.allow; repeatable",
    )
    run.add_argument("--no-cache", dest="cache", action="store_false", help="run every component again")
    run.set_defaults(command=_run)

    config = commands.add_parser("config", parents=[settings], help="print the configuration that a run would have")
    what = config.add_mutually_exclusive_group()
    what.add_argument("--schema", action="store_true", help="print the JSON schema of configuration files instead")
    what.add_argument("--reference", action="store_true", help="print the table of all keys instead")
    config.set_defaults(command=_config)

    bundle.add_to(commands)
    demo.add_to(commands)
    compile.add_to(commands, settings)
    submit.add_to(commands)
    return parser


def _exit_codes() -> str:
    codes = [(0, "Done: everything that was asked for is blessed and pushed."), (DEFECT, "A defect of edgetune.")]
    for kind in EdgetuneError.__subclasses__():
        codes.append((kind.exit_code, (kind.__doc__ or "").splitlines()[0]))
    codes.append((INTERRUPTED, "Interrupted."))
    return "exit codes:\n" + "\n".join(f"  {code:<5}{meaning}" for code, meaning in codes)


def _reader_is_gone(stream: TextIO) -> bool:
    """Whether nobody reads `stream` any more, as in `edgetune config | head -1`."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


if __name__ == "__main__":
    sys.exit(main())
