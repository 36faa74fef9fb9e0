"""Break promises on purpose, one at a time, and check that a test sees it.

python -m tests.mutations.run [--only TEXT]

Each file `*.yaml` beside this one has entries of four keys: the `promise`, the `file`, `change` (a line to a line, or
lines to lines; the first must stand in the file exactly once) and the `test` that must fail. Copies of the checkout are
changed, never the checkout. A mutation is killed if the test ran and failed; if it cannot be collected, it is not.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 300
_PASSED, _FAILED = 0, 1  # pytest's exit codes


@dataclass(frozen=True)
class Mutation:
    """A promise, the change that breaks it, and the test that must see it."""

    promise: str
    file: str
    change: dict[str, str]
    test: str

    def changed(self, text: str) -> str:
        """Return the file's text with the change.

        Raises:
            ValueError: What is to be changed does not stand there exactly once.
        """
        for old, new in self.change.items():
            if (count := text.count(old)) != 1:
                raise ValueError(f"{self.promise}: {self.file} has this {count} times: {old!r}")
            text = text.replace(old, new)
        return text


def mutations() -> list[Mutation]:
    """Return all entries, in the order of the files."""
    files = sorted(Path(__file__).parent.glob("*.yaml"))
    return [Mutation(**entry) for file in files for entry in yaml.safe_load(file.read_text(encoding="utf-8"))]


def outcome(tests: Sequence[str], folder: Path) -> int:
    """Run tests of a checkout in a fork, and return pytest's exit code; 124 if they did not end in time."""
    if not (child := os.fork()):
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)
        import pytest

        code = 70
        try:
            code = int(pytest.main(["-q", "-x", "-n0", "-p", "no:cacheprovider", *tests]))
        finally:
            sys.stdout.flush()
            os._exit(code)
    until = time.monotonic() + _SECONDS * max(1, len(tests) / 4)
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 124


def _copy() -> Path:
    """Return a copy of the checkout's files, with links as links and without compiled ones."""
    folder = Path(tempfile.mkdtemp(prefix="edgetune-mutations-"))
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_symlink() or (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


_own: list[Path] = []


def _begin() -> None:
    """Import once what takes long, and copy the checkout: each worker has a copy of its own."""
    sys.dont_write_bytecode = True  # a changed file of the same size and second would be taken for the one before
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras  # noqa: F401
    import tensorflow  # noqa: F401
    import tfx.v1  # noqa: F401

    _own.append(_copy())


def _end(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _check(mutation: Mutation) -> tuple[int, str]:
    """Return pytest's exit code with the change, and the last lines that it printed."""
    [folder] = _own
    path = folder / mutation.file
    text = path.read_text(encoding="utf-8")
    path.write_text(mutation.changed(text), encoding="utf-8")
    try:
        code = outcome([mutation.test], folder)
        return code, (folder / "log").read_text(encoding="utf-8", errors="replace")[-1500:]
    finally:
        path.write_text(text, encoding="utf-8")


def _unchanged(tests: Sequence[str]) -> tuple[int, str]:
    [folder] = _own
    return outcome(tests, folder), (folder / "log").read_text(encoding="utf-8", errors="replace")[-3000:]


def _folder(_: int) -> Path:
    time.sleep(0.2)  # so that each worker answers once
    return _own[0]


def _failures(chosen: Sequence[Mutation], workers: int) -> Iterator[str]:
    with ProcessPoolExecutor(workers, initializer=_begin) as pool:
        folders = set(pool.map(_folder, range(workers * 2)))
        try:
            code, said = pool.submit(_unchanged, sorted({mutation.test for mutation in chosen})).result()
            if code != _PASSED:
                raise SystemExit(f"the tests do not pass without a change (pytest ended with {code}):\n{said}")
            for number, (mutation, (code, said)) in enumerate(zip(chosen, pool.map(_check, chosen), strict=True), 1):
                killed = code == _FAILED
                print(f"{number:3}/{len(chosen)}  {'killed' if killed else 'ALIVE '}  {mutation.promise}", flush=True)
                if not killed:
                    yield f"{mutation.promise}: {mutation.test} ended with {code}:\n{said}"
        finally:
            for folder in folders:
                _end(folder)


def main(arguments: Sequence[str]) -> int:
    """Check the entries whose promise, file or test has the text after `--only`; return the exit code."""
    only = arguments[1] if arguments[:1] == ["--only"] and len(arguments) == 2 else ""
    if arguments and not only:
        print(__doc__, file=sys.stderr)
        return 2
    chosen = [m for m in mutations() if only in f"{m.promise} {m.file} {m.test}"]
    for mutation in chosen:  # before anything runs
        mutation.changed((ROOT / mutation.file).read_text(encoding="utf-8"))
    failures = list(_failures(chosen, min(4, os.cpu_count() or 1)))
    print("\n\n".join([*failures, f"{len(chosen) - len(failures)} of {len(chosen)} killed"]))
    return 1 if failures or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
