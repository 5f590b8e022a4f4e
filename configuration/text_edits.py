"""Changes to a YAML text that leave everything else as its author wrote it, comments included.

A form changes single values of a document. The text around them is kept: values are replaced in
their place, new keys are written behind the last one of their mapping. What cannot be done so is
written anew as canonical YAML; the result says the same either way.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

#: the value of a key that is to go
REMOVED: Final = object()
#: characters of a line
_WIDTH: Final = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One value: where it belongs (names of keys, numbers of entries), and what it becomes."""

    path: tuple[str | int, ...]
    value: Any


def edited(text: str, document: Any, edits: Sequence[Edit]) -> str:
    """The text with the edits made in order. `document` is what the text says."""
    for edit in edits:
        wanted = _changed(document, edit)
        if wanted == document:
            continue
        text = _in_place(text, _whole(wanted, edit), wanted) or as_yaml(wanted)
        document = wanted
    return text


def as_yaml(document: Any) -> str:
    """Canonical YAML of a document: keys in their order, short mappings on one line."""
    return yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH, indent=2
    )


class _Dumper(yaml.SafeDumper):
    """Mappings and lists that fit stand on one line, as people write them."""

    def represent(self, data: Any) -> None:
        node = self.represent_data(data)
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = False
        self.serialize(node)

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> Any:
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = _is_short(mapping)
        return node

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        node = super().represent_sequence(tag, sequence, flow_style)
        node.flow_style = _is_short(sequence)
        return node

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: ARG002
        """Lists stand deeper than their key."""
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Equal parts are written out: documents have no aliases."""
        return True


def _is_short(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value
    if any(isinstance(part, dict) for part in parts):
        return False
    return len(json.dumps(value, default=str)) < _WIDTH - 36


def _changed(document: Any, edit: Edit) -> Any:
    """A copy of the document with the edit made; mappings on the way are made where none are."""
    fresh = copy.deepcopy(document)
    place: Any = fresh
    last: Any = edit.path[-1]
    for key in edit.path[:-1]:
        if isinstance(place, dict) and not isinstance(place.get(key), dict | list):
            if edit.value is REMOVED:
                return fresh
            place[key] = {}
        place = place[key]
    if edit.value is not REMOVED:
        if isinstance(place, list) and last == len(place):
            place.append(edit.value)
        else:
            place[last] = edit.value
    elif isinstance(place, list) or last in place:
        del place[last]
    return fresh


def _whole(wanted: Any, edit: Edit) -> Edit:
    """What takes the last of its parts away leaves `{}` or `[]`: nothing would be null."""
    place = wanted
    for key in edit.path[:-1]:
        place = place[key]
    is_emptied = edit.value is REMOVED and not place and len(edit.path) > 1
    return Edit(path=edit.path[:-1], value=place) if is_emptied else edit


def _in_place(text: str, edit: Edit, wanted: Any) -> str:
    """The text with only the edit's own characters changed; "" where that does not give it."""
    try:
        changed = _splice(text, edit)
        if yaml.load(changed, Loader=yaml.SafeLoader) == wanted:
            return changed
    except (yaml.YAMLError, LookupError):
        pass
    return ""


def _splice(text: str, edit: Edit) -> str:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    path = list(edit.path)
    while len(path) > 1 and (child := _child(node, path[0])) is not None:
        node, path = child[1], path[1:]
    found = _child(node, path[0])
    value = edit.value
    if value is not REMOVED:
        for key in reversed(path[1:]):
            value = {key: value}
    if found is not None:
        return (
            _removed(text, node, found)
            if value is REMOVED
            else _replaced(text, found[1], value, in_flow=_is_flow(node))
        )
    return _added(text, node, path[0], value)


def _is_flow(node: Any) -> bool:
    return bool(node.flow_style)


def _child(node: Any, key: str | int) -> tuple[Any, Any] | None:
    """(key node, value node) of a mapping's key; (the same twice) of a list's entry."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return name, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None


def _replaced(text: str, node: Any, value: Any, *, in_flow: bool) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    while end > start and text[end - 1].isspace():
        end -= 1
    return text[:start] + _flow(value, in_flow=in_flow) + text[end:]


def _removed(text: str, parent: Any, found: tuple[Any, Any]) -> str:
    """Without one key or entry: its lines, or in braces itself and one comma."""
    key, value = found
    start, end = key.start_mark.index, value.end_mark.index
    if not parent.flow_style:
        start = text.rfind("\n", 0, start) + 1
        while end > start and text[end - 1].isspace():
            end -= 1
        line_end = text.find("\n", end)
        return text[:start] + (text[line_end + 1 :] if line_end >= 0 else "")
    rest = text[end:].lstrip()
    if rest.startswith(","):
        return text[:start] + rest[1:].lstrip()
    before = text[:start].rstrip()
    return before.removesuffix(",") + text[end:]


def _added(text: str, parent: Any, key: str | int, value: Any) -> str:
    """Behind the last key or entry of its mapping or list."""
    is_list = isinstance(parent, yaml.SequenceNode)
    if not isinstance(parent, yaml.CollectionNode) or not (parent.value or parent.flow_style):
        raise LookupError(key)
    if parent.flow_style:
        at = parent.end_mark.index - 1
        comma = ", " if parent.value else ""
        entry = _flow(value) if is_list else f"{_flow(str(key))}: {_flow(value)}"
        return text[:at].rstrip() + comma + entry + text[at:]
    last = parent.value[-1]
    first = parent.value[0] if is_list else parent.value[0][0]
    at = (last if is_list else last[1]).end_mark.index
    while text[at - 1].isspace():
        at -= 1
    line_end = text.find("\n", at)
    head, tail = (text, "") if line_end < 0 else (text[:line_end], text[line_end:])
    indent = first.start_mark.column
    body = as_yaml([value] if is_list else {key: value}).rstrip("\n")
    lines = [" " * (indent - 2 * is_list) + line for line in body.splitlines()]
    return "\n".join([head, *lines]) + tail


def _flow(value: Any, *, in_flow: bool = True) -> str:
    """A value on one line; between braces more texts need quotes than behind a key."""
    text: str = yaml.dump(
        [value] if in_flow else value,
        Dumper=yaml.SafeDumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=10**6,
    )
    text = text.removesuffix("\n").removesuffix("\n...")
    if "\n" in text:
        return json.dumps(value, ensure_ascii=False)
    return text[1:-1] if in_flow else text
