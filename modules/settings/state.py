"""Where a run keeps what it makes and its records, on this machine or elsewhere."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import AfterValidator, Field, PlainSerializer

from edgetune.modules.settings.base import Settings

METADATA_PORTS = {"postgresql": 5432, "mysql": 3306}
"""Kinds of servers that ML Metadata keeps its records on, and their usual ports."""
TLS_OPTIONS = {
    "postgresql": ("sslmode", "sslcert", "sslkey", "sslrootcert"),
    "mysql": ("ssl_cert", "ssl_key", "ssl_ca"),
}
"""What may follow the `?` of such a server's URL."""


def without_password(url: str) -> str:
    """The URL with `***` for its password, for people and files."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))


def _checked(url: str) -> str:
    """Says what is wrong without repeating the URL, which may hold a password."""
    forms = " or ".join(f"{kind}://user@host:{port}/database" for kind, port in METADATA_PORTS.items())
    try:
        parts = urlsplit(url)
        problem = _problem(parts)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:  # whose message may quote a part of the password
        problem = "it cannot be read: write what is special in a name or password as %XX"
    if problem:
        raise ValueError(f"{problem}; it must be of the form {forms}")
    return url


def _problem(parts: SplitResult) -> str:
    if parts.scheme not in METADATA_PORTS:
        return "it names no kind of server that is known"
    if not parts.hostname or not parts.username:
        return "it names no host" if not parts.hostname else "it names no user"
    if not parts.path.strip("/") or "/" in parts.path.strip("/") or parts.fragment:
        return "it names no database"
    keys = [option.partition("=")[0] for option in parts.query.split("&") if option]
    allowed = TLS_OPTIONS[parts.scheme]
    unknown = [key for key in keys if key not in allowed]
    return f"the option {unknown[0]} is none of {', '.join(allowed)}" if unknown else ""


class StateSettings(Settings):
    """Where a run keeps its artifacts and its records; by default in the workdir."""

    root: Annotated[str, Field(min_length=1)] | None = None
    """Folder or URL (`gs://...`, `s3://...`) of all pipelines' artifacts, each in a folder of its name; null for
    `<workdir>/tfx_pipeline_output`."""
    metadata: Annotated[str, AfterValidator(_checked), PlainSerializer(without_password)] | None = Field(
        default=None, repr=False
    )
    """Server of ML Metadata, such as `postgresql://user@host:5432/database` or `mysql://...`, with the password in the
    environment variable EDGETUNE_METADATA_PASSWORD; null for a file in the workdir."""
