"""Read and write configuration as YAML, with the line of every key.

Plain scalars follow the rules of YAML 1.2, as in editors: `1e-3` is a number, `no` and `on` are text, `010` is not
eight. Numbers are decimal, and `_` may group the digits of whole numbers: `89_478_485`.

Aliases and tags are rejected: a configuration needs neither, and a few lines of aliases can expand to gigabytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from edgetune.modules.core.errors import ConfigError

_TAG = "tag:yaml.org,2002:"
_SCALARS = (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", tuple("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", tuple("-+0123456789")),
    (
        "float",
        r"[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN",
        tuple("-+.0123456789"),
    ),
)
_SYNTAX = "correct the line; put text with special characters in quotes"


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases are not supported", problem_mark=mark)
        return super().compose_node(parent, index)


for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})$"), list(_first))


class _Dumper(yaml.SafeDumper):
    """Dumper that quotes text that `_Loader` would read as another type."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:
        return True


@dataclass
class Document:
    """A YAML document.

    Attributes:
        value: Dicts, lists and scalars.
        lines: Line, counted from 1, by dotted key.
    """

    value: Any
    lines: dict[str, int] = field(default_factory=dict)


def parse(text: str, origin: str) -> Document:
    """Parse one YAML document.

    Args:
        text: The YAML.
        origin: Its name in error messages, such as a file's path.

    Raises:
        ConfigError: The text is not YAML, or has a duplicate key, an alias or a tag. Names origin, line and column.
    """
    document = Document(None)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        document.value = None if node is None else _value(loader, node, "", document.lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{origin}, line {mark.line + 1}, column {mark.column + 1}" if mark else origin
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{where}: not valid YAML: {reason}", _SYNTAX) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{origin}: not valid YAML: {str(error).splitlines()[0]}", _SYNTAX) from None
    except RecursionError:
        raise ConfigError(f"{origin}: nested too deeply", _SYNTAX) from None
    return document


def dump(value: Any) -> str:
    """Return `value` as YAML that `parse` reads back, with the keys in their given order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def flow(value: Any) -> str:
    """Return `value` as YAML on one line, which `parse` reads back: `{train: 8, test: 1}`."""
    text = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"), default_flow_style=True
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _value(loader: _Loader, node: yaml.Node, key: str, lines: dict[str, int]) -> Any:
    if not node.tag.startswith(_TAG):
        raise _error(node, f"the tag {node.tag} is not supported")
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, f"{key}[{index}]", lines) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _error(key_node, "a key must be text")
        name = key_node.value
        dotted = f"{key}.{name}" if key else name
        if name in mapping:
            raise _error(key_node, f"duplicate key {dotted}, first in line {lines[dotted]}")
        lines[dotted] = key_node.start_mark.line + 1
        mapping[name] = _value(loader, value_node, dotted, lines)
    return mapping


def _error(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
