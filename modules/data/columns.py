"""Find the columns of a list that have path, label and split, by the names that people and other programs give them.

Where no name tells, the values do: a column of names of splits, or of files of images.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from edgetune.modules.core.errors import DataError
from edgetune.modules.data.class_folders import IMAGE_ENDINGS, ending
from edgetune.modules.data.layouts import SPLIT_OF

PATH, LABEL, SPLIT = "path", "label", "split"
ROLES = (PATH, LABEL, SPLIT)
GROUP = "group"
"""Role of the column that `data.group` names; no column has it by its own name, and none if it is an expression."""
_NAMES = {
    PATH: (
        *("file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "imagepath", "image_name"),
        *("image_file", "image_filename", "image_uri", "img", "img_path", "gcs_uri", "uri"),
        *("filepaths", "filenames", "paths"),
    ),
    LABEL: ("labels", "class", "class_name", "classname", "category", "category_name", "label_name", "target"),
    SPLIT: ("set", "subset", "ml_use", "partition", "data_set"),
}
"""Other names of the columns, as of pandas' users, Kaggle, Hugging Face (`file_name`) and Vertex AI (`ML_USE`)."""
SPLITS = {"publictest": "eval", "privatetest": "test"}
"""Further names of splits in lists, in lower case: those of FER2013."""
UNASSIGNED = "unassigned"
_FLAGS = {
    **dict.fromkeys(("is_train", "is_training", "is_training_image"), ("train", "test")),
    **dict.fromkeys(("is_valid", "is_val", "is_validation", "is_eval"), ("eval", "train")),
    **dict.fromkeys(("is_test", "is_testing"), ("test", "train")),
}
"""The splits that 1 and 0 mean in columns of these names, as of fastai and CUB-200."""
SAMPLE = 1000
"""Number of lines by whose values columns are found."""
_ONES, _ZEROS = ("1", "1.0", "true"), ("0", "0.0", "false", "")


def is_pattern(group: str) -> bool:
    """Return whether `data.group` is a regular expression unless a column or feature has this name."""
    return "(" in group


