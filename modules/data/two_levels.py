"""Refuse two levels of folders of which either may be the classes: `fold0/cat`, `fold1/cat`; or `cat/2023`, `dog/2023`.

The folder above would be the class in both. Nothing but the names could tell one from the other, so edgetune asks.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence

from edgetune.modules.core.errors import DataError
from edgetune.modules.data.layouts import SPLIT_FOLDERS, Folder, down, split_of_words
from edgetune.modules.storage import filesystem

ALLOWED = "nested_classes"
"""Name in `data.allow` that says that the folders above are the classes."""
_NAMED = 5


def check(base: str, parents: Sequence[Folder]) -> None:
    """Check that the folders directly in others are the classes, and not those inside them.

    Args:
        base: The folder of all data.
        parents: Folders of class folders, one or one of each split.

    Raises:
        DataError: Most of the class folders have folders of the same names inside; or they are named as splits, and one
            has several folders inside.
    """
    for parent in parents:
        above = [down(folder) for folder in parent.folders if folder.total_images]
        if inside := _shared(above) or _of_splits(above):
            raise _error(base, parents, parent, above, inside)


def _inside(folder: Folder) -> set[str]:
    """Return the folders of images in a folder of which most images are in these."""
    if 2 * folder.images >= folder.total_images:
        return set()
    return {inside.name for inside in folder.folders if inside.total_images}


def _shared(above: Sequence[Folder]) -> list[str]:
    """Return the names that folders have in common, if most have some, and these would be several classes."""
    number = Counter(name for folder in above for name in _inside(folder))
    common = {name for name, count in number.items() if count > 1}
    alike = sum(bool(_inside(folder) & common) for folder in above)
    return sorted(common) if len(common) > 1 and 2 * alike > len(above) else []


def _of_splits(above: Sequence[Folder]) -> list[str]:
    """Return the folders inside if all above are named as different splits: a_train/<class>/*, a_test/*."""
    named = [split_of_words(folder.name.partition("/")[0]) for folder in above]
    if len(above) < 2 or None in named or len(set(named)) < len(named):
        return []
    most = max((_inside(folder) for folder in above), key=len)
    return sorted(most) if len(most) > 1 else []


def _error(
    base: str, parents: Sequence[Folder], parent: Folder, found: Sequence[Folder], inside: Sequence[str]
) -> DataError:
    names = [folder.name.partition("/")[0] for folder in found]
    above, below = _listed(names), _listed(inside)
    remedies = [
        f"if the classes are {above}, add --allow {ALLOWED} to edgetune run, or --set 'data.allow=[{ALLOWED}]' to "
        "edgetune inspect"
    ]
    if len(parents) == 1:
        if len(names) <= len(SPLIT_FOLDERS):
            remedies.append(
                f"if the classes are {below} and {above} are splits, name them so: {_renamed(parent, names)}"
            )
        name = next(name for name, folder in zip(names, found, strict=True) if _inside(folder) & set(inside))
        one = f"{parent.path}/{name}"
        remedies.append(f"if only one of them is the data, such as {name}, edgetune run --data {_q(one)}")
    if not filesystem.is_remote(base) and all(_inside(f) & set(inside) and "/" not in f.name for f in found):
        remedies.append(f"if the classes are {below} and all are to be read together, {_joined(base, parents)}")
    return DataError(
        f"{parent.path} could mean two things: that {above} are the classes, with folders inside; or that {below} are, "
        f"which are folders inside of {above}",
        "; ".join(remedies),
    )


def _renamed(parent: Folder, names: Sequence[str]) -> str:
    """Return the command that gives folders the names of splits; with gaps where only the user knows them."""
    splits = {split_of_words(name): name for name in names}
    if None in splits or len(splits) < len(names) or "train" not in splits:
        kinds = ("train", "test") if len(names) < 3 else ("train", "eval", "test")
        return " && ".join(f"mv {_q(parent.path)}/FOLDER {_q(f'{parent.path}/{split}')}" for split in kinds)
    return " && ".join(
        f"mv {_q(f'{parent.path}/{name}')} {_q(f'{parent.path}/{split}')}"
        for split, name in splits.items()
        if split != name
    )


def _joined(base: str, parents: Sequence[Folder]) -> str:
    """Return the command that copies all into folders by class: fold0/cat becomes cat/fold0."""
    new = f"{base}-by-class"
    steps = []
    for parent in parents:
        target = new if len(parents) == 1 else f"{new}/{parent.name}"
        folders = " ".join(f"{_q(folder.name)}/*/" for folder in parent.folders if folder.total_images)
        steps.append(
            f'(cd {_q(parent.path)} && for p in {folders}; do mkdir -p {_q(target)}/"${{p#*/}}" && '
            f'cp -R "$p" {_q(target)}/"${{p#*/}}${{p%%/*}}"; done)'
        )
    return f"{' && '.join(steps)} && edgetune run --data {_q(new)} --allow {ALLOWED}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _q(path: str) -> str:
    return shlex.quote(path)
