"""Read the files of an untrusted bundle: only inside its folder, and within fixed size limits.

Links are never followed, devices and pipes never opened, and files larger than any model not read.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from edgetune.modules.contracts.bundle import BUNDLE_JSON, CHECKSUMS, SIGNATURE
from edgetune.modules.core import bounds
from edgetune.modules.core.errors import BundleError
from edgetune.modules.core.untrusted_text import printable
from edgetune.modules.storage import filesystem

_BLOCK = 1 << 20
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_AGAIN = "fetch the bundle again from where it was pushed"
_VERSIONS = ("*", "edge/*", "*/edge/*")
_NOT_A_BUNDLE = "this is not an edge bundle: name the folder of one"


def shown(text: object, most: int = 300) -> str:
    """Return an untrusted text for a terminal: one line, no control characters, at most `most` characters."""
    plain = printable(str(text))
    return plain if len(plain) <= most else f"{plain[:most]}..."


def refuse_parent(folder: Path, command: str) -> None:
    """Refuse a folder that has bundles inside, such as `pushed/<name>/edge` or `pushed/<name>`.

    Args:
        folder: What the user named.
        command: What comes before the folder of a bundle in the command to use, such as `edgetune verify`.

    Raises:
        BundleError: It is one; the remedy is the command with the newest version.
    """
    if (folder / BUNDLE_JSON).exists():
        return
    try:
        found = [path.parent for inside in _VERSIONS for path in folder.glob(f"{inside}/{BUNDLE_JSON}")]
    except OSError:  # whoever reads the folder says so
        return
    versions = [path for path in found if filesystem.version_number(path.name) is not None]
    if versions:
        newest = max(versions, key=lambda path: int(path.name))
        more = f" (the newest of {len(versions)})" if len(versions) > 1 else ""
        raise BundleError(
            f"{shown(folder)}: is a folder of bundles, and not one of them",
            f"use `{command} {shlex.quote(shown(newest))}`{more}",
        )


class BundleFiles:
    """The files in a bundle's folder.

    Args:
        folder: Path on this machine.

    Raises:
        BundleError: It is not a folder, cannot be read, or is larger than any bundle.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sizes: dict[str, int] = {}
        """Size in bytes of each regular file, by its path inside the folder, with `/`."""
        self.refused: dict[str, str] = {}
        """Reason why an entry is not read, by its path inside the folder."""
        if "://" in str(folder) or not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise BundleError(
                f"{shown(folder)}: {what}", "name the local folder of one version, which contains bundle.json"
            )
        try:
            self._walk(folder, "", 0)
        except OSError as error:
            raise BundleError(
                f"{shown(error.filename)}: cannot be read: {error.strerror}", "check its permissions"
            ) from None
        if sum(self.sizes.values()) > bounds.MAX_BUNDLE:
            raise BundleError(f"{shown(folder)}: contains more than {bounds.MAX_BUNDLE} bytes", _NOT_A_BUNDLE)

    def read(self, name: str, most: int = bounds.MAX_TEXT) -> bytes:
        """Return the content of a file.

        Raises:
            BundleError: It is missing, not a regular file, larger than `most` bytes, or cannot be read.
        """
        return b"".join(self._blocks(name, most))

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a file's content, in hexadecimal.

        Raises:
            BundleError: As for `read`.
        """
        digest = hashlib.sha256()
        for block in self._blocks(name, bounds.MAX_MODEL):
            digest.update(block)
        return digest.hexdigest()

    def _walk(self, folder: Path, prefix: str, depth: int) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if len(self.sizes) + len(self.refused) >= bounds.MAX_BUNDLE_FILES:
                    raise BundleError(
                        f"{shown(self.folder)}: contains more than {bounds.MAX_BUNDLE_FILES} files", _NOT_A_BUNDLE
                    )
                if entry.is_symlink():
                    self.refused[name] = "is a link, which could point outside the bundle"
                elif entry.is_dir(follow_symlinks=False):
                    if depth + 1 > bounds.MAX_BUNDLE_DEPTH:
                        self.refused[name] = f"is nested more than {bounds.MAX_BUNDLE_DEPTH} folders deep"
                    else:
                        self._walk(Path(entry.path), f"{name}/", depth + 1)
                elif not entry.is_file(follow_symlinks=False):
                    self.refused[name] = "is a device, a pipe or a socket"
                elif (size := entry.stat(follow_symlinks=False).st_size) > bounds.MAX_MODEL:
                    self.refused[name] = f"has {size} bytes, more than any model"
                else:
                    self.sizes[name] = size

    def _blocks(self, name: str, most: int) -> Iterator[bytes]:
        if name not in self.sizes:
            raise BundleError(self.refused.get(name, "is missing"), _AGAIN)
        try:
            # Non-blocking, as opening a pipe that has replaced the file would block forever.
            handle = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise BundleError("is not a regular file", _AGAIN)
                done = 0
                while block := file.read(_BLOCK):
                    done += len(block)
                    if done > most:
                        raise BundleError(f"is larger than the limit of {most} bytes", _AGAIN)
                    yield block
        except OSError as error:
            raise BundleError(f"cannot be read: {error.strerror}", "check its permissions") from None


def checksum_problems(files: BundleFiles) -> list[tuple[str, str, str]]:
    """Compare `SHA256SUMS` with the folder, and return the file, cause and remedy of each difference.

    The signature is the only file that need not be listed, because it signs the list.
    """
    try:
        text = files.read(CHECKSUMS).decode()
    except BundleError as error:
        return [(CHECKSUMS, error.cause, error.remedy)]
    except UnicodeDecodeError:
        return [(CHECKSUMS, "is not UTF-8 text", _AGAIN)]
    listed: dict[str, str] = {}
    found = []
    for number, line in enumerate(text.split("\n")[:-1] if text.endswith("\n") else text.split("\n"), start=1):
        parts = _LINE.fullmatch(line)
        if parts is None:
            found.append((CHECKSUMS, f"line {number} is not a digest and a file name: {shown(line, 80)!r}", _AGAIN))
        elif not _stays_inside(parts[2]):
            cause = f"line {number} names {shown(parts[2], 80)!r}, which is outside the bundle"
            found.append((CHECKSUMS, cause, "do not use this bundle: it has been tampered with"))
        elif parts[2] in listed:
            found.append((CHECKSUMS, f"line {number} names {shown(parts[2], 80)} a second time", _AGAIN))
        else:
            listed[parts[2]] = parts[1]
    for name, digest in listed.items():
        try:
            if files.sha256(name) != digest:
                found.append((name, f"was altered: its digest differs from {CHECKSUMS}", _AGAIN))
        except BundleError as error:
            found.append((name, error.cause, error.remedy))
    for name in sorted({*files.sizes, *files.refused} - set(listed) - {CHECKSUMS, SIGNATURE}):
        cause = f"is not listed in {CHECKSUMS}" + (f" and {why}" if (why := files.refused.get(name)) else "")
        found.append((name, cause, "remove it, or " + _AGAIN))
    found += [(name, files.refused[name], _AGAIN) for name in (CHECKSUMS, SIGNATURE) if name in files.refused]
    return list(dict.fromkeys(found))


def _stays_inside(name: str) -> bool:
    return "\\" not in name and "\0" not in name and all(part not in ("", ".", "..") for part in name.split("/"))
