"""Provide the files for the tests' Flink cluster: Java, Flink's own jars, and Beam's job server for Flink.

Flink's jars come from the package index, Beam's from Maven's repository; both are kept in `.venv-clients/`, which git
ignores. edgetune's own environment is not changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import apache_beam

from tests.clients.environments import KEPT, Client, Unavailable, interpreter, locked

HERE = Path(__file__).resolve().parent
FLINK = "1.19"
OWN_JAR = "EDGETUNE_FLINK_JOB_SERVER_JAR"
_RUNNER = "org/apache/beam/runners/flink/FlinkPipelineRunner.class"
_OLDEST_JAVA = 11
# Maven's messages if its repository does not answer; any other message means a mistake in the pom.
_UNREACHABLE = re.compile(
    r"unknown host|connect timed out|connection refused|network is unreachable|transfer failed", re.I
)


@dataclass(frozen=True)
class _Flink(Client):
    """Client environment with `apache-flink-libraries`, which is never imported; its pins are in this folder."""

    @property
    def pins(self) -> Path:
        return HERE / f"requirements-{self.name}.txt"


def java() -> str:
    """Return the Java that runs Flink.

    Raises:
        Unavailable: Java is missing or too old.
    """
    found = shutil.which("java")
    if found is None:
        raise Unavailable("Flink needs Java, but `java` is not on PATH: install a JRE of version 11 or 17")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < _OLDEST_JAVA:
        raise Unavailable(f"Flink needs Java {_OLDEST_JAVA} or newer, and {found} says: {said.strip()}")
    return found


def class_path() -> str:
    """Return Flink's own jars as a Java class path.

    Raises:
        Unavailable: The package index does not answer.
    """
    python = interpreter(_Flink("flink", ("3.10", "3.11", "3.12", "3.13")))
    libraries = sorted((python.parent.parent / "lib").glob("python*/site-packages/pyflink/lib/*.jar"))
    if not any(jar.name.startswith(f"flink-dist-{FLINK}") for jar in libraries):
        raise RuntimeError(f"no flink-dist of version {FLINK} among {[jar.name for jar in libraries]}")
    return os.pathsep.join(map(str, libraries))


def job_server_jar() -> Path:
    """Return Beam's job server for Flink: the jar named in the environment, Beam's official jar, or a stand-in.

    Raises:
        Unavailable: Maven is missing, or its repository does not answer.
        RuntimeError: The stand-in cannot be built.
    """
    if given := os.environ.get(OWN_JAR):
        return Path(given)
    KEPT.mkdir(exist_ok=True)
    official = KEPT / f"beam-runners-flink-{FLINK}-job-server-{apache_beam.__version__}.jar"
    sources = sorted(path for path in (HERE / "jobserver").rglob("*") if path.suffix in (".xml", ".java"))
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()
    built = KEPT / f"flink-{FLINK}-job-server-{digest[:16]}.jar"
    with locked(KEPT / "job-server.lock"):
        for jar in (official, built):
            if jar.is_file():
                return jar
        if shutil.which("mvn") is None or shutil.which("javac") is None:
            raise Unavailable(
                "Beam's job server for Flink is built or fetched with Maven, and `mvn` or `javac` is missing: "
                f"install Maven and a JDK, or name the jar in {OWN_JAR}"
            )
        return _fetched(official) or _built(built)


def _fetched(target: Path) -> Path | None:
    """Fetch Beam's official jar; return None if the repository does not have it."""
    artifact = f"org.apache.beam:beam-runners-flink-{FLINK}-job-server:{apache_beam.__version__}"
    folder = target.with_suffix(".part")
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
    _maven(goal, f"-Dartifact={artifact}", f"-DoutputDirectory={folder}", "-Dmdep.useBaseVersion=true")
    found = next(folder.glob("*.jar"), None) if folder.is_dir() else None
    if found is not None:
        found.replace(target)
    shutil.rmtree(folder, ignore_errors=True)
    return target if found is not None else None


def _built(target: Path) -> Path:
    """Build the stand-in: 60 lines of Java, and Beam's Flink runner with its dependencies."""
    work = target.with_suffix(".part")
    shutil.rmtree(work, ignore_errors=True)
    # Maven writes beside the pom, so it gets a copy of the sources.
    shutil.copytree(HERE / "jobserver", work)
    said = _maven("-f", str(work / "pom.xml"), "package")
    jar = work / "target" / "flink-job-server-1.jar"
    if not jar.is_file():
        if _UNREACHABLE.search(said):
            raise Unavailable(
                f"Maven's repository does not answer, so Flink's job server cannot be built: {said[-300:]}"
            )
        raise RuntimeError(f"Flink's job server could not be built:\n{said[-4000:]}")
    jar.replace(target)
    shutil.rmtree(work, ignore_errors=True)
    return target


def _maven(*arguments: str) -> str:
    command = ["mvn", "-B", "-q", "-ntp", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    return done.stdout + done.stderr
