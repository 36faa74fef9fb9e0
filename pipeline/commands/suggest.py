"""`edgetune suggest`: choose a backbone by measurement, before any run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast, get_args

import click

from edgetune.modules.core.child_process import hide_gpus
from edgetune.pipeline import api
from edgetune.pipeline.commands.settings_options import settings_options

if TYPE_CHECKING:
    from edgetune.modules.settings.run import Variant

_VARIANTS = ("float32", "float16", "int8", "dynamic")
_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command(short_help="Choose a backbone: its accuracy on your images, its latency and size here.")
@settings_options
@click.option("--max-ms", type=_POSITIVE, metavar="MS", help="Longest median latency of one image.")
@click.option("--max-mb", type=_POSITIVE, metavar="MB", help="Largest file, in millions of bytes.")
@click.option(
    "--variant", type=click.Choice(_VARIANTS), default="int8", show_default=True, help="What is measured of it."
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PATH",
    help="A file of pretrained weights, or a folder with such files; repeatable.",
)
@click.option("--download", is_flag=True, help="Let Keras download the ImageNet weights that are not here.")
@click.option("--backbone", "backbones", multiple=True, metavar="NAME", help="Try only this one; repeatable.")
@click.option(
    "--image-size",
    "image_sizes",
    type=click.IntRange(32, 1024),
    multiple=True,
    metavar="PIXELS",
    help="Try each backbone at this size; repeatable.  [default: that of its pretraining]",
)
@click.option(
    "--images", type=click.IntRange(min=10), default=1000, show_default=True, metavar="N", help="Images to look at."
)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw it: .svg or .png.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
def suggest(
    config: Path | None,
    data: str | None,
    overrides: tuple[str, ...],
    max_ms: float | None,
    max_mb: float | None,
    variant: str,
    weights: tuple[Path, ...],
    download: bool,
    backbones: tuple[str, ...],
    image_sizes: tuple[int, ...],
    images: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure the backbones whose pretrained weights are here, and pick the best one within the limits.

    Weights are taken from --weights, from what Keras has downloaded before, and from model.weights of the
    configuration. For each, a linear head on the frozen features of some of your images is cross-validated, and the
    network is converted and timed on this machine. Nothing is trained or written.

    The pick is the fastest of those whose accuracy does not differ from the best by more than chance. Exit code 2 if
    none is within the limits, 4 if no weights can be had.
    """
    from edgetune.modules.core.errors import ConfigError
    from edgetune.modules.core.untrusted_text import for_terminal
    from edgetune.modules.settings.training import Backbone
    from edgetune.pipeline.suggest import plot as plots
    from edgetune.pipeline.suggest.backbones import Wanted
    from edgetune.pipeline.suggest.choice import Limits
    from edgetune.pipeline.suggest.suggestion import suggest as measure_all
    from edgetune.pipeline.suggest.text import as_text
    from edgetune.pipeline.terminal.log_capture import capture

    names = get_args(Backbone)
    if unknown := [name for name in backbones if name not in names]:
        raise ConfigError(f"--backbone {unknown[0]}: there is no such backbone", f"name one of {', '.join(names)}")
    if plot is not None:
        plots.check_path(plot)
    settings = api.load_settings(config, data=data, overrides=overrides)
    hide_gpus()  # a phone's processor is what is measured, and its conversion
    with (
        TemporaryDirectory(prefix="edgetune-") as folder,
        open(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace") as errors,
        capture(Path(folder) / "log"),  # what TensorFlow and its decoders print
    ):
        found = measure_all(
            settings,
            Wanted(weights, backbones, image_sizes, download),
            Limits(max_ms, max_mb),
            cast("Variant", variant),
            images,
            lambda line: print(for_terminal(line), file=errors),
        )
    given = None if config is None else str(config)
    click.echo(
        json.dumps(found.as_json(), indent=1) if as_json else "\n".join(as_text(found, settings.data.path, given))
    )
    if plot is not None:
        plots.draw(found, plot)
        click.echo(f"wrote {plot}", err=as_json)
    found.require_pick()
