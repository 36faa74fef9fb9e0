"""Ask OSV (https://osv.dev) for known vulnerabilities of every version in the locks.

    python scripts/audit.py [LOCK...]

Exit codes: 0, none but those of requirements/accepted.toml; 1, others, or an accepted one that is not there any more;
2, OSV could not be asked, so nothing is known. EDGETUNE_OSV_URL names another server with OSV's interface. Only the
standard library is needed; on Python 3.10, tomli too.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("tfx116.txt", "tfx116-gpu.txt", "tfx121.txt", "tfx121-gpu.txt")
ACCEPTED = ROOT / "requirements" / "accepted.toml"
_OSV = "https://api.osv.dev"
_BATCH, _SECONDS = 500, 30
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^ ;\\]+)")


class Unreachable(Exception):
    """OSV did not answer, or not as its interface says."""


def pins(lock: str) -> set[tuple[str, str]]:
    """Return name and version of everything that a lock can install, on any machine."""
    return {(found[1].lower(), found[2]) for line in lock.splitlines() if (found := _PIN.match(line))}


def ask(url: str, path: str, body: Any = None) -> Any:
    """Return OSV's answer.

    Raises:
        Unreachable: There is none.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}{path}", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        raise Unreachable(f"{url}{path}: {error}") from error


def vulnerabilities(url: str, packages: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, version and OSV's record of each known vulnerability.

    Raises:
        Unreachable: OSV cannot be asked.
    """
    waiting: list[dict[str, Any]] = [
        {"package": {"name": n, "ecosystem": "PyPI"}, "version": v} for n, v in sorted(packages)
    ]
    while waiting:
        asked, waiting = waiting[:_BATCH], waiting[_BATCH:]
        results = ask(url, "/v1/querybatch", {"queries": asked})
        results = results.get("results") if isinstance(results, dict) else None
        if not isinstance(results, list) or len(results) != len(asked):
            raise Unreachable(f"{url}: its answer has not one result for each package")
        for query, result in zip(asked, results, strict=True):
            for found in (result or {}).get("vulns", []):
                record = ask(url, f"/v1/vulns/{found['id']}")
                if not record.get("withdrawn"):
                    yield query["package"]["name"], query["version"], record
            if token := (result or {}).get("next_page_token"):
                waiting.append({**query, "page_token": token})


def main(arguments: list[str]) -> int:
    """Audit the locks and return the exit code."""
    files = [Path(name) for name in arguments] or [ROOT / "requirements" / name for name in LOCKS]
    accepted = tomllib.loads(ACCEPTED.read_text(encoding="utf-8")).get("accepted", [])
    locked = {path.name: pins(path.read_text(encoding="utf-8")) for path in files}
    packages = set().union(*locked.values())
    url = os.environ.get("EDGETUNE_OSV_URL", _OSV).rstrip("/")
    try:
        found = list(vulnerabilities(url, packages))
    except Unreachable as error:
        print(f"edgetune: OSV cannot be asked, so NOTHING is known about {len(packages)} packages: {error}")
        return 2
    used: set[int] = set()
    new: dict[tuple[str, str, str], dict[str, Any]] = {}
    for name, version, record in found:
        ids = {record["id"], *record.get("aliases", [])}
        known = [n for n, e in enumerate(accepted) if e["package"] == name and e["id"] in ids]
        used.update(known)
        if not known:
            new.setdefault((name, version, min(ids)), record)
    for (name, version, _), record in sorted(new.items()):
        where = ", ".join(lock for lock, pinned in locked.items() if (name, version) in pinned)
        fixed = sorted({e["fixed"] for a in record.get("affected", []) for r in a.get("ranges", [])
                        for e in r.get("events", []) if "fixed" in e and r.get("type") == "ECOSYSTEM"})  # fmt: skip
        said = record.get("summary") or record.get("details", "").partition("\n")[0]
        said = said[:200].encode("unicode_escape").decode()  # others wrote it
        print(f"{name} {version} ({where}): {record['id']}: {said}; fixed in {', '.join(fixed) or 'no version'}")
    stale = [entry for number, entry in enumerate(accepted) if number not in used]
    for entry in stale:
        print(f"requirements/accepted.toml: {entry['package']} has no {entry['id']} any more: remove the entry")
    print(f"{len(packages)} packages: {len(new)} vulnerabilities, and {len(used)} accepted")
    return 1 if new or stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
