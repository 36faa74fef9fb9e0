"""Read a Dockerfile and its build context."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction, with its lines joined and without comments."""

    line: int
    stage: str
    """Name of its build stage; empty for the last stage."""
    keyword: str
    """Such as `RUN`."""
    text: str
    """Text after the keyword."""

    @property
    def flags(self) -> dict[str, str]:
        """Such as `from` of `COPY --from=packages`."""
        return dict(re.findall(r"(?:^|\s)--([\w-]+)=(\S+)", self.text)) if self.keyword == "COPY" else {}

    @property
    def words(self) -> list[str]:
        """Words after the keyword, without the flags of COPY."""
        words = self.text.split()
        return [word for word in words if not word.startswith("--")] if self.keyword == "COPY" else words


def instructions(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile in order."""
    found: list[Instruction] = []
    stage, parts, start = "", [], 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = start if parts else number
        parts.append(line.strip().removesuffix("\\").strip())
        if line.rstrip().endswith("\\"):
            continue
        keyword, _, rest = " ".join(parts).partition(" ")
        parts = []
        if keyword == "FROM":
            name = re.search(r" AS (\S+)$", rest)
            stage = name[1] if name else ""
        found.append(Instruction(start, stage, keyword, rest.strip()))
    return found


def environment(steps: list[Instruction]) -> dict[str, str]:
    """Return the variables that the image sets, unexpanded."""
    found: dict[str, str] = {}
    for step in steps:
        if step.keyword == "ENV" and step.stage == "":
            found.update(word.split("=", 1) for word in step.words)
    return found


def python_version(steps: list[Instruction]) -> str:
    """Return the version of the base image's Python, such as `3.13`."""
    [version] = {found for step in steps for found in re.findall(r"^python:(\d+\.\d+)", step.text)}
    return version


def build_context(root: Path) -> set[str]:
    """Return the paths of the files and folders that `docker build` sends to the engine, relative to the root."""
    from docker.utils.build import exclude_paths

    lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return set(exclude_paths(str(root), patterns))
