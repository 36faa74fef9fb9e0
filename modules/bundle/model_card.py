"""Write the model card of an edge bundle from the content of its `bundle.json`.

The sections follow Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019). Facts that only people know come
from the configuration (`card`, and the texts of `edge`); if they are not given, the card says so and does not guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_UNKNOWN = "Not stated."


def model_card(bundle: dict[str, Any]) -> str:
    """Return the card as Markdown.

    Args:
        bundle: Content of `bundle.json`.
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
    labels = ", ".join(map(_plain, bundle["labels"]))
    lines += [f"Assigns an image to one of {len(bundle['labels'])} classes: {labels}."]
    lines += ["", f"- author: {about.get('author') or _UNKNOWN}", f"- licence: {about.get('license') or _UNKNOWN}"]
    for title, part in parts.items():
        lines += ["", f"## {title}", "", *part]
    return "\n".join(lines) + "\n"


def _intended_use(about: Mapping[str, str]) -> Iterator[str]:
    yield about.get("intended_use") or (
        f"{_UNKNOWN} The model was made to assign single images to the classes above on a mobile device, and was "
        "measured for that purpose only. Users must judge whether its error rates, listed below, are acceptable."
    )


def _contract(bundle: dict[str, Any]) -> Iterator[str]:
    size = bundle["input"]["shape"][1]
    yield (
        f"The input is one upright RGB image of {size} x {size} pixels, with values from 0 to 255. Do not normalise "
        "the values: the model does it. Resize other images by stretching them to the square, as for training and "
        "measuring. The output is one probability for each class, in the order of `labels.txt`. The folder `golden/` "
        "contains test images and the probabilities that the model must give for them."
    )


def _data(bundle: dict[str, Any], about: Mapping[str, str]) -> Iterator[str]:
    yield about.get("data") or (
        f"{_UNKNOWN} Only the people who collected the images know what they show and who owns them."
    )
    splits: Mapping[str, Mapping[str, int]] = bundle.get("images", {})
    if not splits:
        return
    purpose = {"train": "training", "eval": "choice of the best epoch", "test": "measurements below"}
    yield from ("", f"| class | {' | '.join(f'{split}: {purpose.get(split, split)}' for split in splits)} |")
    yield f"|-|{'-:|' * len(splits)}"
    for label in bundle["labels"]:
        yield f"| {_plain(label)} | {' | '.join(str(counts.get(label, 0)) for counts in splits.values())} |"
    yield f"| all | {' | '.join(str(sum(counts.values())) for counts in splits.values())} |"


def _variants(bundle: dict[str, Any]) -> Iterator[str]:
    server, variants = bundle["saved_model"], bundle["variants"]
    yield "| variant | bytes | accuracy | agreement | p50, ms | p95, ms |"
    yield "|-|-:|-:|-:|-:|-:|"
    for name, facts in variants.items():
        latency = facts["latency"] or {"p50_ms": "-", "p95_ms": "-"}
        yield (
            f"| {name} | {facts['bytes']} | {facts['accuracy']:.4f} | {facts['agreement']:.4f} "
            f"| {latency['p50_ms']} | {latency['p95_ms']} |"
        )
    images = bundle["test"]["images"]
    yield from (
        "",
        f"Measured on {images} test images. The server model, from which the variants were converted, has an accuracy "
        f"of {server['accuracy']:.4f} on them. Agreement is the share of images for which a variant and the server "
        "model name the same class.",
    )
    timed = next((facts["latency"] for facts in variants.values() if facts["latency"]), None)
    if timed:
        threads = "1 thread" if timed["threads"] == 1 else f"{timed['threads']} threads"
        yield from (
            "",
            "p50 and p95 are the median and the 95th percentile of the time for one image, without decoding and "
            f"resizing, over {timed['runs']} runs on {threads} of {timed['cpu']} with {bundle['runtime']}. "
            "Times on a phone will differ.",
        )


def _by_class(bundle: dict[str, Any]) -> Iterator[str]:
    variants = bundle["variants"]
    yield "The share of the test images of each class that are classified correctly (recall)."
    yield ""
    yield f"| class | test images | server model | {' | '.join(variants)} |"
    yield f"|-|-:|-:|{'-:|' * len(variants)}"
    for label, server in bundle["saved_model"]["per_class"].items():
        cells = [_share(facts["per_class"][label]["accuracy"]) for facts in variants.values()]
        yield f"| {_plain(label)} | {server['examples']} | {_share(server['accuracy'])} | {' | '.join(cells)} |"


def _limits(bundle: dict[str, Any], about: Mapping[str, str]) -> Iterator[str]:
    images, per_class = bundle["test"]["images"], bundle["saved_model"]["per_class"]
    if about.get("limits"):
        yield from (about["limits"], "")
    # Normal approximation of a binomial proportion at one half, where the interval is widest.
    margin = 1.96 * 0.5 / max(images, 1) ** 0.5
    yield (
        "- The model names one of its classes for every image, including images that show none of them. A low "
        "probability is the only sign of that."
    )
    yield (
        "- The test images come from the same collection as the training images. The accuracy on other images can be "
        "much lower; it was not measured."
    )
    yield (
        f"- The accuracies are estimates from {images} test images, with a margin of error of up to ± {margin:.3f} "
        "(95 % confidence); for a single class it is larger."
    )
    yield (
        "- The probabilities are not calibrated: a probability of 0.9 does not mean that 90 % of such answers are "
        "correct."
    )
    yield "- Accuracy was measured by class only. Differences between groups of people or between places are unknown."
    if absent := [_plain(label) for label, facts in per_class.items() if not facts["examples"]]:
        yield f"- These classes have no test images, so their accuracy is unknown: {', '.join(absent)}."


def _lineage(lineage: Mapping[str, Any]) -> Iterator[str]:
    yield f"- pipeline: {lineage['pipeline']}"
    yield f"- digest of the configuration: `{lineage['config_digest']}`"
    yield f"- digest of the server model: `{lineage['saved_model_sha256']}`"
    if lineage.get("data_digest"):
        yield f"- digest of all images: `{lineage['data_digest']}`"
    yield f"- digest of the test images: `{lineage['test_data_sha256']}`"
    yield from (f"- digest of the code for {name}: `{digest}`" for name, digest in lineage["code"].items())
    for step, versions in lineage["versions"].items():
        yield f"- {step.replace('_', ' ')} made with: {_libraries(versions)}"


def _libraries(versions: Mapping[str, str | None] | None) -> str:
    if versions is None:
        return "not recorded"
    return ", ".join(f"{name} {version}" if version else f"no {name}" for name, version in versions.items())


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _plain(label: str) -> str:
    """Escape a class name so that it cannot break out of a table cell."""
    return label.replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`").replace("<", "&lt;")
