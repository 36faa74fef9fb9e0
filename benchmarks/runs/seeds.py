"""Check that a run is blessed with any seed, and that two generations of TFX give the same answers.

    python -m benchmarks.runs.seeds FOLDER [--seeds N] [--config FILE] [--set KEY=VALUE ...]
    python -m benchmarks.runs.seeds FOLDER --compare OTHER

The first command runs the whole pipeline once for each seed, each in a separate process but in the same workdir, so
that the data is prepared once. The results of each run are appended as a line to FOLDER/runs.jsonl; a command that was
stopped continues from there. The second compares two such folders, made with the same seeds and settings in two
environments: splits, labels, verdicts and paired accuracies, and each generation's float32 model with its SavedModel.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from benchmarks.lib.measure import cpu_name
from edgetune.modules.core.errors import EdgetuneError
from edgetune.pipeline.config.load import load
from edgetune.pipeline.metadata.outcome import Outcome, read_outcome

Run = dict[str, Any]
"""One line of the file: the result of `_measured` and the run's settings."""

_BLESSED, _NOT_BLESSED = 0, 7
MODEL = "fine_tuned"
"""Row of the exported model in the trainer's comparison with its baselines."""
_FILE = "runs.jsonl"


def main() -> None:
    """Run the seeds or compare two folders, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the workdir and the figures")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="run seeds 1 to N; default: %(default)s")
    parser.add_argument("--config", type=Path, default=Path("configs/demo.yaml"), help="default: %(default)s")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for every run")
    parser.add_argument("--compare", type=Path, metavar="OTHER", help="compare with this folder and run nothing")
    options = parser.parse_args()
    if not options.compare:
        _run_all(options.folder, range(1, options.seeds + 1), options.config, options.set)
    runs = [run for run in _read(options.folder) if run["settings"] == options.set]
    _print_runs(options.folder.name, runs)
    if options.compare:
        others = [run for run in _read(options.compare) if run["settings"] == options.set]
        _print_runs(options.compare.name, others)
        _print_comparison(runs, others)


def _run_all(folder: Path, seeds: range, config: Path, settings: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    done = {(run["seed"], tuple(run["settings"])) for run in _read(folder)}
    for seed in seeds:
        if (seed, tuple(settings)) in done:
            continue
        # max_regression=1 disables the comparison with the models of earlier seeds, as in separate workdirs.
        values = ["evaluation.max_regression=1", *settings, f"training.seed={seed}"]
        command = [sys.executable, "-m", "edgetune.pipeline.cli", "run", "--config", str(config)]
        command += ["--workdir", str(folder / "workdir"), *(part for value in values for part in ("--set", value))]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode not in (_BLESSED, _NOT_BLESSED):
            raise SystemExit(f"seed {seed}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
        name = load(config, settings, None).name
        outcome = read_outcome(folder / "workdir" / "tfx_metadata" / name / "metadata.db", name)
        run = {"seed": seed, "settings": settings, "exit_code": ended.returncode, **_measured(outcome)}
        with (folder / _FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(run) + "\n")
        print(f"seed {seed}: {run['accuracy']:.4f}, exit code {ended.returncode}", file=sys.stderr, flush=True)


def _measured(outcome: Outcome) -> Run:
    """Return accuracies, verdicts, digests and labels of the last run, and float32's largest deviation."""
    evaluation = outcome.node("EdgeEvaluator").artifact("evaluation")
    if evaluation is None:
        raise EdgetuneError("the run has no edge evaluation", "see its log")
    metrics = json.loads(Path(evaluation.uri, "metrics.json").read_text(encoding="utf-8"))
    return {
        "versions": {name: version(name) for name in ("tfx", "tensorflow", "keras", "ai-edge-litert")},
        "images": metrics["test"]["images"],
        "test_sha256": metrics["test"]["sha256"],
        "labels": metrics["labels"],
        "accuracy": metrics["saved_model"]["accuracy"],
        "blessed": outcome.blessed,
        "reasons": outcome.reasons,
        "variants": {name: [facts["accuracy"], facts["blessed"]] for name, facts in metrics["variants"].items()},
        "float32_difference": metrics["variants"]["float32"]["max_difference"],
        "transfer": _transfer(outcome),
    }


