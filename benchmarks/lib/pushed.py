"""What may be wrong with the versions that readers may take."""

from __future__ import annotations

from pathlib import Path

from edgetune.modules.core.errors import PushError
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places, altered


def half_pushed(places: Places, *, interrupted: bool = False) -> list[str]:
    """Return what is not whole among all versions: by their markers, which have the digest of every file.

    Args:
        places: Folders of versions.
        interrupted: Allow what a killed release leaves until the next run: hidden names, and versions of its intent.
    """
    wrong = []
    folders = places.of()
    released = marker.released(folders[marker.EDGE])
    for version in released:
        try:
            made = marker.read(folders[marker.EDGE], version)
            changed = {name: altered(f"{folders[name]}/{version}", part.files) for name, part in made.parts().items()}
        except (OSError, PushError) as error:
            wrong.append(f"version {version}: {error}")
            continue
        wrong += [f"{name} {version}: {files[0]} is not as delivered" for name, files in changed.items() if files]
    allowed = {*released, *(marker.released(folders[marker.EDGE], intent=True) if interrupted else ())}
    for folder in folders.values():
        present = {int(path.name) for path in Path(folder).glob("[0-9]*")}
        wrong += [f"{folder}/{version} has no marker" for version in sorted(present - allowed)]
        if not interrupted:
            wrong += [f"{path} is left" for path in sorted(Path(folder).rglob(".*")) if ".claims" not in path.parts]
    return wrong


def not_once(places: Places) -> list[str]:
    """Return what is wrong if a model was to be released exactly once, and by now is."""
    folders = places.of()
    present = {name: sorted(int(path.name) for path in Path(to).glob("[0-9]*")) for name, to in folders.items()}
    released = marker.released(folders[marker.EDGE])
    found = {"markers": released, **present}
    if len(released) == 1 and all(versions == released for versions in present.values()):
        return []
    return [f"one version was to be released, and there are {', '.join(f'{k} {v}' for k, v in found.items())}"]
