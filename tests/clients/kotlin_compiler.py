"""Kotlin's compiler and the libraries that the Android project is compiled against, from Maven, kept for the next run.

`kotlin/pom.xml` names them, in exact versions. What Maven's central repository does not have (Android, CameraX,
MediaPipe, LiteRT 2) is in `kotlin/stubs`: declarations without anything behind them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tests.clients.environments import Unavailable, locked

HERE = Path(__file__).resolve().parent / "kotlin"
KEPT = HERE.parents[2] / ".maven-clients"
_LIBRARIES = ("json", "junit", "hamcrest", "tensorflow", "kotlin-stdlib")
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_UNREACHABLE = re.compile(r"Could not transfer|Unknown host|UnknownHost|Connection refused|timed out", re.I)
# Compiling once takes less time with the first compiler of the JVM alone.
_JAVA = ("java", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def jars() -> Path:
    """Return the folder of all jars.

    Raises:
        Unavailable: Maven or Java is missing, or the repository does not answer.
        RuntimeError: Maven fails otherwise.
    """
    if shutil.which("mvn") is None or shutil.which("java") is None:
        raise Unavailable("the Kotlin compiler is fetched with Maven and run by Java, and `mvn` or `java` is missing")
    pom = HERE / "pom.xml"
    folder = KEPT / hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    KEPT.mkdir(exist_ok=True)
    with locked(KEPT / "kotlin.lock"):
        if not folder.is_dir():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            command = ["mvn", "-B", "-q", "-ntp", "-f", str(pom), _COPY, f"-DoutputDirectory={part}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            if done.returncode:
                said = (done.stdout + done.stderr).strip()
                if _UNREACHABLE.search(said):
                    raise Unavailable(f"Maven's repository does not answer: {said[-300:]}")
                raise RuntimeError(f"Maven could not fetch the Kotlin compiler:\n{said[-2000:]}")
            for archive in part.glob("*.aar"):
                with zipfile.ZipFile(archive) as file:
                    archive.with_suffix(".jar").write_bytes(file.read("classes.jar"))
            part.rename(folder)
    return folder


def compile_kotlin(files: Sequence[Path], target: Path) -> str:
    """Compile files, with warnings as errors, and return the class path of the result.

    Raises:
        Unavailable: As for `jars`.
        AssertionError: They do not compile; the message is the compiler's.
    """
    folder = jars()
    names = [str(jar) for jar in sorted(folder.glob("*.jar")) if jar.name.startswith(_LIBRARIES)]
    options = ["-no-stdlib", "-no-reflect", "-jvm-target", "17", "-Werror", "-cp", os.pathsep.join(names)]
    compiler = [*_JAVA, "-cp", f"{folder}/*", "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", *options]
    done = subprocess.run(
        [*compiler, "-d", str(target), *map(str, files)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return os.pathsep.join([str(target), *names])


def java(class_path: str, main: str, *arguments: str, given: bytes = b"") -> bytes:
    """Run a class, and return what it writes to standard output.

    Raises:
        AssertionError: It did not end with 0.
    """
    command = [*_JAVA, "-cp", class_path, main, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout
