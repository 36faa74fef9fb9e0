"""`edgetune demo BUNDLE`: try an edge bundle in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgetune.modules.core.child_process import hide_gpus
from edgetune.modules.core.errors import ConfigError

HOST, PORT = "127.0.0.1", 8765
_MOST = 65535


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of the command line."""
    demo = commands.add_parser(
        "demo",
        help="serve a web page that runs an edge bundle in the browser",
        description="Serves a page on this machine that classifies photographs with each variant of an edge bundle, in "
        "LiteRT.js and in MediaPipe. Nothing leaves the machine. The engines come through npm, once, into the folder "
        "$EDGETUNE_CACHE, by default edgetune in the user's cache folder.",
    )
    demo.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a pushed bundle, with its bundle.json")
    demo.add_argument("--port", type=int, default=PORT, metavar="N", help="default: %(default)s; 0 takes a free one")
    demo.add_argument(
        "--host", default=HOST, metavar="HOST", help="address to listen at, default: %(default)s, this machine only"
    )
    demo.set_defaults(command=_demo)


def _demo(options: argparse.Namespace) -> None:
    if not 0 <= options.port <= _MOST:
        raise ConfigError(f"--port {options.port}: is no port", f"give one of 0 to {_MOST}; 0 takes a free one")
    hide_gpus()
    from edgetune.pipeline.demo import serve

    serve(options.bundle, options.host, options.port)