def candidates(names: Iterable[str], given: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the columns that may be of each role: those that the user gave, else those of its name, or of another.

    Args:
        names: Of all columns.
        given: Column by role, `data.columns` and `data.group`; empty for none.
    """
    named = list(names)
    found = {}
    for role in (*ROLES, *({GROUP} & set(given))):
        if role in given:
            found[role] = [name for name in named if name == given[role]]
            continue
        own = [name for name in named if name == role] or [name for name in named if _plain(name) == role]
        found[role] = own or [name for name in named if _plain(name) in _NAMES[role]]
    return found


def told(names: Sequence[str], given: Mapping[str, str], rows: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    """Return the columns that may be of the path and of the split by their values, where none is by its name.

    Args:
        names: Of all columns.
        given: As of `candidates`.
        rows: The first `SAMPLE` lines, each with some columns or all.
    """
    named = candidates(names, given)
    taken = {name for found in named.values() for name in found}
    values = {
        name: [text(row[name]).strip() for row in rows] for name in names if name not in taken and name in rows[0]
    }
    tests = {PATH: _are_paths, SPLIT: _are_splits}
    return {
        role: [name for name, found in values.items() if name and test(name, found)]
        for role, test in tests.items()
        if not named[role] and role not in given
    }


def _are_paths(_: str, values: Sequence[str]) -> bool:
    return all(ending(value.replace("\\", "/")) in IMAGE_ENDINGS for value in values)


def _are_splits(name: str, values: Sequence[str]) -> bool:
    if flags := _FLAGS.get(_plain(name)):
        ones = sum(value.lower() in _ONES for value in values)
        # Most images cannot be of eval: `is_valid` then says that a line is a valid one.
        plain = all(value.lower() in (*_ONES, *_ZEROS) for value in values)
        return plain and not (flags[0] == "eval" and 2 * ones > len(values))
    known = {value.lower() for value in values} - {UNASSIGNED}
    return bool(known) and known <= {*SPLIT_OF, *SPLITS}


def split_value(column: str, value: str) -> str:
    """Return the name of the split of a line: of a column such as `is_train`, what its 1 or 0 mean."""
    if flags := _FLAGS.get(_plain(column)):
        plain = value.strip().lower()
        return flags[0] if plain in _ONES else flags[1] if plain in _ZEROS and plain else value
    return value


def text(value: object) -> str:
    """Return a value as text; nothing for a missing one, which among numbers is NaN, not equal to itself."""
    return "" if value is None or value != value else str(value)


def roles(names: Sequence[str], given: Mapping[str, str], rows: Sequence[Mapping[str, object]] = ()) -> dict[str, str]:
    """Return the column of each role that there is.

    Args:
        names: Of all columns.
        given: As of `candidates`.
        rows: The first `SAMPLE` lines.

    Raises:
        DataError: A column that the user gave does not exist, or several may be of one role. Its cause is to follow the
            name of the list.
    """
    chosen = {}
    for role, found in {**candidates(names, given), **(told(names, given, rows) if rows else {})}.items():
        if (wanted := given.get(role)) and not found and not (role == GROUP and is_pattern(wanted)):
            key = "data.group" if role == GROUP else f"data.columns.{role}"
            raise DataError(
                f"has no column {wanted}, which {key} names; it has {', '.join(names) or 'none'}", f"correct {key}"
            )
        if len(found) > 1 and len(set(found)) == 1:
            raise DataError(f"has the column {found[0]} more than once", "keep one of them")
        if len(found) > 1:
            none = f", or --set data.columns.{SPLIT}= if none is" if role == SPLIT else ""
            raise DataError(
                f"has the columns {' and '.join(found)}, each of which may be the {role}",
                f"say which with --set {shlex.quote(f'data.columns.{role}={found[0]}')}{none}",
            )
        if found:
            chosen[role] = found[0]
    return chosen


def without_header(first: Sequence[str], split_names: Iterable[str]) -> list[str] | None:
    """Return the roles of the columns of a list whose first line is that of an image; None if it is a header.

    Such are `path,label` and the import files of Vertex AI, `ML_USE,uri,label`.

    Args:
        first: Values of the first line.
        split_names: Names of splits, in lower case.

    Raises:
        DataError: There are more columns. Its cause is to follow the name of the list.
    """
    paths = [place for place, value in enumerate(first) if ending(value.strip().replace("\\", "/")) in IMAGE_ENDINGS]
    if not paths:
        return None
    known = {*split_names, *SPLITS, UNASSIGNED}
    splits = [place for place, value in enumerate(first) if value.strip().lower() in known and place not in paths]
    rest = [place for place in range(len(first)) if place != paths[0] and place not in splits[:1]]
    if len(paths) == 1 and len(rest) == 1:
        found = dict.fromkeys(splits[:1], SPLIT) | {paths[0]: PATH, rest[0]: LABEL}
        return [found[place] for place in range(len(first))]
    if len(paths) == 1 and len(first) == 2 and len(splits) == 1:  # a class that is called as a split is
        return [PATH, LABEL] if paths == [0] else [LABEL, PATH]
    raise DataError(
        f"has no line that names its columns, and {len(first)} columns that begin with {', '.join(first[:3])}",
        "write a first line such as path,label,split; an image has one label",
    )


def one_hot(names: Sequence[str], others: Iterable[str], rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the columns that together say the class of each line by a single 1, or none.

    Args:
        names: Of all columns.
        others: Of columns that are not of a class.
        rows: Some lines. A column that was not read is neither.
    """
    rest = [name for name in names if name and name not in set(others)]
    plain = all(name in row and text(row[name]).strip().lower() in (*_ONES, *_ZEROS) for row in rows for name in rest)
    return rest if len(rest) > 1 and rows and plain else []


def hot(row: Mapping[str, object], names: Iterable[str]) -> list[str]:
    """Return the names of the columns of a line that have a 1."""
    return [name for name in names if text(row[name]).strip().lower() in _ONES]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().lower())
