"""Sign a bundle or a SavedModel with a local key, and check the signature, with sigstore's command `model_signing`.

It is called as a command and not imported, because it cannot be installed alongside TFX 1.16: model-signing 1.1.1 needs
sigstore 4, whose `tuf` needs urllib3 2, and TFX's kfp requires urllib3 below 2. Neither the network nor a transparency
log is used, only the key.

The signature is `model.sig` inside the folder, the tool's default name, so that anyone can check it without edgetune.
It covers all other files including `SHA256SUMS`, so `SHA256SUMS` cannot list it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgetune.modules.bundle.files import BundleFiles, shown
from edgetune.modules.contracts.bundle import SIGNATURE
from edgetune.modules.core.errors import BundleError, ConfigError, PushError

TOOL = "model_signing"
INSTALL = "python3 -m venv ~/model-signing && ~/model-signing/bin/pip install model-signing==1.1.1 pyopenssl"
"""Installs it into a separate environment. 1.1.1 imports pyopenssl but does not declare the dependency."""
_TIMEOUT = 600  # seconds: enough to hash some gigabytes from a slow disk


@dataclass(frozen=True)
class Trust:
    """Whose signature a bundle or a SavedModel must have before anything in it is believed.

    A signature that is there and was not checked is not success: who alters a signed folder can make its digests right
    again, but not the signature. So a signed folder needs the key, or the word that its signature does not count.
    """

    public_key: Path | None = None
    """PEM file of the key that must have signed; None if a folder need not be signed."""
    tool: str = TOOL
    """Name or path of the command that checks signatures."""
    ignore: bool = False
    """Whether a signature is not checked."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant together."""
        if self.ignore and self.public_key is not None:
            raise ConfigError("--ignore-signature and --public-key exclude each other", "leave out one of them")

    def check(self, folder: Path) -> None:
        """Check a folder.

        Raises:
            BundleError: It is not signed with the key, or it is signed, there is no key, and the signature counts.
            ConfigError: The key does not exist, or the tool is not installed.
        """
        if self.public_key is not None:
            require_signature(BundleFiles(folder), self.public_key, self.tool)
        elif not self.ignore and os.path.lexists(folder / SIGNATURE):
            raise BundleError(
                "the folder is signed, and its signature was not checked",
                "pass the key of its maker as --public-key FILE, or --ignore-signature",
            )

    def require(self, folder: Path) -> None:
        """Check a folder as `check` does, with an error that names it."""
        try:
            self.check(folder)
        except BundleError as error:
            raise BundleError(f"{shown(folder)}: {error.cause}", error.remedy) from None


NO_KEY = Trust()
"""A signed folder is refused, and any other is taken."""


def check_signer(key: str, tool: str = TOOL) -> None:
    """Sign a temporary folder, so that an unusable key or tool is reported before hours of training.

    Args:
        key: Path of an unencrypted PEM file with an elliptic-curve private key (P-256, P-384 or P-521).
        tool: Name or path of the command.

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
    """Write the signature of all files in a folder into it; call this last.

    Args:
        folder: The folder of a bundle or of a SavedModel, which servers read in spite of the further file.
        key: As for `check_signer`.
        tool: As for `check_signer`.

    Raises:
        ConfigError: The tool is not installed.
        PushError: It could not sign.
    """
    if reason := _call(tool, "push.sign_tool", _signing(folder, key)):
        raise PushError(f"the model could not be signed with {key}: {reason}", "correct push.sign_key, and run again")


def check_signature(folder: Path, public_key: Path, tool: str = TOOL) -> None:
    """Check a bundle's signature.

    Args:
        folder: The bundle's folder, which must not contain links.
        public_key: PEM file with the public key.
        tool: As for `check_signer`.

    Raises:
        ConfigError: The public key does not exist, or the tool is not installed.
        BundleError: The signature was made with another key or for other files.
    """
    _existing(str(public_key), "--public-key", f"{public_key}: there is no such key")
    where = ["--signature", str(folder.absolute() / SIGNATURE), "--no-ignore-git-paths"]
    arguments = ["verify", "key", "--public_key", str(public_key.absolute()), *where, str(folder.absolute())]
    if reason := _call(tool, "--sign-tool", arguments):
        raise BundleError(
            f"is not a signature of these files with this key: {reason}",
            "fetch the bundle again; if this error remains, ask its maker for the right public key, or do not use it",
        )


def require_signature(files: BundleFiles, public_key: Path, tool: str = TOOL) -> None:
    """Check that a bundle is signed with a key, otherwise as `check_signature`.

    Args:
        files: The bundle's files.
        public_key: As for `check_signature`.
        tool: As for `check_signer`.

    Raises:
        BundleError: Also if there is no signature, or an entry of the folder that is not a regular file.
        ConfigError: As for `check_signature`.
    """
    if SIGNATURE not in files.sizes:
        remedy = "ask the bundle's maker for a signed one (push.sign_key)"
        raise BundleError(files.refused.get(SIGNATURE, "the bundle is not signed"), remedy)
    if files.refused:
        raise BundleError(
            "cannot be checked: the folder contains links or other entries that are not regular files",
            "fetch the bundle again",
        )
    check_signature(files.folder, public_key, tool)


def _signing(folder: Path, key: str) -> list[str]:
    where = ["--signature", str(folder.absolute() / SIGNATURE), "--no-ignore-git-paths"]
    return ["sign", "key", "--private_key", str(Path(key).absolute()), *where, str(folder.absolute())]


def _existing(path: str, option: str, cause: str) -> None:
    if not Path(path).is_file():
        raise ConfigError(cause, f"correct {option}")


def _call(tool: str, option: str, arguments: list[str]) -> str | None:
    """Run the tool, and return its error message if it failed."""
    missing = f"install it in a separate environment: {INSTALL}; then set {option} to ~/model-signing/bin/{TOOL}"
    command = shutil.which(str(Path(tool).expanduser()))
    if command is None:
        raise ConfigError(f"{tool}: the signing tool is not installed", missing)
    try:
        done = subprocess.run(
            [command, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except OSError as error:
        raise ConfigError(f"{tool}: cannot be run: {error.strerror}", missing) from None
    except subprocess.TimeoutExpired:
        return f"it did not finish in {_TIMEOUT} seconds"
    if done.returncode == 0:
        return None
    output = (done.stderr + b"\n" + done.stdout).decode(errors="replace")
    lines = [line.strip() for line in output.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
    if b"Traceback (most recent call last)" in done.stderr:
        raise ConfigError(f"{tool}: does not work: {_tail(done.stderr.decode(errors='replace'))}", missing)
    return lines[0].partition("error: ")[2][:300] or lines[0][:300]


def _tail(text: str) -> str:
    return ([line.strip() for line in text.splitlines() if line.strip()] or ["no error message"])[-1][:300]
