"""Compare two runs: verdicts, accuracy, the answers to the same images, configuration, data, code, variants, times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgetune.components.common import names
from edgetune.modules.core.errors import ConfigError, DataError
from edgetune.modules.core.library_versions import KEY
from edgetune.modules.core.untrusted_text import printable
from edgetune.modules.evaluation.answers import read_answers
from edgetune.modules.evaluation.intervals import paired_difference
from edgetune.modules.evaluation.paired import worse
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.history.runs import accuracy, records, utc, verdict
from edgetune.pipeline.local.runner import is_in_use
from edgetune.pipeline.metadata.outcome import CACHED, Node, Outcome, read_outcomes
from edgetune.pipeline.metadata.pushes import version_of
from edgetune.pipeline.report.artifacts import Absent, folder, read_json
from edgetune.pipeline.report.words import interval, milliseconds, percent, points, size
from edgetune.pipeline.terminal.console import duration
from edgetune.pipeline.terminal.table import table

LATEST = "latest"
_NOT_RECORDED = "–"
_METRICS = "metrics.json"


@dataclass(frozen=True)
class _Run:
    """A run, and where it is recorded."""

    workdir: Path
    outcome: Outcome
    is_latest: bool


def compare(settings: RunSettings, workdir: Path, first: str, second: str) -> dict[str, Any]:
    """Return what two runs have in common and in what they differ, as JSON values.

    Args:
        settings: The configuration, for the name of the pipeline. A workdir with runs of one other pipeline alone is
            taken for that.
        workdir: Of runs that are named by their id.
        first: Id of a run, a beginning of it that no other has, or `latest`; or a workdir, for its latest run.
        second: The same.

    Returns:
        `runs`, two of `run`, `pipeline`, `workdir`, `started` (UTC, ISO 8601), `verdict`, `by`, `reasons`, `accuracy`
        and `version`, as of `history.runs`, `data_digest`, `seconds` (from the start of the first component to the end
        of the last), `components` (`state` and `seconds` by id) and `variants` (`accuracy`, `agreement`, `bytes`,
        `p50_ms` and `blessed` by name). `paired`, of the answers to test images that both were asked: `images`,
        `only_first` and `only_second` (images that only one of them got right), `difference` of the accuracies, second
        less first, with `low` and `high`, its 95 % interval, `p_value` of McNemar's exact two-sided test, and
        `relabelled`, images with another class now, which counts for both; or `reason`, why there are none.
        `configuration`: `changed` (`key`, `first`, `second`), or `reason`. `data`: `same`, None if not recorded.
        `code`: components with other code. `libraries`: `component`, `library`, `first`, `second`.

    Raises:
        ConfigError: There is no such run, or the records cannot be read.
    """
    one, two = (_find(settings, workdir, what) for what in (first, second))
    runs = [_described(one), _described(two)]
    digests = [run["data_digest"] for run in runs]
    return {
        "runs": runs,
        "paired": _paired(one.outcome, two.outcome),
        "configuration": _configuration(one, two),
        "data": {"same": digests[0] == digests[1] if all(digests) else None},
        "code": _code(one.outcome, two.outcome),
        "libraries": list(_libraries(one.outcome, two.outcome)),
    }


def as_text(found: Mapping[str, Any]) -> list[str]:
    """Return the same as lines for a terminal."""
    runs = found["runs"]
    rows = [["", "first", "second"]]
    for name, cell in (
        ("run", lambda run: run["run"]),
        ("pipeline", lambda run: run["pipeline"]),
        ("workdir", lambda run: run["workdir"]),
        ("started", lambda run: (run["started"] or _NOT_RECORDED)[:16].replace("T", " ")),
        ("verdict", lambda run: run["verdict"] + (f" by {', '.join(run['by'])}" if run["by"] else "")),
        ("accuracy", _accuracy),
        ("version", lambda run: str(run["version"] or _NOT_RECORDED)),
        ("data", lambda run: (run["data_digest"] or _NOT_RECORDED)[:12]),
        ("time", lambda run: _NOT_RECORDED if run["seconds"] is None else duration(run["seconds"])),
    ):
        rows.append([name, *(printable(cell(run)) for run in runs)])
    variants = list(dict.fromkeys(name for run in runs for name in run["variants"]))
    rows += [[name, *(_variant(run["variants"].get(name)) for run in runs)] for name in variants]
    components = list(dict.fromkeys(name for run in runs for name in run["components"]))
    times = [[name, *(_time(run["components"].get(name)) for run in runs)] for name in components]
    lines = [*table(rows), "", *_answers(found["paired"]), *_differences(found)]
    return [*lines, "", "time of each component", *table(times)]


def _find(settings: RunSettings, workdir: Path, what: str) -> _Run:
    named = Path(what)
    is_workdir = named.is_dir() and (named / "tfx_metadata").is_dir()
    place = (named if is_workdir else workdir).resolve()
    there = sorted(path.parent.name for path in place.glob("tfx_metadata/*/metadata.db"))
    if settings.name not in there and len(there) == 1:
        settings = settings.model_copy(update={"name": there[0]})
    outcomes = read_outcomes(records(settings, place), settings.name)
    if is_workdir or what == LATEST:
        matching = outcomes[:1]
    else:
        matching = [one for one in outcomes if one.run_id == what] or [
            one for one in outcomes if what and one.run_id.startswith(what)
        ]
    if len(matching) != 1:
        known = ", ".join(one.run_id for one in (matching or outcomes)[:5])
        cause = f"begins {len(matching)} runs" if matching else "is neither a run of this workdir nor a workdir"
        raise ConfigError(f"{what}: {cause}", f"name one of its runs, such as {known}; `edgetune runs` lists them")
    return _Run(place, matching[0], matching[0] is outcomes[0])


def _described(run: _Run) -> dict[str, Any]:
    outcome = run.outcome
    said = verdict(outcome, running=run.is_latest and is_in_use(run.workdir))
    started = min((node.started for node in outcome.nodes), default=None)
    ended = max((node.started + node.seconds for node in outcome.nodes), default=None)
    examples = outcome.node(names.IMAGE_EXAMPLE_GEN).artifact(names.EXAMPLES_KEY)
    return {
        "run": outcome.run_id,
        "pipeline": outcome.pipeline_name,
        "workdir": str(run.workdir),
        "started": utc(started) if started else None,
        "verdict": said,
        "by": {"refused": outcome.refused_by, "failed": outcome.failed}.get(said, []),
        "reasons": outcome.reasons,
        "accuracy": accuracy(outcome),
        "version": version_of(outcome),
        "data_digest": (examples.custom_properties.get("data_digest") if examples else None) or None,
        "seconds": ended - started if started is not None and ended is not None else None,
        "components": {node.id: {"state": node.state, "seconds": node.seconds} for node in outcome.nodes},
        "variants": _variants(outcome),
    }


def _variants(outcome: Outcome) -> dict[str, Any]:
    """Return what EdgeEvaluator measured, by variant; nothing if it did not, or if its files are gone."""
    try:
        path = folder(outcome.node(names.EDGE_EVALUATOR), names.EVALUATION_KEY, _METRICS)
        measured = read_json(f"{path}/{_METRICS}")["variants"]
        return {
            name: {
                **{key: facts[key] for key in ("accuracy", "agreement", "bytes", "blessed")},
                "p50_ms": (facts["latency"] or {}).get("p50_ms"),
            }
            for name, facts in measured.items()
        }
    except (Absent, OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _paired(one: Outcome, two: Outcome) -> dict[str, Any]:
    try:
        first, second = (read_answers(_evaluation(outcome), probabilities=False) for outcome in (one, two))
    except DataError as error:
        return {"reason": error.cause}
    # Two files with the same pixels have the same answer.
    _, a, b = np.intersect1d(first.image_id, second.image_id, return_indices=True)
    if not len(a):
        return {"reason": "they have no test image in common"}
    truth = second.label[b]
    right = [first.predicted[a] == truth, second.predicted[b] == truth]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    low, high = paired_difference(right[1].astype(float) - right[0]) or (-1.0, 1.0)
    return {
        "images": len(a),
        "of": [len(np.unique(first.image_id)), len(np.unique(second.image_id))],
        "relabelled": int((first.label[a] != truth).sum()),
        "only_first": only_first,
        "only_second": only_second,
        "difference": (only_second - only_first) / len(a),
        "low": low,
        "high": high,
        "p_value": min(1.0, 2 * min(worse(only_first, only_second), worse(only_second, only_first))),
    }


def _evaluation(outcome: Outcome) -> str:
    artifact = outcome.node(names.EVALUATOR).artifact(names.EVALUATION_KEY)
    if artifact is None:
        raise DataError(f"run {outcome.run_id} was not evaluated")
    return artifact.uri


def _configuration(one: _Run, two: _Run) -> dict[str, Any]:
    trees = []
    for run in (one, two):
        outcome = run.outcome
        path = run.workdir / "reports" / outcome.pipeline_name / outcome.run_id / "report.json"
        try:
            trees.append(dict(_leaves(json.loads(path.read_text(encoding="utf-8"))["configuration"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            return {"reason": f"{path}: cannot be read ({type(error).__name__})"}
    keys = dict.fromkeys([*trees[0], *trees[1]])
    values = [(key, trees[0].get(key), trees[1].get(key)) for key in keys]
    return {"changed": [{"key": key, "first": a, "second": b} for key, a, b in values if a != b]}


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _code(one: Outcome, two: Outcome) -> list[str]:
    pairs = ((node, two.node(node.id)) for node in one.nodes)
    digests = {a.id: [node.properties.get("code_digest") for node in (a, b)] for a, b in pairs}
    return [name for name, (a, b) in digests.items() if a and b and a != b]


def _libraries(one: Outcome, two: Outcome) -> Iterator[dict[str, Any]]:
    for node in one.nodes:
        first, second = (_versions(each) for each in (node, two.node(node.id)))
        for library in sorted(set(first) & set(second)):
            if first[library] != second[library]:
                yield {
                    "component": node.id,
                    "library": library,
                    "first": first[library],
                    "second": second[library],
                }


def _versions(node: Node) -> dict[str, Any]:
    """Return the versions of libraries by which the outputs of a node were made."""
    stamped = [
        one.custom_properties[KEY] for kept in node.outputs.values() for one in kept if KEY in one.custom_properties
    ]
    try:
        found = json.loads(stamped[0] if stamped else node.properties.get(KEY) or "{}")
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _accuracy(run: Mapping[str, Any]) -> str:
    found = run["accuracy"]
    if found is None:
        return "not measured, or its files are gone"
    known = found["low"] is not None and found["high"] is not None
    between = f" ({interval((found['low'], found['high']))})" if known else ""
    return f"{percent(found['measured'])}{between}, {found['images']} images"


def _variant(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return _NOT_RECORDED
    figures = percent(found["accuracy"]), size(found["bytes"]), milliseconds(found["p50_ms"])
    return "  ".join([*figures, "blessed" if found["blessed"] else "refused"])


def _time(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return _NOT_RECORDED
    return "cached" if found["state"] == CACHED else duration(found["seconds"])


def _answers(found: Mapping[str, Any]) -> Iterator[str]:
    if "reason" in found:
        yield f"answers to the same images cannot be compared: {printable(found['reason'])}"
        return
    both = f"on {found['images']:,} test images that both answered"
    if set(found["of"]) != {found["images"]}:
        both += f" (of {found['of'][0]:,} and {found['of'][1]:,})"
    if found["relabelled"]:
        both += f", {found['relabelled']:,} of them with another class now"
    yield f"{both}: only the first is right on {found['only_first']:,}, only the second on {found['only_second']:,};"
    change = f"{points(found['difference'])} points (95% interval {points(found['low'])} to {points(found['high'])})"
    yield f"  the second less the first: {change}, p = {found['p_value']:.2g}"


def _differences(found: Mapping[str, Any]) -> Iterator[str]:
    same = found["data"]["same"]
    yield "data: " + {True: "the same", False: "other images or labels", None: "not recorded"}[same]
    settings = found["configuration"]
    if "reason" in settings:
        yield f"configuration: not known: {printable(settings['reason'])}"
    elif not settings["changed"]:
        yield "configuration: the same"
    for change in settings.get("changed", ()):
        values = [printable(json.dumps(change[key], ensure_ascii=False)) for key in ("first", "second")]
        yield f"configuration: {change['key']}: {values[0]} → {values[1]}"
    if found["code"]:
        yield f"code: differs in {', '.join(found['code'])}"
    for change in found["libraries"]:
        yield f"libraries: {change['component']}: {change['library']} {change['first']} → {change['second']}"
