"""A signature is valid for these files and this key only, and errors say what to do."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
import tensorflow as tf
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from edgetune.modules.bundle import signing
from edgetune.modules.bundle.predict import open_model
from edgetune.modules.bundle.verify import verify
from edgetune.modules.core.errors import BundleError, ConfigError, PushError
from tests.clients.environments import Client, Unavailable, interpreter
from tests.tiny import bundle, edge

MODEL_SIGNING = Client("model-signing", ("3.10", "3.11", "3.12", "3.13"))


@pytest.fixture(scope="module")
def tool() -> str:
    """Return the real command, installed in a separate environment."""
    try:
        return str(interpreter(MODEL_SIGNING).with_name("model_signing"))
    except Unavailable as error:
        pytest.skip(str(error))


def write_keys(folder: Path, name: str, key=None, password: bytes | None = None) -> tuple[str, Path]:
    """Write a private and a public key as PEM files."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(pem, pkcs8, encryption))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return str(private), public


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> tuple[str, Path]:
    return write_keys(tmp_path_factory.mktemp("keys"), "mine")


@pytest.fixture(scope="module")
def signed(tool, keys, tmp_path_factory) -> Path:
    folder = shutil.copytree(bundle.bundle(), tmp_path_factory.mktemp("signed") / "bundle")
    signing.sign(folder, keys[0], tool)
    return folder


def outcome(folder: Path, public_key: Path, tool: str) -> tuple[str, str]:
    [check] = [check for check in verify(folder, signing.Trust(public_key, tool)) if check.file == "model.sig"]
    return check.outcome, check.text


def test_a_signed_bundle_is_verified_with_its_key_and_no_other(signed, keys, tool, tmp_path):
    assert [check for check in verify(signed, signing.Trust(keys[1], tool)) if check.outcome != "ok"] == []
    _, other = write_keys(tmp_path, "other")
    assert outcome(signed, other, tool)[0] == "failed"
    with pytest.raises(BundleError, match="is not a signature of these files with this key"):
        signing.check_signature(signed, other, tool)


@pytest.mark.parametrize("name", ["labels.txt", "SHA256SUMS", ".gitignore"])
def test_no_file_can_be_changed_or_added_after_signing(signed, keys, tool, tmp_path, name):
    copy = shutil.copytree(signed, tmp_path / "copy")
    with (copy / name).open("a") as file:
        file.write("more\n")
    with pytest.raises(BundleError, match="is not a signature of these files"):
        signing.check_signature(copy, keys[1], tool)


def test_a_damaged_signature_is_rejected(signed, keys, tool, tmp_path):
    copy = shutil.copytree(signed, tmp_path / "copy")
    (copy / "model.sig").write_text("{}")
    assert outcome(copy, keys[1], tool)[0] == "failed"
    with pytest.raises(BundleError, match="is not a signature of these files with this key"):
        open_model(copy, trust=signing.Trust(keys[1], tool))


def test_a_model_is_opened_only_if_its_bundle_is_signed_with_the_key(signed, keys, tool, tmp_path):
    assert open_model(signed, trust=signing.Trust(keys[1], tool)).labels == ["blue", "green", "red"]
    _, other = write_keys(tmp_path, "other")
    with pytest.raises(BundleError, match="is not a signature of these files with this key"):
        open_model(signed, trust=signing.Trust(other, tool))


@pytest.mark.large
def test_a_saved_model_is_signed_like_a_bundle(keys, tool, tmp_path):
    folder = Path(shutil.copytree(edge.saved_model(), tmp_path / "1"))
    signing.sign(folder, keys[0], tool)
    signing.check_signature(folder, keys[1], tool)
    assert tf.saved_model.load(str(folder)).signatures["serving_default"]
    with (folder / "assets" / "labels.txt").open("a") as file:
        file.write("more\n")
    with pytest.raises(BundleError, match="is not a signature of these files"):
        signing.check_signature(folder, keys[1], tool)


def test_an_unsigned_bundle_fails_if_a_public_key_is_given(keys):
    assert outcome(bundle.bundle(), keys[1], "no-tool-is-needed-for-that") == (
        "failed",
        "the bundle is not signed",
    )


def test_a_key_that_can_sign_is_accepted_in_advance(keys, tool):
    signing.check_signer(keys[0], tool)


def test_a_key_that_cannot_sign_is_rejected_in_advance(tool, tmp_path):
    encrypted, _ = write_keys(tmp_path, "encrypted", password=b"secret")
    of_rsa, _ = write_keys(tmp_path, "rsa", rsa.generate_private_key(65537, 2048))
    (tmp_path / "no.pem").write_text("no key")
    for key in (encrypted, of_rsa, str(tmp_path / "no.pem")):
        with pytest.raises(ConfigError, match="cannot sign with it") as caught:
            signing.check_signer(key, tool)
        assert "prime256v1" in caught.value.remedy
        with pytest.raises(PushError, match="could not be signed"):
            signing.sign(tmp_path, key, tool)


def test_missing_keys_and_tools_are_named_with_the_install_command(keys, tmp_path):
    with pytest.raises(ConfigError, match="there is no such private key"):
        signing.check_signer(str(tmp_path / "absent.pem"))
    with pytest.raises(ConfigError, match="there is no such key"):
        signing.check_signature(tmp_path, tmp_path / "absent.pub")
    with pytest.raises(ConfigError, match="the signing tool is not installed") as caught:
        signing.check_signer(keys[0], "no-such-tool")
    assert signing.INSTALL in caught.value.remedy and "push.sign_tool" in caught.value.remedy


def test_an_incomplete_installation_is_distinguished_from_a_bad_key(keys, tmp_path):
    broken = tmp_path / "model_signing"
    broken.write_text(
        "#!/bin/sh\necho 'Traceback (most recent call last):' >&2\necho 'No module named x' >&2\nexit 1\n"
    )
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(ConfigError, match="does not work: No module named x") as caught:
        signing.check_signer(keys[0], str(broken))
    assert signing.INSTALL in caught.value.remedy


def calling(folder: Path, code: int = 0) -> tuple[str, Path]:
    """Return a command that writes its arguments, one a line, and ends with a code; and the file that it writes."""
    command, said = folder / "tool", folder / "said"
    command.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {said}\necho 'error: no' >&2\nexit {code}\n")
    command.chmod(0o755)
    return str(command), said


def test_the_tool_is_called_for_all_files_of_the_folder(keys, tmp_path):
    tool, said = calling(tmp_path)
    folder = tmp_path / "bundle"
    where = ["--signature", f"{folder}/model.sig", "--no-ignore-git-paths", str(folder)]
    signing.sign(folder, keys[0], tool)
    assert said.read_text().splitlines() == ["sign", "key", "--private_key", keys[0], *where]
    signing.check_signature(folder, keys[1], tool)
    assert said.read_text().splitlines() == ["verify", "key", "--public_key", str(keys[1]), *where]


def test_a_tool_that_fails_has_neither_signed_nor_verified(keys, tmp_path):
    tool, _ = calling(tmp_path, 1)
    with pytest.raises(PushError, match="could not be signed with .*: no"):
        signing.sign(tmp_path, keys[0], tool)
    with pytest.raises(BundleError, match="is not a signature of these files with this key: no"):
        signing.check_signature(tmp_path, keys[1], tool)


def test_a_signed_bundle_fails_without_its_key(tmp_path):
    signed = shutil.copytree(bundle.bundle(), tmp_path / "bundle")
    (signed / "model.sig").write_text("{}")
    found = {check.text: check.outcome for check in verify(signed) if check.file == "model.sig"}
    assert found == {"the folder is signed, and its signature was not checked": "failed"}
