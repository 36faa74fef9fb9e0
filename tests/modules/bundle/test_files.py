"""Reading a bundle never leaves its folder or its size limits, and every file must match the list of digests."""

from __future__ import annotations

import os
import shutil

import pytest

from edgetune.modules.bundle import files as bundle_files
from edgetune.modules.bundle.files import BundleFiles, checksum_problems, shown
from edgetune.modules.bundle.write import write_checksums
from edgetune.modules.core import bounds
from edgetune.modules.core.errors import BundleError
from tests.tiny import bundle as tiny_bundle


@pytest.fixture
def bundle(tmp_path):
    return shutil.copytree(tiny_bundle.bundle(), tmp_path / "bundle")


def problems(bundle) -> list[tuple[str, str]]:
    return [(file, cause) for file, cause, _ in checksum_problems(BundleFiles(bundle))]


def test_a_bundle_as_it_was_pushed_has_no_problems(bundle):
    assert problems(bundle) == []


def test_missing_altered_and_unlisted_files_are_all_named(bundle):
    (bundle / "labels.txt").unlink()
    (bundle / "golden" / "00.png").write_bytes(b"other")
    (bundle / "golden" / ".hidden").write_bytes(b"")
    assert sorted(problems(bundle)) == [
        ("golden/.hidden", "is not listed in SHA256SUMS"),
        ("golden/00.png", "was altered: its digest differs from SHA256SUMS"),
        ("labels.txt", "is missing"),
    ]


def test_a_missing_or_unreadable_list_is_the_only_problem_reported(bundle):
    (bundle / "SHA256SUMS").unlink()
    assert problems(bundle) == [("SHA256SUMS", "is missing")]
    (bundle / "SHA256SUMS").write_bytes(b"\xff\xfe")
    assert problems(bundle) == [("SHA256SUMS", "is not UTF-8 text")]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "golden/../../secret", "a//b", "./labels.txt", "a\\b"])
def test_a_path_outside_the_folder_is_rejected_and_not_read(bundle, name, monkeypatch):
    (bundle.parent / "secret").write_text("mine")
    with (bundle / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    opened = []
    monkeypatch.setattr(
        bundle_files.os, "open", lambda path, *rest, real=os.open: opened.append(path) or real(path, *rest)
    )
    [(file, cause)] = problems(bundle)
    assert file == "SHA256SUMS" and "which is outside the bundle" in cause
    assert opened and all(str(path).startswith(str(bundle)) and ".." not in str(path) for path in opened)


def test_malformed_lines_and_repeated_names_are_reported(bundle):
    lines = (bundle / "SHA256SUMS").read_text()
    (bundle / "SHA256SUMS").write_text(lines + "hello\n" + lines.splitlines()[0] + "\n")
    found = problems(bundle)
    assert [file for file, _ in found] == ["SHA256SUMS", "SHA256SUMS"]
    assert "is not a digest and a file name: 'hello'" in found[0][1] and "a second time" in found[1][1]


def test_links_and_pipes_are_reported_and_never_followed(bundle):
    (bundle.parent / "labels.txt").write_bytes((bundle / "labels.txt").read_bytes())
    (bundle / "labels.txt").unlink()
    (bundle / "labels.txt").symlink_to(bundle.parent / "labels.txt")
    (bundle / "extra").symlink_to(bundle.parent)
    os.mkfifo(bundle / "pipe")
    found = dict(problems(bundle))
    assert found["labels.txt"] == "is a link, which could point outside the bundle"
    assert found["extra"].endswith("and is a link, which could point outside the bundle")
    assert found["pipe"].endswith("and is a device, a pipe or a socket")


def test_a_file_larger_than_any_model_is_not_read(bundle):
    with (bundle / "model_float32.tflite").open("wb") as file:
        file.truncate(1 << 40)  # a sparse file takes no disk space
    assert problems(bundle) == [("model_float32.tflite", f"has {1 << 40} bytes, more than any model")]


def test_a_folder_that_is_not_a_bundle_is_rejected(bundle, tmp_path, monkeypatch):
    with pytest.raises(BundleError, match="does not exist"):
        BundleFiles(tmp_path / "nothing")
    with pytest.raises(BundleError, match="is not a folder"):
        BundleFiles(bundle / "labels.txt")
    monkeypatch.setattr(bounds, "MAX_BUNDLE_FILES", 5)
    with pytest.raises(BundleError, match="contains more than 5 files"):
        BundleFiles(bundle)


def test_a_file_is_read_up_to_its_size_limit_only(bundle):
    files = BundleFiles(bundle)
    assert files.read("labels.txt").decode().splitlines() == ["blue", "green", "red"]
    with pytest.raises(BundleError, match="is larger than the limit of 3 bytes"):
        files.read("labels.txt", 3)


def test_the_signature_need_not_be_listed(bundle):
    (bundle / "model.sig").write_text("{}")
    assert problems(bundle) == []
    write_checksums(bundle)  # a list that is written later may name it
    assert problems(bundle) == []


def test_untrusted_text_cannot_control_the_terminal():
    assert shown("a\x1b[2Jb\nc\udcff") == "a\\x1b[2Jb\\nc\\udcff"
    assert shown("x" * 400) == "x" * 300 + "..."
