"""The digest of data depends on what they are and how often, and on nothing else."""

from __future__ import annotations

import itertools

from edgetune.modules.storage.digests import DataDigest


def digest(*items: bytes) -> str:
    made = DataDigest()
    for item in items:
        made.add(item)
    return made.hexdigest()


def test_any_order_and_any_parts_give_the_same():
    items = [b"a", b"b", b"b", b""]
    assert len({digest(*some) for some in itertools.permutations(items)}) == 1
    left, right = DataDigest(), DataDigest()
    for item, part in zip(items, (left, right, left, right), strict=True):
        part.add(item)
    left.merge(right)
    assert left.hexdigest() == digest(*items) and len(left.hexdigest()) == 64


def test_other_items_or_other_counts_give_another():
    found = [digest(), digest(b""), digest(b"a"), digest(b"a", b"a"), digest(b"a", b"b"), digest(b"ab")]
    assert len(set(found)) == len(found)
