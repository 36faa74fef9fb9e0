"""The model card of an edge bundle, from what stands in its `bundle.json` and nothing else."""

from __future__ import annotations

from typing import Any


def model_card(bundle: dict[str, Any]) -> str:
    """The card as Markdown.

    Args:
        bundle: What stands in `bundle.json`.
    """
    server, variants, lineage = bundle["saved_model"], bundle["variants"], bundle["lineage"]
    size, images = bundle["input"]["shape"][1], bundle["test"]["images"]
    lines = [
        f"# {lineage['pipeline']}: image classifier for phones",
        "",
        f"Tells {len(bundle['labels'])} classes apart in one image: {', '.join(map(_plain, bundle['labels']))}.",
        "",
        "## Use",
        "",
        f"Give it {size} x {size} pixels of plain RGB, 0 to 255 a channel, and nothing else: the normalisation is "
        "inside the model. The answer is one probability for each class, in the order of `labels.txt`. "
        "`golden/` holds images with the answers to expect.",
        "",
        "## Variants",
        "",
        "| variant | bytes | accuracy | agrees with the server's model | p50, ms | p95, ms |",
        "|-|-:|-:|-:|-:|-:|",
    ]
    for name, facts in variants.items():
        latency = facts["latency"] or {"p50_ms": "-", "p95_ms": "-"}
        lines.append(
            f"| {name} | {facts['bytes']} | {facts['accuracy']:.4f} | {facts['agreement']:.4f} "
            f"| {latency['p50_ms']} | {latency['p95_ms']} |"
        )
    lines += ["", f"Measured on {images} test images. The server's model reaches {server['accuracy']:.4f} on them."]
    timed = next((facts["latency"] for facts in variants.values() if facts["latency"]), None)
    if timed:
        lines.append(
            f"Latency is of {timed['runs']} single images on {timed['threads']} thread(s) of {timed['cpu']} with "
            f"{bundle['runtime']}; a phone differs."
        )
    names = list(variants)
    lines += [
        "",
        "## Accuracy by class",
        "",
        f"| class | test images | server | {' | '.join(names)} |",
        f"|-|-:|-:|{'-:|' * len(names)}",
    ]
    for label, of_server in server["per_class"].items():
        cells = [_share(variants[name]["per_class"][label]["accuracy"]) for name in names]
        accuracy = _share(of_server["accuracy"])
        lines.append(f"| {_plain(label)} | {of_server['examples']} | {accuracy} | {' | '.join(cells)} |")
    lines += ["", "## Limits", "", *_limits(bundle), "", "## Lineage", ""]
    lines += [
        f"- pipeline: {lineage['pipeline']}",
        f"- configuration: `{lineage['config_digest']}`",
        f"- SavedModel: `{lineage['saved_model_sha256']}`",
        f"- test images: `{lineage['test_data_sha256']}`",
        *(f"- code of {name}: `{digest}`" for name, digest in lineage["code"].items()),
        f"- made with {', '.join(f'{name} {version}' for name, version in lineage['versions'].items())}",
    ]
    return "\n".join(lines) + "\n"


def _limits(bundle: dict[str, Any]) -> list[str]:
    images, per_class = bundle["test"]["images"], bundle["saved_model"]["per_class"]
    # A binomial proportion at one half, its widest: what a test of this size cannot tell apart.
    blur = 1.96 * 0.5 / max(images, 1) ** 0.5
    limits = [
        "- It answers with one of its classes whatever it is shown; a low probability is the only sign of doubt.",
        "- The test images come from the same collection as the training images. On images of another kind, it can be "
        "much worse, and nothing here says how much.",
        f"- With {images} test images, an accuracy is known to about ± {blur:.3f} at best.",
        "- The probabilities are not calibrated.",
    ]
    if absent := [_plain(label) for label, facts in per_class.items() if not facts["examples"]]:
        limits.append(f"- Nothing was measured of: {', '.join(absent)}.")
    return limits


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _plain(label: str) -> str:
    """A class name that cannot break out of a table's cell."""
    return label.replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`").replace("<", "&lt;")
