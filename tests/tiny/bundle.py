"""A pushed edge bundle of the tiny model, made once for all tests of a session."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from edgetune.modules.bundle.golden import Golden
from edgetune.modules.bundle.write import Lineage, write_bundle
from edgetune.modules.evaluation.edge import evaluate
from edgetune.modules.evaluation.verdict import Thresholds
from edgetune.modules.settings.run import InputRange
from tests.tiny import edge, model
from tests.tiny.session import made_once

VERSIONS: dict[str, dict[str, str | None] | None] = {
    "data": {"edgetune": "0.1.0", "pillow": "11.0", "pillow-heif": None},
    "model": {"tensorflow": "2.16.2", "keras": "3.6.0"},
    "edge_model": None,
}


@functools.cache
def bundle(variants: tuple[str, ...] = ("float32",), input_range: InputRange = "raw") -> Path:
    """Return the folder of the bundle; tests that change it must copy it."""
    return (
        made_once(f"bundle-{input_range}-" + "-".join(variants), lambda folder: _make(folder, variants, input_range))
        / "bundle"
    )


def _make(folder: Path, variants: tuple[str, ...], input_range: InputRange) -> None:
    examples = edge.write_test_images(folder / "examples")
    contents = {variant: edge.converted()[variant] for variant in variants}
    edge_model = edge.write_edge_model(folder / "edge_model", contents, input_range=input_range)
    golden = Golden(str(folder / "evaluation" / "golden"), model.LABELS)
    metrics = evaluate(edge.saved_model(), edge_model, examples, Thresholds(), golden, input_range=input_range)
    (folder / "evaluation" / "metrics.json").write_text(json.dumps(metrics))
    lineage = Lineage("colours", "c" * 64, "5" * 64, "d" * 64, {"edge_model": "e" * 64}, VERSIONS)
    write_bundle(folder / "bundle", edge_model, str(folder / "evaluation"), lineage)
