"""Order-independent digests of data, and digests of folders."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from edgetune.modules.storage.filesystem import blocks, files_of

_MODULUS = 2**256
# TensorFlow's record of when and by which process a SavedModel was written, which differs between equal models.
_FINGERPRINT_FILE = "fingerprint.pb"


class DataDigest:
    """Sum of the SHA-256 of all items, modulo 2^256: the same for the same multiset of items, in any order.

    Args:
        value: The sum so far.
    """

    def __init__(self, value: int = 0) -> None:
        self._value = value

    def add(self, item: bytes) -> None:
        """Add one item."""
        self._value = (self._value + int.from_bytes(hashlib.sha256(item).digest(), "big")) % _MODULUS

    def merge(self, other: DataDigest) -> None:
        """Add all items of another digest."""
        self._value = (self._value + other._value) % _MODULUS

    def hexdigest(self) -> str:
        """Return the digest as 64 hexadecimal digits."""
        return f"{self._value:064x}"


def file_digests(folder: str) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder, local or a URL, as 64 hexadecimal digits, by relative path, sorted.

    Raises:
        OSError: A file cannot be read.
    """
    return {name: file_digest(f"{folder}/{name}") for name in files_of(folder)}


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file, local or a URL, as 64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    content = hashlib.sha256()
    for block in blocks(path):
        content.update(block)
    return content.hexdigest()


def folder_digest(folder: str, skip: Collection[str] = (_FINGERPRINT_FILE,)) -> str:
    """Return the SHA-256 of the relative paths and contents of a folder's files, as 64 hexadecimal digits.

    Args:
        folder: Local or a URL.
        skip: Relative paths of files that do not count.

    Raises:
        OSError: A file cannot be read.
    """
    return digest_of({name: file_digest(f"{folder}/{name}") for name in files_of(folder) if name not in skip})


def digest_of(files: Mapping[str, str]) -> str:
    """Return the `folder_digest` of files whose SHA-256 is known, by relative path."""
    total = hashlib.sha256()
    for name, digest in sorted(files.items()):
        total.update(name.encode() + b"\0" + bytes.fromhex(digest))
    return total.hexdigest()
