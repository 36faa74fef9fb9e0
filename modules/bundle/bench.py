"""Measure all variants of an edge bundle on this machine, and keep the results beside it.

`<bundle>.bench/` has a file for each time that the bundle was measured, and `model.sig` if they are signed. The bundle
is only read: what is signed and listed in it stays as it was pushed. A file names the digest of the bundle's
`SHA256SUMS`, and of each model.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgetune.modules.bundle.files import BundleFiles, checksum_problems, shown
from edgetune.modules.bundle.signing import NO_KEY, TOOL, Trust, check_signer, sign
from edgetune.modules.contracts.bundle import BUNDLE_JSON, CHECKSUMS, SIGNATURE, parse_bundle
from edgetune.modules.core import bounds
from edgetune.modules.core.errors import AccessError, BundleError, ConfigError
from edgetune.modules.litert import benchmark
from edgetune.modules.litert.benchmark import RUNS, Benchmark
from edgetune.modules.litert.interpreter import cores, cpu_name, runtime

FORMAT = 1
ENDING = ".bench"
_VERIFY = "run `edgetune verify` on the bundle for details"
_FIGURES = ("p50_ms", "p95_ms", "runs", "threads", "cpu")


def bench(
    folder: Path,
    threads: Sequence[int] = (1,),
    runs: int = RUNS,
    report: Callable[[str, Benchmark], None] = lambda *_: None,
    trust: Trust = NO_KEY,
    measure: Callable[[bytes, int, int], Benchmark] = benchmark.measure,
) -> dict[str, Any]:
    """Measure all variants of a bundle.

    Args:
        folder: Of the bundle, on this machine.
        threads: Numbers of threads, each measured by itself.
        runs: Answers that count, of each measurement.
        report: Called with the name of a variant and each of its measurements.
        trust: Whose signature the bundle must have; by default, a signed one is refused.
        measure: What measures a model; the default runs LiteRT's own benchmark in a child process.

    Returns:
        `format`, `bundle` (name of its folder), `sha256sums` (SHA-256 of its list), `measured` (UTC, ISO 8601),
        `machine` (`cpu`, `cores`, `system`), `runtime`, `tool` and `variants`, by name: `file`, `sha256`, `in_run`
        (latency that the run measured, or None) and `measurements`, as `Benchmark` has them.

    Raises:
        BundleError: It is not a bundle, is not as it was pushed, is signed and was not checked, or a model cannot be
            measured.
    """
    files = BundleFiles(folder)
    if wrong := checksum_problems(files):
        name, cause, _ = wrong[0]
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise BundleError(f"{folder}: {shown(name)} {cause}{more}", _VERIFY)
    trust.require(folder)
    try:
        content = files.read(BUNDLE_JSON)
        bundle, told = parse_bundle(content), json.loads(content)["variants"]
    except BundleError as error:
        raise BundleError(f"{folder / BUNDLE_JSON}: {error.cause}", error.remedy) from None
    variants: dict[str, Any] = {}
    for name, facts in bundle.variants.items():
        model = files.read(facts.file, bounds.MAX_MODEL)  # once, so that what was checked is what runs
        if hashlib.sha256(model).hexdigest() != facts.sha256:
            raise BundleError(f"{folder / facts.file}: is not the file that was measured in the run", _VERIFY)
        done = []
        for number in threads:
            try:
                done.append(measure(model, number, runs))
            except BundleError as error:
                raise BundleError(f"{folder / facts.file}: {error.cause}", error.remedy) from None
            report(name, done[-1])
        variants[name] = {
            "file": facts.file,
            "sha256": facts.sha256,
            "in_run": _in_run(told[name].get("latency")),
            "measurements": [asdict(each) for each in done],
        }
    return {
        "format": FORMAT,
        "bundle": folder.resolve().name,
        "sha256sums": hashlib.sha256(files.read(CHECKSUMS)).hexdigest(),
        "measured": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "machine": {"cpu": cpu_name(), "cores": cores(), "system": platform.platform()},
        "runtime": runtime(),
        "tool": benchmark.TOOL,
        "variants": variants,
    }


def check_place(bundle: Path, place: Path, sign_key: str | None, sign_tool: str = TOOL) -> None:
    """Check where results go, before anything is measured.

    Raises:
        ConfigError: The place is in the bundle or a file; its results are signed and no key is given; or the key or the
            tool cannot be used.
    """
    if place.resolve().is_relative_to(bundle.resolve()):
        raise ConfigError(f"--out {place}: is in the bundle, whose files are listed and signed", "name another folder")
    if place.exists() and not place.is_dir():
        raise ConfigError(f"--out {place}: is a file", "name a folder")
    if sign_key is None and (place / SIGNATURE).exists():
        raise ConfigError(
            f"{place}: its results are signed, and another one would not be", "give --sign-key, or another --out"
        )
    if sign_key is not None:
        check_signer(sign_key, sign_tool)


def write(document: Mapping[str, Any], place: Path, sign_key: str | None = None, sign_tool: str = TOOL) -> Path:
    """Write results into a folder, sign all that it has, and return the new file.

    Args:
        document: As `bench` returns it.
        place: The folder; made if it is missing.
        sign_key: Private key that signs the folder; None for no signature.
        sign_tool: As of `signing.sign`.

    Raises:
        AccessError: The folder cannot be written.
        PushError: They could not be signed.
    """
    stamp = str(document["measured"]).partition("+")[0].replace(":", "").replace("-", "")
    try:
        place.mkdir(parents=True, exist_ok=True)
        names = [f"{stamp}.json", *(f"{stamp}-{number}.json" for number in range(2, 100))]
        path = next(place / name for name in names if not os.path.lexists(place / name))
        temporary = place / f".{path.name}.{os.getpid()}"
        temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path)
        if sign_key is not None:
            (place / SIGNATURE).unlink(missing_ok=True)
            sign(place, sign_key, sign_tool)
    except OSError as error:
        raise AccessError(f"{place}: cannot be written: {error.strerror}", "name another folder with --out") from None
    return path


def _in_run(latency: Any) -> dict[str, Any] | None:
    """Return the latency that a bundle, which is untrusted, says was measured in the run."""
    if not isinstance(latency, Mapping):
        return None
    return {key: value for key in _FIGURES if isinstance(value := latency.get(key), int | float | str)}