def _transfer(outcome: Outcome) -> dict[str, list[float]]:
    """Return test accuracy and seconds of the model and of each baseline that was measured."""
    run = outcome.node("TwoPhaseTrainer").artifact("model_run")
    if run is None:
        raise EdgetuneError("the run has no training", "see its log")
    rows = json.loads(Path(run.uri, "transfer.json").read_text(encoding="utf-8"))
    return {row["name"]: [row["test_accuracy"], row["seconds"]] for row in rows}


def _read(folder: Path) -> list[Run]:
    if not (folder / _FILE).exists():
        return []
    whole, newline, _ = (folder / _FILE).read_text(encoding="utf-8").rpartition("\n")
    (folder / _FILE).write_text(whole + newline, encoding="utf-8")  # drop the partial line of a killed command
    return [json.loads(line) for line in whole.splitlines()]


def _print_runs(name: str, runs: list[Run]) -> None:
    if len(runs) < 2:
        raise SystemExit(f"{name} has {len(runs)} run(s) with these settings; at least two are needed")
    accuracies = [run["accuracy"] for run in runs]
    versions = " ".join(f"{package} {number}" for package, number in runs[0]["versions"].items())
    print(f"\n{name}: {versions}; {cpu_name()}")
    print(f"{len(runs)} seeds, {sum(run['blessed'] for run in runs)} blessed, {runs[0]['images']} test images")
    print(
        f"accuracy: lowest {min(accuracies):.4f}, median {statistics.median(accuracies):.4f}, "
        f"highest {max(accuracies):.4f}, standard deviation {statistics.stdev(accuracies):.4f}"
    )
    for variant in runs[0]["variants"]:
        drops = [run["accuracy"] - run["variants"][variant][0] for run in runs]
        blessed = sum(run["variants"][variant][1] for run in runs)
        print(f"  {variant}: {blessed} blessed, largest drop {max(drops):.4f}")
    difference = max(run["float32_difference"] for run in runs)
    print(f"  float32 against its SavedModel: a probability differs by at most {difference:.1e}")
    _print_transfer(runs)
    for run in runs:
        if not run["blessed"]:
            print(f"  seed {run['seed']}: {'; '.join(run['reasons'])}")


def _print_transfer(runs: list[Run]) -> None:
    """Print mean test accuracy and seconds of each training, and how far the model is above it, paired over seeds."""
    for name in runs[0]["transfer"]:
        accuracies, seconds = zip(*(run["transfer"][name] for run in runs), strict=True)
        line = f"  {name}: accuracy {statistics.mean(accuracies):.4f}, median {statistics.median(seconds):.0f} s"
        if name != MODEL:
            line += (
                f"; the model is {_interval([run['transfer'][MODEL][0] - run['transfer'][name][0] for run in runs])}"
            )
        print(line)


def _interval(differences: list[float]) -> str:
    """Return the mean and its 95 % interval (Student's t)."""
    mean, error = statistics.mean(differences), statistics.stdev(differences) / len(differences) ** 0.5
    half = float(student.ppf(0.975, len(differences) - 1)) * error
    return f"{mean:+.4f}, 95 % interval {mean - half:+.4f} to {mean + half:+.4f} (t)"


def _print_comparison(runs: list[Run], others: list[Run]) -> None:
    pairs = [(one, other) for one in runs for other in others if one["seed"] == other["seed"]]
    if len(pairs) < 2:
        raise SystemExit(f"{len(pairs)} seed(s) are in both folders; at least two are needed")
    print(f"\n{len(pairs)} seeds in both")
    for what, key in (("test images", "test_sha256"), ("labels", "labels"), ("verdicts", "blessed")):
        print(f"  the same {what}: {sum(one[key] == other[key] for one, other in pairs)}")
    differences = [other["accuracy"] - one["accuracy"] for one, other in pairs]
    print(f"  accuracy, second minus first: {_interval(differences)}")


if __name__ == "__main__":
    main()
