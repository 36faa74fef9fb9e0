"""Which backbones can be tried: those whose pretrained weights are on this machine, or may be downloaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgetune.modules.core.errors import ConfigError, WeightsError
from edgetune.modules.models.imagenet_files import file_name, imagenet_models, keras_folder
from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.run import ModelSettings, RunSettings

_ENDINGS = (".h5", ".hdf5", ".safetensors")
_Key = tuple[str, float, bool, int]


@dataclass(frozen=True)
class Wanted:
    """What the user asked for."""

    weights: tuple[Path, ...] = ()
    """Files of weights, and folders with such files."""
    backbones: tuple[str, ...] = ()
    """Names of the architectures to try; empty for all."""
    image_sizes: tuple[int, ...] = ()
    """In pixels; empty for the size that each was pretrained with."""
    download: bool = False
    """Whether Keras may download the weights that are not here."""


@dataclass(frozen=True)
class Missing:
    """A backbone that is not measured."""

    name: str
    reason: str


def name_of(model: ModelSettings) -> str:
    """Return a name such as `mobilenet_v2 0.35 at 128`."""
    alpha = f" {model.alpha:g}" if ARCHITECTURES[model.backbone].imagenet_alphas else ""
    return f"{model.backbone}{alpha}{' minimalistic' if model.minimalistic else ''} at {model.image_size}"


def find(settings: RunSettings, wanted: Wanted) -> tuple[list[ModelSettings], list[Missing]]:
    """Find the backbones to try, without Keras unless a file has a name that Keras does not give.

    The configured weights come first, then the named files, then what Keras has downloaded before: each network is
    tried once at each image size.

    Args:
        settings: `model`, if its weights are a file, a folder or a handle, and `data.max_side` are used.
        wanted: What the user asked for.

    Returns:
        The networks, each with its weights and the configured head, and what is left out, with the reason.

    Raises:
        ConfigError: A named file or folder does not exist, or is not one of weights.
    """
    found: dict[_Key, ModelSettings] = {}
    missing: list[Missing] = []
    most = settings.data.max_side
    for model in _sources(settings, wanted, missing):
        if wanted.backbones and model.backbone not in wanted.backbones:
            continue
        for sized in _at_sizes(model, wanted.image_sizes, missing):
            if most is not None and sized.image_size > most:
                missing.append(Missing(name_of(sized), f"its images are larger than data.max_side, {most}"))
            else:
                found.setdefault((sized.backbone, sized.alpha, sized.minimalistic, sized.image_size), sized)
    names = [name for name in ARCHITECTURES if not wanted.backbones or name in wanted.backbones]
    missing += _without_weights(names, list(found.values()))
    return [model.model_copy(update={"head": settings.model.head}) for model in found.values()], missing


def _sources(settings: RunSettings, wanted: Wanted, missing: list[Missing]) -> Iterator[ModelSettings]:
    if settings.model.weights not in ("imagenet", "none"):
        yield settings.model
    of_keras: dict[str, ModelSettings] = {}
    for model in imagenet_models():
        of_keras.setdefault(file_name(model), model)
    for path in _files(wanted.weights):
        if path.name in of_keras:
            yield of_keras[path.name].model_copy(update={"weights": str(path)})
            continue
        from edgetune.modules.models.identify import identify

        try:
            yield identify(str(path))
        except WeightsError as error:
            missing.append(Missing(path.name, error.cause))
    for name, model in of_keras.items():
        is_own_size = model.image_size == ARCHITECTURES[model.backbone].image_size
        if (keras_folder() / name).is_file() or (wanted.download and is_own_size):
            yield model


def _files(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        files = [file.absolute() for file in files if file.is_file() and file.name.lower().endswith(_ENDINGS)]
        if not files:
            what = "has no file of weights" if place.is_dir() else "is not a file of weights, nor a folder of such"
            raise ConfigError(f"--weights {place}: {what}", f"name files that end in {', '.join(_ENDINGS)}")
        yield from files


def _at_sizes(model: ModelSettings, sizes: Sequence[int], missing: list[Missing]) -> Iterator[ModelSettings]:
    if not sizes:
        yield model
        return
    smallest = ARCHITECTURES[model.backbone].min_image_size
    for size in sizes:
        sized = model.model_copy(update={"image_size": size})
        if size < smallest:
            missing.append(Missing(name_of(sized), f"it needs images of at least {smallest} pixels"))
            continue
        # For another size, Keras may take another file, which need not be here.
        here = keras_folder() / file_name(model) if model.weights == "imagenet" else None
        if here is not None and here.is_file() and file_name(sized) != here.name:
            sized = sized.model_copy(update={"weights": str(here)})
        yield sized


def _without_weights(names: Sequence[str], found: Sequence[ModelSettings]) -> Iterator[Missing]:
    """Yield each architecture, or some widths of it, whose ImageNet weights are not here."""
    have = {(model.backbone, model.alpha, model.minimalistic) for model in found}
    lacking: dict[str, dict[str, str]] = defaultdict(dict)
    for model in imagenet_models():
        if model.backbone in names and (model.backbone, model.alpha, model.minimalistic) not in have:
            width = f"{model.alpha:g}{' minimalistic' if model.minimalistic else ''}"
            lacking[model.backbone].setdefault(width, file_name(model))
    for name, files in lacking.items():
        widths = f" {', '.join(files)}" if ARCHITECTURES[name].imagenet_alphas else ""
        several = f" and {len(files) - 1} more" if len(files) > 1 else ""
        yield Missing(f"{name}{widths}", f"no {next(iter(files.values()))}{several} in {keras_folder()}")
