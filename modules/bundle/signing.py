"""The optional signature of an edge bundle, with a local key: by sigstore's `model_signing`, a tool of its own.

It is called as a command and not imported, because it cannot be installed beside TFX 1.16: model-signing 1.1.1 needs
sigstore 4, whose `tuf` needs urllib3 2, and TFX's kfp holds urllib3 below 2. No network is used and no log of
transparency: the key is all there is.

The signature is `model.sig` inside the bundle, under the name that the tool takes by default, so that anyone can check
it without edgetune. It covers every other file, `SHA256SUMS` too; so `SHA256SUMS` cannot list it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from edgetune.modules.contracts.bundle import SIGNATURE
from edgetune.modules.core.errors import BundleError, ConfigError, PushError

TOOL = "model_signing"
INSTALL = "python3 -m venv ~/model-signing && ~/model-signing/bin/pip install model-signing==1.1.1 pyopenssl"
"""In an environment of its own. 1.1.1 imports pyopenssl without asking for it."""
_TIMEOUT = 600  # seconds: hashing some gigabytes from a slow disk


def check_signer(key: str, tool: str = TOOL) -> None:
    """Signs a scratch folder, so that a key or a tool that cannot sign is found before hours of training.

    Args:
        key: Path of a private key on an elliptic curve (P-256, P-384 or P-521), PEM, not encrypted.
        tool: The command, by name or path.

    Raises:
        ConfigError: The key or the tool cannot be used.
    """
    _existing(key, "push.sign_key", f"{key}: there is no such private key")
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        Path(folder, "file").write_text("signed in trial\n")
        if reason := _call(tool, "push.sign_tool", _signing(Path(folder), key)):
            remedy = "give an unencrypted key made by `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`"
            raise ConfigError(f"push.sign_key {key}: {tool} cannot sign with it: {reason}", remedy)


def sign(folder: Path, key: str, tool: str = TOOL) -> None:
    """Writes the signature of all files in a bundle; called last.

    Args:
        folder: The bundle.
        key: As for `check_signer`.
        tool: As for `check_signer`.

    Raises:
        ConfigError: The tool is not there.
        PushError: It could not sign.
    """
    if reason := _call(tool, "push.sign_tool", _signing(folder, key)):
        raise PushError(f"the bundle could not be signed with {key}: {reason}", "correct push.sign_key, and run again")


def check_signature(folder: Path, public_key: Path, tool: str = TOOL) -> None:
    """Checks a bundle's signature.

    Args:
        folder: The bundle, of which nothing is a link.
        public_key: PEM file of the key that belongs to the private one.
        tool: As for `check_signer`.

    Raises:
        ConfigError: The public key or the tool is not there.
        BundleError: The signature is of another key, or of other files.
    """
    _existing(str(public_key), "--public-key", f"{public_key}: there is no such key")
    where = ["--signature", str(folder.absolute() / SIGNATURE), "--no-ignore-git-paths"]
    arguments = ["verify", "key", "--public_key", str(public_key.absolute()), *where, str(folder.absolute())]
    if reason := _call(tool, "--sign-tool", arguments):
        raise BundleError(
            f"does not sign these files with this key: {reason}",
            "fetch the bundle again; if it stays so, do not use it, or ask its maker for the right public key",
        )


def _signing(folder: Path, key: str) -> list[str]:
    where = ["--signature", str(folder.absolute() / SIGNATURE), "--no-ignore-git-paths"]
    return ["sign", "key", "--private_key", str(Path(key).absolute()), *where, str(folder.absolute())]


def _existing(path: str, option: str, cause: str) -> None:
    if not Path(path).is_file():
        raise ConfigError(cause, f"correct {option}")


def _call(tool: str, option: str, arguments: list[str]) -> str | None:
    """Why the tool failed, in its own last words; None where it did not."""
    missing = f"install it, in an environment of its own: {INSTALL}; then {option} ~/model-signing/bin/{TOOL}"
    command = shutil.which(str(Path(tool).expanduser()))
    if command is None:
        raise ConfigError(f"{tool}: the tool for signatures is not installed", missing)
    try:
        done = subprocess.run(
            [command, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except OSError as error:
        raise ConfigError(f"{tool}: cannot be run: {error.strerror}", missing) from None
    except subprocess.TimeoutExpired:
        return f"no answer in {_TIMEOUT} seconds"
    if done.returncode == 0:
        return None
    said = (done.stderr + b"\n" + done.stdout).decode(errors="replace")
    lines = [line.strip() for line in said.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
    if b"Traceback (most recent call last)" in done.stderr:
        raise ConfigError(f"{tool}: does not work: {_tail(done.stderr.decode(errors='replace'))}", missing)
    return lines[0].partition("error: ")[2][:300] or lines[0][:300]


def _tail(text: str) -> str:
    return ([line.strip() for line in text.splitlines() if line.strip()] or ["it said nothing"])[-1][:300]
