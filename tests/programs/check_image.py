"""Test the Dockerfile without a container engine: `make image-check`. Takes minutes and 5 GB in a temporary folder.

Its RUN and COPY lines are executed with the folders of the image below a temporary folder, with only the files of the
build context, and with the Python that runs this program. Steps that need root are left out: Debian packages and the
user. The result is then used as on a platform: from an unrelated folder, with only the environment variables of the
image.

The packages also need the image's glibc. If this machine has an older one, use a Debian 13 without an engine:
`make test-next ONLY=3.13 STEPS=image`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.helpers.dockerfile import Instruction, build_context, environment, instructions, python_version

ROOT = Path(__file__).resolve().parents[2]
_NEEDS_ROOT = ("apt-get ", "useradd ")
_EXECUTOR = "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"
# The whole demo, as short as possible: only that it runs matters.
_SHORT = (
    *("--set", "training.baselines=[]", "--set", "training.head.epochs=2", "--set", "training.fine_tune.epochs=1"),
    *("--set", "evaluation.min_accuracy=0.2", "--set", "edge.max_accuracy_drop=0.5", "--set", "edge.min_agreement=0.2"),
    *("--set", "edge.max_class_drop=1"),
)
_TOOLS = ("uv", "pytest", "mypy", "ruff")
# Shared libraries of the base image.
_IN_BASE = re.compile(
    r"(ld-linux-x86-64|lib(c|m|mvec|dl|rt|util|pthread|resolv|gcc_s|stdc\+\+|z|bz2|lzma|uuid|expat|ffi|ssl|crypto|crypt))\.so"
)


class Image:
    """File system of the image, below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
        self.context = build_context(ROOT)
        self.directory = "/"
        tops = {step.words[-1] for step in self.steps if step.keyword in ("COPY", "WORKDIR")} | {"/venv", "/wheel"}
        names = "|".join(sorted({top.strip("/").split("/")[0] for top in tops if top.startswith("/")}))
        self.absolute = re.compile(rf"(?<![\w./])/(?={names})\b")
        # The base image's `python`.
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "python").symlink_to(Path(sys.base_prefix, "bin", f"python{python_version(self.steps)}"))

    def mapped(self, text: str) -> str:
        """Map the folders of the image in a text of the Dockerfile to their paths here."""
        return self.absolute.sub(f"{self.folder}/", text)

    def path(self, name: str) -> Path:
        """Map a path in the image, absolute or relative to the current WORKDIR."""
        return self.folder / str(Path(self.directory, name)).lstrip("/")

    def build(self) -> None:
        """Execute the instructions that create files."""
        for step in self.steps:
            if step.keyword == "WORKDIR":
                self.directory = step.text
                self.path("").mkdir(parents=True, exist_ok=True)
            elif step.keyword == "COPY":
                self.copy(step)
            elif step.keyword == "RUN":
                self.run(step)

    def copy(self, step: Instruction) -> None:
        *sources, destination = step.words
        for source in sources:
            if "from" in step.flags:  # stages share one file system here
                if source != destination or not self.path(source).exists():
                    raise SystemExit(f"Dockerfile:{step.line}: {source} is not in the stage {step.flags['from']}")
                continue
            files = [name for name in self.context if (name == source or name.startswith(f"{source}/"))]
            files = [name for name in files if (ROOT / name).is_file()]
            if not files:
                raise SystemExit(f"Dockerfile:{step.line}: {source} is not in the build context")
            into = destination if destination.endswith("/") else ""
            for name in files:
                inside = os.path.relpath(name, source) if name != source else ""
                target = self.path(into + Path(source).name if into else destination) / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)

    def run(self, step: Instruction) -> None:
        if step.text.startswith(_NEEDS_ROOT):
            print(f"Dockerfile:{step.line}: left out, needs root: {step.text[:60]}", flush=True)
            return
        began = time.monotonic()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        path = f"{self.bin}:/usr/local/bin:/usr/bin:/bin"
        command = ["bash", "-euc", self.mapped(step.text)]
        done = subprocess.run(command, cwd=self.path(""), env={**kept, "PATH": path}, check=False)
        if done.returncode:
            raise SystemExit(f"Dockerfile:{step.line}: failed: {step.text}")
        print(f"Dockerfile:{step.line}: {step.text} ({time.monotonic() - began:.0f} s)", flush=True)

    def use(self, *command: str, say: bool = True) -> str:
        """Run a command as in a container of the image, from its user's folder, and return its output."""
        variables = {name: self.mapped(value) for name, value in environment(self.steps).items()}
        variables["PATH"] = variables["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
        done = subprocess.run(command, cwd=self.path(""), env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        if say:
            print(f"ok: {' '.join(command)[:110]}", flush=True)
        return done.stdout


def main() -> None:
    """Build and use the image and measure its size; fails with an exit code."""
    wanted = python_version(instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")))
    here = "{}.{}".format(*sys.version_info)
    if here != wanted:
        raise SystemExit(
            f"the image has Python {wanted}, and this environment {here}: name a Python {wanted} in EDGETUNE_PYTHON "
            f"or, where glibc is older than 2.39, run `make test-next ONLY={wanted} STEPS=image`"
        )
    with tempfile.TemporaryDirectory(prefix="edgetune-image-") as temporary:
        image = Image(Path(temporary))
        image.build()
        before = files(image.folder / "venv")
        size = sum(path.stat().st_size for path in before) / 1e9
        print(f"ok: {size:.2f} GB of packages, {len(before)} files", flush=True)
        libraries(image.folder / "venv")
        use(image)
        if written := files(image.folder / "venv") - before:
            raise SystemExit(
                f"the image's user cannot write to it, but these files were written: {sorted(written)[:5]}"
            )


def use(image: Image) -> None:
    """Use the image as a platform does, and as a user does by hand."""
    image.use("edgetune", "--help")
    image.use("edgetune", "config")
    check_packages(image)
    for tool in _TOOLS:
        if (image.folder / "venv" / "bin" / tool).exists():
            raise SystemExit(f"{tool} is in the image, but nothing needs it")
    where = ("--image", "registry.example.org/edgetune:1", "--pipeline-root", "gs://bucket/root")
    for target in ("kubeflow", "vertex"):
        image.use("edgetune", "compile", "--target", target, *where, "-o", f"{target}.json")
    modules, classes = {_EXECUTOR}, set()
    for target in ("kubeflow", "vertex"):
        job = json.loads(image.path(f"{target}.json").read_text(encoding="utf-8"))
        for executor in job["pipelineSpec"]["deploymentSpec"]["executors"].values():
            container = executor.get("container", {})
            for part in (container, container.get("lifecycle", {}).get("preCacheCheck", {})):
                modules |= after("-m", part)
                classes |= {name.rpartition(".")[0] for name in after("--executor_class_path", part)}
    for module in sorted(modules):
        image.use("python", "-m", module, "--help")
    program = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    image.use("python", "-c", program, *sorted(classes), say=False)
    print(f"ok: imported {', '.join(sorted(classes))}", flush=True)
    image.use("edgetune", "run", *_SHORT)


def check_packages(image: Image) -> None:
    """Fail if packages conflict, except for those that requirements/tfx121.overrides names."""
    overrides = (ROOT / "requirements" / "tfx121.overrides").read_text(encoding="utf-8")
    names = re.findall(r"^([a-z][\w-]*)==", overrides, re.MULTILINE)
    # It reports conflicts on standard output, and fails if there are any.
    said = image.use("sh", "-c", "python -m pip check || true", say=False).splitlines()
    known = [line for line in said if any(f" has requirement {name}" in line for name in names)]
    if others := set(said) - set(known) - {"", "No broken requirements found."}:
        raise SystemExit(f"packages of the image conflict: {sorted(others)}")
    print(f"ok: pip check, except for {len(known)} conflicts from the overrides", flush=True)


def after(flag: str, container: dict[str, list[str]]) -> set[str]:
    """Return the values after a flag in the command line of a container."""
    words = [*container.get("command", []), *container.get("args", [])]
    return {words[at + 1] for at, word in enumerate(words) if word == flag}


def files(folder: Path) -> set[Path]:
    """Return all files below a folder."""
    return {path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def libraries(venv: Path) -> None:
    """Fail if a shared library is needed that neither a package nor the base image has."""
    shared = [path for path in files(venv) if re.search(r"\.so(\.|$)", path.name)]
    brought = {path.name for path in shared}
    # LiteRT's plugins for chips of phone makers are only loaded on machines with such a chip.
    shared = [path for path in shared if "vendors" not in path.parts]
    missing: dict[str, str] = {}
    said = subprocess.run(["readelf", "-d", *shared], capture_output=True, text=True, check=False).stdout
    if said.count("File: ") != len(shared):
        raise SystemExit("readelf, from Debian's binutils, is missing or did not read all shared libraries")
    for of_one in said.split("File: ")[1:]:
        for name in re.findall(r"\(NEEDED\)\s+Shared library: \[(.+?)\]", of_one):
            if name not in brought and not _IN_BASE.match(name):
                missing[name] = of_one.partition("\n")[0]
    if missing:
        raise SystemExit(f"shared libraries that the base image does not have: {missing}")
    print(f"ok: {len(shared)} shared libraries need only libraries of the base image", flush=True)


if __name__ == "__main__":
    main()
