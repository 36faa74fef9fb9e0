"""The model card of an edge bundle, from what stands in its `bundle.json` and nothing else.

Its parts are those of Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019), as far as they can be known. What
only people know comes from the configuration (`card`, and the texts of `edge`); where that is silent, the card says so
and guesses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_UNKNOWN = "Not stated."


def model_card(bundle: dict[str, Any]) -> str:
    """The card as Markdown.

    Args:
        bundle: What stands in `bundle.json`.
    """
    about = bundle.get("about", {})
    parts: dict[str, Iterator[str]] = {
        "Intended use": _intended_use(about),
        "Input and output": _contract(bundle),
        "Data": _data(bundle, about),
        "Variants": _variants(bundle),
        "Accuracy by class": _by_class(bundle),
        "Limits": _limits(bundle, about),
        "Lineage": _lineage(bundle["lineage"]),
    }
    lines = [f"# {bundle['lineage']['pipeline']}: image classifier for phones", ""]
    if about.get("description"):
        lines += [about["description"], ""]
    lines += [f"Tells {len(bundle['labels'])} classes apart in one image: {', '.join(map(_plain, bundle['labels']))}."]
    lines += ["", f"- author: {about.get('author') or _UNKNOWN}", f"- licence: {about.get('license') or _UNKNOWN}"]
    for title, part in parts.items():
        lines += ["", f"## {title}", "", *part]
    return "\n".join(lines) + "\n"


def _intended_use(about: Mapping[str, str]) -> Iterator[str]:
    yield about.get("intended_use") or (
        f"{_UNKNOWN} It was made to sort single images into the classes above, on a device, and measured for nothing "
        "else. Whoever uses it must judge whether its errors, which are counted below, can be borne."
    )


def _contract(bundle: dict[str, Any]) -> Iterator[str]:
    size = bundle["input"]["shape"][1]
    yield (
        f"Give it {size} x {size} pixels of plain RGB, 0 to 255 a channel, upright, and no more: normalisation "
        "is inside the model. It was trained and measured on images that were stretched to the square. The answer is "
        "one probability for each class, in the order of `labels.txt`. `golden/` holds images and their answers."
    )


def _data(bundle: dict[str, Any], about: Mapping[str, str]) -> Iterator[str]:
    yield about.get("data") or f"{_UNKNOWN} What the images show, and whose they are, only their collector knows."
    splits: Mapping[str, Mapping[str, int]] = bundle.get("images", {})
    if not splits:
        return
    purpose = {"train": "training", "eval": "choosing when to stop", "test": "measuring, below"}
    yield from ("", f"| class | {' | '.join(f'{split}: {purpose.get(split, split)}' for split in splits)} |")
    yield f"|-|{'-:|' * len(splits)}"
    for label in bundle["labels"]:
        yield f"| {_plain(label)} | {' | '.join(str(counts.get(label, 0)) for counts in splits.values())} |"
    yield f"| all | {' | '.join(str(sum(counts.values())) for counts in splits.values())} |"


def _variants(bundle: dict[str, Any]) -> Iterator[str]:
    server, variants = bundle["saved_model"], bundle["variants"]
    yield "| variant | bytes | accuracy | agrees with the server's model | p50, ms | p95, ms |"
    yield "|-|-:|-:|-:|-:|-:|"
    for name, facts in variants.items():
        latency = facts["latency"] or {"p50_ms": "-", "p95_ms": "-"}
        yield (
            f"| {name} | {facts['bytes']} | {facts['accuracy']:.4f} | {facts['agreement']:.4f} "
            f"| {latency['p50_ms']} | {latency['p95_ms']} |"
        )
    images = bundle["test"]["images"]
    yield from ("", f"Measured on {images} test images. The server's model reaches {server['accuracy']:.4f} on them.")
    timed = next((facts["latency"] for facts in variants.values() if facts["latency"]), None)
    if timed:
        yield (
            f"Latency is of {timed['runs']} single images on {timed['threads']} thread(s) of {timed['cpu']} with "
            f"{bundle['runtime']}; a phone differs."
        )


def _by_class(bundle: dict[str, Any]) -> Iterator[str]:
    variants = bundle["variants"]
    yield "The share of a class's test images that are recognised (recall)."
    yield from ("", f"| class | test images | server | {' | '.join(variants)} |", f"|-|-:|-:|{'-:|' * len(variants)}")
    for label, of_server in bundle["saved_model"]["per_class"].items():
        cells = [_share(facts["per_class"][label]["accuracy"]) for facts in variants.values()]
        accuracy = _share(of_server["accuracy"])
        yield f"| {_plain(label)} | {of_server['examples']} | {accuracy} | {' | '.join(cells)} |"


def _limits(bundle: dict[str, Any], about: Mapping[str, str]) -> Iterator[str]:
    images, per_class = bundle["test"]["images"], bundle["saved_model"]["per_class"]
    if about.get("limits"):
        yield from (about["limits"], "")
    # A binomial proportion at one half, its widest: what a test of this size cannot tell apart.
    blur = 1.96 * 0.5 / max(images, 1) ** 0.5
    yield "- It answers with one of its classes whatever it is shown; a low probability is the only sign of doubt."
    yield (
        "- The test images come from the same collection as the training images. On images of another kind, it can be "
        "much worse, and nothing here says how much."
    )
    yield f"- With {images} test images, an accuracy is known to about ± {blur:.3f} at best."
    yield "- The probabilities are not calibrated."
    yield "- Only the classes were measured, not groups of people or places: whether it is fair to them is not known."
    if absent := [_plain(label) for label, facts in per_class.items() if not facts["examples"]]:
        yield f"- Nothing was measured of: {', '.join(absent)}."


def _lineage(lineage: Mapping[str, Any]) -> Iterator[str]:
    yield f"- pipeline: {lineage['pipeline']}"
    yield f"- configuration: `{lineage['config_digest']}`"
    yield f"- SavedModel: `{lineage['saved_model_sha256']}`"
    if lineage.get("data_digest"):
        yield f"- all images: `{lineage['data_digest']}`"
    yield f"- test images: `{lineage['test_data_sha256']}`"
    yield from (f"- code of {name}: `{digest}`" for name, digest in lineage["code"].items())
    for step, versions in lineage["versions"].items():
        yield f"- {step.replace('_', ' ')} made with: {_libraries(versions)}"


def _libraries(versions: Mapping[str, str | None] | None) -> str:
    if versions is None:
        return "not recorded"
    return ", ".join(f"{name} {version}" if version else f"no {name}" for name, version in versions.items())


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _plain(label: str) -> str:
    """A class name that cannot break out of a table's cell."""
    return label.replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`").replace("<", "&lt;")
