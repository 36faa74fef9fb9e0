"""The settings described for people and editors: a JSON schema, a reference, and the words for what a key may be.

All of it is derived from `modules.settings.run`, so that a field is described where it is declared and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from edgetune.modules.settings.run import RunSettings

Schema = dict[str, Any]

_PATTERNS = {
    "^[a-z][a-z0-9_-]*$": "lower-case letters, digits, `_` and `-`, beginning with a letter",
    "^[0-9a-f]{64}$": "64 lower-case hexadecimal digits",
    r"^[^\s:/]+:[0-9]{1,5}$": "`host:port`",
    r"^[0-9]+\.[0-9]+$": "text such as `1.19`",
    "^gs://[^/]+.*$": "a URL that begins with `gs://`",
}
_COMMON = (
    "data.path",
    "model.backbone",
    "model.alpha",
    "model.image_size",
    "training.head.epochs",
    "training.fine_tune.epochs",
    "training.fine_tune.unfreeze",
    "training.augmentation",
    "training.batch_size",
    "evaluation.min_accuracy",
    "edge.variants",
    "edge.max_accuracy_drop",
)
"""The settings that most runs change, in the order in which one meets them."""
_INTRODUCTION = """\
# Configuration

Every setting of a run. This page is generated from `modules/settings/run.py` by `make schema`.

A configuration is a YAML file, and `edgetune run --config flowers.yaml` uses it. Only `name` and `data.path` have no
default. `edgetune config` prints the configuration in effect, defaults included.

```yaml
name: flowers
data: {path: ./flowers}
model: {backbone: mobilenet_v2, image_size: 224}
training:
  fine_tune: {epochs: 30}
evaluation: {min_accuracy: 0.85}
```

`--set training.fine_tune.epochs=5` sets one key for one run and overrides the file. `--data DIR` is short for
`--set data.path=DIR`; without `--config` it also names the run after the folder.

## Settings to start with

"""
_RULES = """\
## How the file is read

- A relative path in a file is relative to that file; on the command line, to the working directory. Names such as
  `imagenet` and `embedded:digits`, and URLs, are not changed.
- Scalars follow YAML 1.2: `1e-3` is a number, `no` is text.
- Unknown keys, duplicate keys and values out of range are errors. All of them are reported at once.
- The value of `--set` is YAML. A group replaces the whole group. If a key is set twice, the last value counts.

`schemas/config.json` is the same as a JSON schema. An editor with a YAML language server completes and checks the keys
of a file that begins with this line:

```yaml
# yaml-language-server: $schema=../schemas/config.json
```

## All settings
"""


def json_schema() -> Schema:
    """Return the JSON schema (draft 2020-12) of a configuration file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **RunSettings.model_json_schema()}


def json_schema_text() -> str:
    """Return the content of `schemas/config.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def fields(schema: Schema, group: Schema | None = None, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """All keys, groups included, by their dotted names, in the order of their declaration."""
    for name, declared in (schema if group is None else group)["properties"].items():
        field = {**_resolved(schema, declared), **declared}
        yield prefix + name, field
        if "properties" in field:
            yield from fields(schema, field, f"{prefix}{name}.")


def allowed(field: Schema) -> str:
    """Describe the values of a key in words that follow `must be`: `a whole number of at least 1`."""
    if "anyOf" in field:
        return " or ".join(allowed(choice) for choice in field["anyOf"])
    if "const" in field:
        return json.dumps(field["const"]).strip('"')
    if "enum" in field:
        return "one of " + ", ".join(str(choice) for choice in field["enum"])
    kind = field.get("type")
    if kind == "array":
        return f"a list, each item {allowed(field['items'])}"
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _range(field)
    if kind == "string":
        pattern = field.get("pattern")
        return _PATTERNS.get(pattern, f"text that matches `{pattern}`") if pattern else "text"
    return {"boolean": "true or false", "null": "null", "object": "a group of keys"}[str(kind)]


def reference() -> str:
    """Return the content of `docs/configuration.md`: the most used settings, then a table for each group of keys."""
    schema = json_schema()
    groups: dict[str, list[str]] = {"": []}
    titles = {"": ""}
    # Of groups with the same keys, such as the resources of each component, the first has a table.
    first: dict[str, str] = {}
    for key, field in fields(schema):
        group, _, _ = key.rpartition(".")
        if "properties" in field:
            groups[key] = []
            shown = first.setdefault(field["$ref"], key)
            titles[key] = _resolved(schema, field).get("description", "")
            if shown != key:
                titles[key] = f"{field['description']}\n\nThe keys are those of `{shown}`."
        elif group == "" or group in first.values():
            default = f"`{_yaml(field['default'])}`" if "default" in field else "required"
            cells = f"`{key}`", default, allowed(field), field.get("description", "")
            groups[group].append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    parts = [_INTRODUCTION + _common(dict(fields(schema))), _RULES]
    for key, rows in groups.items():
        title = f"### `{key}`\n\n{titles[key]}" if key else "### Top level"
        table = "\n".join(["| key | default | must be | meaning |", "|-|-|-|-|", *rows])
        parts.append(f"{title}\n" + (f"\n{table}\n" if rows else ""))
    return "\n".join(parts)


def _common(declared: dict[str, Schema]) -> str:
    """Return the table of the most used settings; each links to the table of its group."""
    rows = []
    for key in _COMMON:
        field = declared[key]
        group = key if "properties" in field else key.rpartition(".")[0]
        anchor = group.replace(".", "")  # as forges make it of a heading
        if "properties" in field:
            default = "a group of keys"
        else:
            default = f"`{_yaml(field['default'])}`" if "default" in field else "required"
        cells = f"[`{key}`](#{anchor})", default, field.get("description", "")
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(["| key | default | meaning |", "|-|-|-|", *rows]) + "\n"


def _resolved(schema: Schema, field: Schema) -> Schema:
    reference = field.get("$ref", "")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else field


def _range(field: Schema) -> str:
    low, above = field.get("minimum"), field.get("exclusiveMinimum")
    high, below = field.get("maximum"), field.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    bounds = (("of at least", low), ("above", above), ("at most", high), ("below", below))
    words = " and ".join(f"{word} {_number(bound)}" for word, bound in bounds if bound is not None)
    return f" {words}" if words else ""


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) or not value else value


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
