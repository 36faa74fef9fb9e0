"""A digest of data in whatever order and number of files, made piece by piece and held in 32 bytes."""

from __future__ import annotations

import hashlib

_MODULUS = 2**256


class DataDigest:
    """The sum of the SHA-256 of all items, modulo 2^256: equal for the same items, each as often, in any order.

    Args:
        value: The sum so far.
    """

    def __init__(self, value: int = 0) -> None:
        self._value = value

    def add(self, item: bytes) -> None:
        """One more item."""
        self._value = (self._value + int.from_bytes(hashlib.sha256(item).digest(), "big")) % _MODULUS

    def merge(self, other: DataDigest) -> None:
        """All items of another one."""
        self._value = (self._value + other._value) % _MODULUS

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return f"{self._value:064x}"
