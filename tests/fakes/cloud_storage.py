"""A fake of Google Cloud Storage, as far as TensorFlow and Beam use it: buckets in memory, and answers to requests.

It follows the reference of the JSON API, https://cloud.google.com/storage/docs/json_api/v1.
`tests.fakes.storage_server` serves it where both look for the real one.
"""

from __future__ import annotations

import email.parser
import json
import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import count
from urllib.parse import parse_qsl, unquote, urlsplit

API, FILES, SIGN_IN = "www.googleapis.com", "storage.googleapis.com", "oauth2.googleapis.com"
"""Hosts of the requests."""
_TOKEN = "the token"
_OBJECT = re.compile(r"/(?:download/)?storage/v1/b/([^/]+)/o/([^/]+)")
_COPY = re.compile(_OBJECT.pattern + r"/(?:rewriteTo|copyTo)/b/([^/]+)/o/([^/]+)")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
_BUCKET = re.compile(r"/storage/v1/b/([^/]+)(/o)?")


@dataclass
class Stored:
    """An object."""

    content: bytes
    generation: int
    """Number that is larger than those of all objects written before."""


@dataclass
class Request:
    """An HTTP request."""

    method: str
    host: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class CloudStorage:
    """Buckets with their objects."""

    def __init__(self, buckets: set[str]) -> None:
        self.buckets = buckets
        self.objects: dict[tuple[str, str], Stored] = {}
        self._refused: list[tuple[str, str]] = []
        self._asked: list[Request] = []
        self._generations = count(1)
        self._uploads: dict[str, tuple[str, str, bytearray]] = {}
        self._lock = threading.RLock()

    def put(self, bucket: str, name: str, content: bytes) -> None:
        """Write an object."""
        self.objects[bucket, name] = Stored(content, next(self._generations))

    def content(self, bucket: str, name: str) -> bytes:
        """Return the content of an object."""
        return self.objects[bucket, name].content

    def refuse(self, bucket: str, ending: str = "") -> None:
        """From now on, reject writes of objects in the bucket whose names have this ending."""
        self._refused.append((bucket, ending))

    def asked(self) -> list[Request]:
        """Return all requests in order."""
        return self._asked

    def names(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the names of the objects in a bucket, ordered by their last write."""
        found = [(one.generation, name) for (at, name), one in self.objects.items() if at == bucket]
        return [name for _, name in sorted(found) if name.startswith(prefix)]

    def answer(self, asked: Request) -> Answer:
        """Process a request."""
        with self._lock:
            self._asked.append(asked)
            if asked.path in ("/oauth2/v4/token", "/token"):
                return self._token(asked)
            if asked.headers.get("authorization") != f"Bearer {_TOKEN}":
                return _refusal(401, "Invalid Credentials")
            if asked.path == "/batch/storage/v1":
                return self._batch(asked)
            if asked.path.startswith("/upload/"):
                return self._upload(asked)
            if match := _COPY.fullmatch(asked.path):
                return self._copy(*map(unquote, match.groups()))
            if match := _OBJECT.fullmatch(asked.path):
                return self._object(asked, *map(unquote, match.groups()))
            if match := _BUCKET.fullmatch(asked.path):
                return self._bucket(asked, unquote(match[1]), whole=match[2] is None)
            if asked.host == FILES and asked.path.count("/") == 2:
                return self._object(asked, *map(unquote, asked.path[1:].split("/")), content=True)
        return _refusal(400, f"not supported: {asked.method} {asked.path}")

    def _token(self, asked: Request) -> Answer:
        if b"assertion=" not in asked.body:
            return _json({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
        return _json({"access_token": _TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    def _bucket(self, asked: Request, bucket: str, *, whole: bool) -> Answer:
        if bucket not in self.buckets:
            return _refusal(404, "The specified bucket does not exist.")
        if whole:
            return _json({"kind": "storage#bucket", "name": bucket, "location": "EUROPE-WEST4"})
        prefix, delimiter = asked.query.get("prefix", ""), asked.query.get("delimiter", "")
        items, prefixes = [], set()
        for name in sorted(self.names(bucket, prefix)):
            rest, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            if found:
                prefixes.add(prefix + rest + found)
            else:
                items.append(self._described(bucket, name))
        most = int(asked.query.get("maxResults") or 1000)
        start = int(asked.query.get("pageToken") or 0)
        page: dict[str, object] = {"kind": "storage#objects", "items": items[start : start + most]}
        if start == 0:
            page["prefixes"] = sorted(prefixes)
        if start + most < len(items):
            page["nextPageToken"] = str(start + most)
        return _json(page)

    def _described(self, bucket: str, name: str) -> dict[str, object]:
        stored = self.objects[bucket, name]
        moment = datetime.fromtimestamp(1_700_000_000 + stored.generation, timezone.utc)
        written = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        generation = str(stored.generation)
        return {
            **{"kind": "storage#object", "bucket": bucket, "name": name, "size": str(len(stored.content))},
            **{"generation": generation, "etag": generation, "updated": written, "timeCreated": written},
        }

    def _object(self, asked: Request, bucket: str, name: str, *, content: bool = False) -> Answer:
        if (bucket, name) not in self.objects:
            return _refusal(404, f"No such object: {bucket}/{name}")
        if asked.method == "DELETE":
            del self.objects[bucket, name]
            return Answer(204)
        if not content and asked.query.get("alt") != "media":
            return _json(self._described(bucket, name))
        stored = self.objects[bucket, name].content
        wanted = (
            re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", "")) if "range" in asked.headers else None
        )
        if wanted is None:
            return Answer(200, stored)
        first, last = int(wanted[1]), min(int(wanted[2] or len(stored)), len(stored) - 1)
        if first >= len(stored):
            return _refusal(416, "Requested range not satisfiable")
        return Answer(206, stored[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(stored)}"})

    def _copy(self, bucket: str, name: str, to: str, new: str) -> Answer:
        if (bucket, name) not in self.objects:
            return _refusal(404, f"No such object: {bucket}/{name}")
        self.put(to, new, self.objects[bucket, name].content)
        return _json({"kind": "storage#rewriteResponse", "done": True, "resource": self._described(to, new)})

    def _upload(self, asked: Request) -> Answer:
        match = _UPLOAD.fullmatch(asked.path)
        bucket = unquote(match[1]) if match else ""
        if bucket not in self.buckets:
            return _refusal(404, "The specified bucket does not exist.")
        if asked.method == "PUT":
            return self._go_on(asked)
        name = asked.query.get("name") or json.loads(asked.body)["name"]
        if any(at == bucket and name.endswith(ending) for at, ending in self._refused):
            return _refusal(403, "someone does not have storage.objects.create access to the object.")
        if asked.query["uploadType"] == "media":
            if asked.query.get("ifGenerationMatch") == "0" and (bucket, name) in self.objects:
                return _refusal(412, "conditionNotMet")
            self.put(bucket, name, asked.body)
            return _json(self._described(bucket, name))
        identifier = str(len(self._uploads))
        self._uploads[identifier] = (bucket, name, bytearray())
        place = f"https://{asked.host}{asked.path}?uploadType=resumable&upload_id={identifier}"
        return Answer(200, headers={"Location": place})  # TensorFlow only finds the header in this spelling

    def _go_on(self, asked: Request) -> Answer:
        bucket, name, received = self._uploads[asked.query["upload_id"]]
        received += asked.body
        if asked.headers.get("content-range", "").endswith("/*"):  # the client does not know the length yet
            return Answer(308, headers={"Range": f"bytes=0-{len(received) - 1}"})
        self.put(bucket, name, bytes(received))
        return _json(self._described(bucket, name))

    def _batch(self, asked: Request) -> Answer:
        """Process several requests in one, each a part of a multipart message, as are the responses."""
        message = email.parser.BytesParser().parsebytes(
            b"Content-Type: " + asked.headers["content-type"].encode() + b"\r\n\r\n" + asked.body
        )
        parts = []
        for part in message.get_payload():
            line, *_ = part.get_payload().lstrip().splitlines()
            method, url, *_ = line.split()
            inner = request_of(method, url, asked.host, asked.headers, b"")
            answer = self.answer(inner)
            head = f"HTTP/1.1 {answer.status} -\r\nContent-Type: application/json\r\nContent-Length: {len(answer.body)}"
            parts.append(f"--of-one\r\nContent-Type: application/http\r\n\r\n{head}\r\n\r\n{answer.body.decode()}\r\n")
        whole = "".join(parts) + "--of-one--"
        return Answer(200, whole.encode(), {"Content-Type": "multipart/mixed; boundary=of-one"})


def request_of(method: str, url: str, host: str, headers: dict[str, str], body: bytes) -> Request:
    """Parse a request; `host` comes from its headers."""
    parts = urlsplit(url)
    return Request(method, parts.netloc or host, parts.path, dict(parse_qsl(parts.query)), headers, body)


def _json(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value, indent=2).encode())  # indented like Google's responses


def _refusal(status: int, message: str) -> Answer:
    return _json({"error": {"code": status, "message": message, "errors": [{"message": message}]}}, status)
