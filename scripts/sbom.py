"""Write lists of components (SBOM) in CycloneDX's format: of an environment, and of edge bundles.

    .venv-sbom/bin/python scripts/sbom.py FOLDER PYTHON [BUNDLE...]     (scripts/sbom.sh makes the environment)

FOLDER/environment.cdx.json has every distribution that PYTHON finds. FOLDER/<name>-<version>.cdx.json has the files of
a bundle, its models as such, with their digests, and the libraries that made it, as its bundle.json says.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LIST = "import importlib.metadata as m, json; print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Part:
    """A component."""

    name: str
    version: str = ""
    kind: str = "library"
    """CycloneDX's type: `library`, `file` or `machine-learning-model`."""
    sha256: str = ""


def environment(python: str) -> list[Part]:
    """Return the distributions that an interpreter finds, sorted, each once."""
    found = json.loads(subprocess.run([python, "-c", _LIST], check=True, capture_output=True, text=True).stdout)
    parts = {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in found if name}
    return [Part(name, version) for name, version in sorted(parts)]


def bundle(folder: Path) -> list[Part]:
    """Return the files of a bundle, and the libraries that made it."""
    facts: dict[str, Any] = json.loads((folder / "bundle.json").read_bytes())
    models = {variant["file"] for variant in facts["variants"].values()}
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        name, digest = path.relative_to(folder).as_posix(), hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        kind = "machine-learning-model" if name in models else "file"
        files.append(Part(name, kind=kind, sha256=digest.hexdigest()))
    libraries = {
        (name, version)
        for versions in facts["lineage"].get("versions", {}).values()
        for name, version in (versions or {}).items()
        if version
    }
    return [*files, *(Part(name, version) for name, version in sorted(libraries))]


def written(subject: Part, parts: list[Part]) -> str:
    """Return the list as CycloneDX JSON: the same for the same parts, so without a time and a serial number."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    def component(part: Part) -> Component:
        url = PackageURL("pypi", None, part.name, part.version) if part.kind == "library" else None
        return Component(
            name=part.name,
            version=part.version or None,
            type=ComponentType(part.kind),
            purl=url,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)] if part.sha256 else None,
            bom_ref=f"{part.kind}:{part.name}@{part.version}",
        )

    bom = Bom(components=map(component, parts))
    bom.metadata.component = component(subject)
    bom.register_dependency(bom.metadata.component, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["serialNumber"], document["metadata"]["timestamp"]
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    """Write the lists, and name them."""
    folder, python, bundles = Path(arguments[0]), arguments[1], [Path(name) for name in arguments[2:]]
    folder.mkdir(exist_ok=True)
    lists = {"environment": (Part("edgetune environment", kind="application"), environment(python))}
    for path in bundles:
        name = json.loads((path / "bundle.json").read_bytes())["lineage"]["pipeline"]
        subject = Part(name, path.resolve().name, "machine-learning-model")
        lists[f"{name}-{path.resolve().name}"] = (subject, bundle(path))
    for name, (subject, parts) in lists.items():
        file = folder / f"{name}.cdx.json"
        file.write_text(written(subject, parts), encoding="utf-8")
        print(f"{file}: {len(parts)} components")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
