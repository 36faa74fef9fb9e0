"""`edgetune demo BUNDLE`: try an edge bundle in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetune.modules.core.child_process import hide_gpus
from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline.commands import model_options

if TYPE_CHECKING:
    from edgetune.modules.bundle.signing import Trust

HOST, PORT = "127.0.0.1", 8765
_MOST = 65535


@click.command(short_help="Serve a web page that runs an edge bundle in the browser.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--port", type=int, default=PORT, show_default=True, metavar="N", help="Port; 0 takes a free one.")
@click.option(
    "--host", default=HOST, show_default=True, metavar="HOST", help="Address to listen on; the default is local."
)
@model_options.trust
def demo(bundle: Path, port: int, host: str, trust: Trust) -> None:
    """Serve a page on this machine that classifies photographs with each variant of an edge bundle.

    BUNDLE is the folder of a pushed bundle, with its bundle.json. The models run in LiteRT.js and in MediaPipe, and
    nothing leaves the machine. The engines are fetched once through npm into the folder $EDGETUNE_CACHE, by default
    edgetune in the user's cache folder.
    """
    if not 0 <= port <= _MOST:
        raise ConfigError(f"--port {port}: is not a port", f"give one of 0 to {_MOST}; 0 takes a free one")
    hide_gpus()
    from edgetune.pipeline.demo import serve

    serve(bundle, host, port, trust)
