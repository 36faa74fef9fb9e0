"""The digest of data depends only on its items and how often each occurs."""

from __future__ import annotations

import itertools

from edgetune.modules.storage.digests import DataDigest, digest_of


def digest(*items: bytes) -> str:
    made = DataDigest()
    for item in items:
        made.add(item)
    return made.hexdigest()


def test_order_and_merging_do_not_change_the_digest():
    items = [b"a", b"b", b"b", b""]
    assert len({digest(*some) for some in itertools.permutations(items)}) == 1
    left, right = DataDigest(), DataDigest()
    for item, part in zip(items, (left, right, left, right), strict=True):
        part.add(item)
    left.merge(right)
    assert left.hexdigest() == digest(*items) and len(left.hexdigest()) == 64


def test_other_items_or_counts_change_the_digest():
    found = [digest(), digest(b""), digest(b"a"), digest(b"a", b"a"), digest(b"a", b"b"), digest(b"ab")]
    assert len(set(found)) == len(found)


def test_the_digest_of_files_depends_on_names_and_contents():
    files = {"a": "1" * 64, "b": "2" * 64}
    assert digest_of(files) == digest_of(dict(reversed(files.items())))
    others = [{"a": "2" * 64, "b": "1" * 64}, {"a": "1" * 64, "c": "2" * 64}, {"a": "1" * 64}]
    assert len({digest_of(each) for each in (files, *others)}) == 4
