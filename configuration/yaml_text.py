"""YAML or JSON text -> the document it says, and the line on which each part of it stands.

Stricter than YAML 1.1: a key stands once and is text, nothing refers to something else, and only
`true` and `false` are booleans, so that NO is Norway and 12:30 is no number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator
from contextlib import suppress
from typing import Any, Final

import yaml

_TAG: Final = "tag:yaml.org,2002:"
#: plain words that mean something: (tag, pattern, first characters). A part of what PyYAML's
#: dumper puts in quotes as text, so that what it wrote is read back as it was.
_WORDS: Final = (
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), "tTfF"),
    ("int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z"), "-+0123456789"),
    (
        "float",
        re.compile(
            r"(?:(?:[-+]?[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
        ),
        "-+0123456789.",
    ),
    ("merge", re.compile(r"(?:<<)\Z"), "<"),
    ("null", re.compile(r"(?:~|null|Null|NULL|)\Z"), "~nN"),
)
_MAX_DIGITS: Final = 4_000
#: keys and values; reading so many takes two seconds
_MAX_NODES: Final = 50_000
#: characters of all pointers of a text; they would outgrow memory where long keys hold many parts
_MAX_POINTERS: Final = 2**22


class Unreadable(ValueError):
    """The text is no YAML or JSON; the message says why."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        #: from 1; 0: not known
        self.line = line


def load(text: str) -> tuple[Any, dict[str, int]]:
    """(what the text says, JSON pointer -> line from 1); raises Unreadable."""
    try:
        with suppress(ValueError, RecursionError):
            return _as_json(text), _lines_of_json(text)
        # most documents are YAML; and what is wrong is said better of YAML
        return _as_yaml(text)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise Unreadable(exc.problem or str(exc), mark.line + 1 if mark else 0) from exc
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise Unreadable(f"the character #x{exc.character:04x} cannot stand here", line) from exc
    except RecursionError as exc:
        raise Unreadable("it is nested too deeply") from exc


class _TooMany(yaml.MarkedYAMLError):
    """A text of more parts than a document has."""


class _Counting(yaml.SafeLoader):
    """Safe YAML with an end: what is read in Python takes its time."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            place = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            message = f"it holds more than {_MAX_NODES:,} keys and values"
            raise _TooMany(None, None, message, place)
        return super().compose_node(parent, index)


class _Loader(_Counting):
    """The same, only stricter."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise _refused(event, "aliases are not supported: write it out")
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as exc:
            kind = node.tag.removeprefix(_TAG)
            raise _refused(node, f"this is no {kind}, which its tag says") from exc

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _refused(node, "this is no map, which its tag says")
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused(key, "keys are text")
            if key.value in seen:
                raise _refused(key, f"the key {key.value!r} stands here twice")
            if key.tag != f"{_TAG}str":
                raise _refused(key, f"keys are text: write it in quotes ({key.value!r})")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > _MAX_DIGITS:
            raise _refused(node, f"a number has at most {_MAX_DIGITS:,} digits")
        return int(node.value)


for _name, _pattern, _first in _WORDS:
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", _pattern, list(_first))
_Loader.yaml_implicit_resolvers.setdefault("", []).append((f"{_TAG}null", _WORDS[-1][1]))
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_yaml_int)


def _as_yaml(text: str) -> tuple[Any, dict[str, int]]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        return loader.construct_document(node), _places(node)
    finally:
        loader.dispose()


def _as_json(text: str) -> Any:
    """What a JSON object says: YAML 1.1 reads some of its numbers as text, and no tabs."""
    if not text.lstrip().startswith("{"):
        raise ValueError("no object")
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _lines_of_json(text: str) -> dict[str, int]:
    try:
        # between values, a tab is as good as a space
        node = yaml.compose(text.replace("\t", " "), Loader=_Counting)
    except _TooMany:
        raise
    except (yaml.YAMLError, RecursionError):
        return {}
    return _places(node) if node else {}


def _places(node: yaml.Node) -> dict[str, int]:
    """Pointer -> line, of the first parts of a text whose pointers are too long for all of it."""
    found: dict[str, int] = {}
    left = _MAX_POINTERS
    for pointer, line in _lines(node, ""):
        left -= len(pointer)
        if left < 0:
            break
        found[pointer] = line
    return found


def _lines(node: yaml.Node, pointer: str) -> Iterator[tuple[str, int]]:
    if not pointer:
        yield "", node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value).replace("~", "~0").replace("/", "~1")
            yield f"{pointer}/{name}", key.start_mark.line + 1
            yield from _lines(value, f"{pointer}/{name}")
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield f"{pointer}/{number}", item.start_mark.line + 1
            yield from _lines(item, f"{pointer}/{number}")


def _refused(place: Any, text: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, text, place.start_mark)
