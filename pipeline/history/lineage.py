"""Trace a bundle or a version: data, configuration, code, library versions, executions, verdicts, what it replaced."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgetune.components.common import names
from edgetune.modules.bundle.files import BundleFiles, shown
from edgetune.modules.contracts.bundle import BUNDLE_JSON, CHECKSUMS, parse_bundle
from edgetune.modules.core import bounds
from edgetune.modules.core.errors import BundleError, ConfigError, PushError
from edgetune.modules.core.library_versions import KEY
from edgetune.modules.evaluation.gates import from_json
from edgetune.modules.release import marker
from edgetune.modules.release.marker import Release
from edgetune.modules.release.release import Places, altered
from edgetune.modules.settings.run import RunSettings
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.digests import digest_of
from edgetune.pipeline.history.runs import utc
from edgetune.pipeline.local import places
from edgetune.pipeline.metadata.releases import find
from edgetune.pipeline.metadata.store import connection, open_store


def lineage(settings: RunSettings, workdir: Path, what: str) -> dict[str, Any]:
    """Return where a version came from, as JSON values.

    Args:
        settings: The configuration, for the name of the pipeline and its places.
        workdir: Of the runs.
        what: The folder or URL of a bundle, or the number of a version.

    Returns:
        `bundle`, its folder, and `version`, `released` (UTC, ISO 8601), `rollback_to`, `replaced` (the version before
        it, None if none has a marker), `digests` (SHA-256 of all files, by model) and `altered` (bundle files that are
        not as they were released): None if the bundle is of no release that is known here. `data`: `digest`, and
        `images` by class by split; `configuration`, `saved_model`, `weights` and `test_data`: digests; `code`: digests
        by step; `versions`: library versions by step; `gates`, as in `bundle.json`. `executions`, the oldest first:
        `component`, `execution` (its id in ML Metadata), `run`, `started`, `seconds`, `blessed` (None if it is not a
        gate), `code_digest`, `library_versions` and `properties`; empty if ML Metadata does not have the version.

    Raises:
        BundleError: This is not a bundle, or its `bundle.json` is not valid.
        ConfigError: There is no such version.
    """
    workdir = workdir.resolve()
    pushed = places.pushed(settings, workdir)
    folder = what.rstrip("/")
    if what.isdecimal() and not filesystem.exists(what):
        folder = f"{pushed.of()[marker.EDGE]}/{what}"
        if not filesystem.exists(f"{folder}/{BUNDLE_JSON}"):
            raise ConfigError(f"{what}: there is no such version in {pushed.edge}", "`edgetune runs` lists them")
    content = _bundle(folder)
    origin = _mapping(content.get("lineage"))
    release, released = _release_of(folder, pushed)
    before = [version for version in released if release and version < release.version]
    return {
        "bundle": folder,
        "version": release and release.version,
        "released": release and release.created,
        "rollback_to": release and release.rollback_to,
        "replaced": before[-1] if before else None,
        "digests": release and {name: digest_of(part.files) for name, part in release.parts().items()},
        "altered": release and _altered(folder, release.edge.files),
        "data": {"digest": origin.get("data_digest"), "images": content.get("images")},
        "configuration": origin.get("config_digest"),
        "saved_model": origin.get("saved_model_sha256"),
        "weights": origin.get("weights_sha256"),
        "test_data": origin.get("test_data_sha256"),
        "code": origin.get("code"),
        "versions": origin.get("versions"),
        "gates": content.get("gates"),
        "executions": list(_executions(settings, workdir, release.version)) if release else [],
    }


def as_text(found: Mapping[str, Any]) -> list[str]:
    """Return the same as lines for a terminal; digests are shortened to 12 digits."""
    lines = [f"bundle         {shown(found['bundle'])}"]
    if found["version"] is None:
        lines.append("version        of no release that is known here")
    else:
        back = f", a rollback to {found['rollback_to']}" if found["rollback_to"] else ""
        lines.append(f"version        {found['version']}, released {found['released']}{back}")
        lines.append(f"replaced       {found['replaced'] or 'no earlier release is recorded here'}")
        if found["altered"]:
            lines.append(f"altered        {len(found['altered'])} files, the first is {shown(found['altered'][0])}")
    images = ", ".join(
        f"{shown(split)} {sum(count for count in _mapping(classes).values() if isinstance(count, int))}"
        for split, classes in _mapping(found["data"]["images"]).items()
    )
    lines.append(f"data           {_short(found['data']['digest'])}  {images or 'number of images not recorded'}")
    lines.append(f"configuration  {_short(found['configuration'])}")
    lines.append(f"SavedModel     {_short(found['saved_model'])}")
    lines.append(f"weights        {_short(found['weights'])}")
    lines += [f"code           {_short(digest)}  {shown(step)}" for step, digest in _mapping(found["code"]).items()]
    for step, versions in _mapping(found["versions"]).items():
        listed = ", ".join(f"{name} {version}" for name, version in _mapping(versions).items()) or "not recorded"
        lines.append(f"libraries      {shown(step)}: {shown(listed)}")
    lines += [f"gate           {shown(sentence)}" for sentence in _sentences(found["gates"])]
    for made in found["executions"]:
        verdict = {True: ", blessed", False: ", refused", None: ""}[made["blessed"]]
        took = f"{made['started']}, {made['seconds']:.1f} s{verdict}"
        lines.append(f"execution      {made['component']}: {took}, run {made['run'] or '–'}")
    if not found["executions"]:
        lines.append("execution      none: these records do not have the version")
    return lines


def _bundle(folder: str) -> dict[str, Any]:
    content = _read(folder, BUNDLE_JSON)
    try:
        parse_bundle(content)
    except BundleError as error:
        raise BundleError(f"{shown(folder)}/{BUNDLE_JSON}: {error.cause}", error.remedy) from None
    return dict(json.loads(content))


def _read(folder: str, name: str) -> bytes:
    """Read a file of a bundle, which is untrusted."""
    remedy = "name the folder of a bundle, or the number of a version"
    try:
        if filesystem.is_remote(folder):
            return filesystem.read(f"{folder}/{name}", bounds.MAX_TEXT)
        return BundleFiles(Path(folder)).read(name)
    except OSError as error:
        cause = filesystem.error_line(error)
        raise BundleError(f"{shown(folder)}/{name}: cannot be read: {cause}", remedy) from None
    except BundleError as error:
        raise BundleError(f"{shown(folder)}/{name}: {error.cause}", remedy) from None


def _altered(folder: str, expected: Mapping[str, str]) -> list[str]:
    """Return the files of a bundle, which is untrusted, that are not as they were released, or are there besides."""
    if filesystem.is_remote(folder):
        try:
            return altered(folder, expected)
        except OSError as error:
            raise BundleError(f"{shown(folder)}: cannot be read: {filesystem.error_line(error)}") from None
    files = BundleFiles(Path(folder))
    found = {name: files.sha256(name) for name in files.sizes} | files.refused
    return sorted({name for name, _ in found.items() ^ expected.items()})


def _release_of(folder: str, pushed: Places) -> tuple[Release | None, list[int]]:
    """Return the marker of a bundle, which may be a copy of what was released, and all released versions."""
    try:
        released = marker.released(pushed.edge)
        digest = hashlib.sha256(_read(folder, CHECKSUMS)).hexdigest()
        # A rollback has the same files: the folder's name tells the two apart.
        name = folder.rpartition("/")[2]
        ordered = sorted(released, key=lambda version: (str(version) == name, version), reverse=True)
        for version in ordered:
            try:
                release = marker.read(pushed.edge, version)
            except PushError:
                continue
            if release.edge.files.get(CHECKSUMS) == digest:
                return release, released
    except (OSError, BundleError):
        return None, []
    return None, released


def _executions(settings: RunSettings, workdir: Path, version: int) -> Iterator[dict[str, Any]]:
    """Yield all executions that a version was made by, the oldest first."""
    from ml_metadata.proto import metadata_store_pb2 as pb

    try:
        store = open_store(connection(settings.state.metadata, places.metadata_db(settings, workdir)))
    except ConfigError:  # a bundle that came from somewhere else
        return
    record = find(store, settings.name, version)
    if record is None:
        return
    found, waiting = {record.execution}, {record.execution}
    while waiting:
        events = store.get_events_by_execution_ids(sorted(waiting))
        inputs = {event.artifact_id for event in events if event.type == pb.Event.INPUT}
        first: dict[int, int] = {}
        for event in store.get_events_by_artifact_ids(sorted(inputs)) if inputs else []:
            if event.type == pb.Event.OUTPUT:  # later ones took it from the cache
                first[event.artifact_id] = min(event.execution_id, first.get(event.artifact_id, event.execution_id))
        waiting = set(first.values()) - found
        found |= waiting
    outputs: dict[int, list[int]] = {}
    for event in store.get_events_by_execution_ids(sorted(found)):
        if event.type == pb.Event.OUTPUT:
            outputs.setdefault(event.execution_id, []).append(event.artifact_id)
    for execution in sorted(store.get_executions_by_id(sorted(found)), key=lambda one: int(one.id)):
        yield _row(store, execution, store.get_artifacts_by_id(outputs.get(execution.id, [])))


def _row(store: Any, execution: Any, outputs: list[Any]) -> dict[str, Any]:
    contexts = {context.type: context.name for context in store.get_contexts_by_execution(execution.id)}
    properties = {
        key: getattr(value, value.WhichOneof("value"))
        for values in (execution.properties, execution.custom_properties)
        for key, value in values.items()
        if not key.startswith("__") and value.WhichOneof("value")
    }
    stamped = [each.custom_properties[KEY].string_value for each in outputs if KEY in each.custom_properties]
    blessings = [each.custom_properties for each in outputs if names.BLESSED in each.custom_properties]
    started, ended = execution.create_time_since_epoch / 1000, execution.last_update_time_since_epoch / 1000
    return {
        "component": contexts.get("node", "").rpartition(".")[2],
        "execution": execution.id,
        "run": contexts.get("pipeline_run"),
        "started": utc(started),
        "seconds": ended - started,
        "blessed": bool(blessings[0][names.BLESSED].int_value) if blessings else None,
        "code_digest": properties.get("code_digest"),
        "library_versions": json.loads(stamped[0] if stamped else properties.get(KEY) or "null"),
        "properties": properties,
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return what a bundle, which is untrusted, should have as a mapping; empty if it is something else."""
    return value if isinstance(value, Mapping) else {}


def _short(digest: Any) -> str:
    return shown(digest)[:12] if digest else "–"


def _sentences(gates: Any) -> list[str]:
    try:
        return [gate.sentence() for gate in from_json(gates or [])]
    except (TypeError, ValueError):
        return []
