"""The form of a schema's fields: what JSON Schema asks of each value of an event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from configuration.editor_inputs import (
    Form,
    Input,
    Row,
    as_lines,
    clean,
    from_lines,
    pointer,
)
from configuration.text_edits import REMOVED, Edit
from payflow.lib.errors import ConfigurationError, Problem

ANY: Final = "any"
_TYPES: Final = (ANY, "string", "number", "integer", "boolean", "object", "array")
#: what is not a constraint: it has its own input or row, or says something about the field only
_APART: Final = frozenset(
    {
        *("type", "properties", "required", "title", "description", "$comment", "$id", "$schema"),
        *("examples", "default", "deprecated", "readOnly", "writeOnly"),
    }
)
#: fields in one form; browsers may send a thousand inputs
MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One property of the event, however deep."""

    #: names of the properties that lead to it
    names: tuple[str, ...]
    schema: Any
    is_needed: bool

    @property
    def path(self) -> tuple[str, ...]:
        """Its place in the document."""
        return ("json_schema", *(part for name in self.names for part in ("properties", name)))

    @property
    def label(self) -> str:
        """As mappings write it; as a pointer where a name has a dot."""
        dotted = any("." in name for name in self.names)
        return pointer(*self.names) if dotted else ".".join(self.names)

    @property
    def type_text(self) -> str:
        kind = self.schema.get("type", ANY) if isinstance(self.schema, dict) else ANY
        return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)

    @property
    def constraints(self) -> dict[str, Any]:
        if not isinstance(self.schema, dict):
            return {}
        return {key: value for key, value in self.schema.items() if key not in _APART}

    @property
    def shown(self) -> tuple[str, bool, str]:
        """What its three inputs hold."""
        return self.type_text, self.is_needed, as_lines(self.constraints)

    @property
    def meant(self) -> tuple[str, bool, dict[str, Any]]:
        """What its inputs say, whatever the order of the keywords."""
        return self.type_text, self.is_needed, self.constraints


def fields_of(document: Mapping[str, Any]) -> list[Field]:
    """Every property of the JSON Schema, depth first, in the order of the document."""
    return list(_fields(document.get("json_schema"), ()))


def _fields(schema: Any, above: tuple[str, ...]) -> Iterator[Field]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or len(above) > 20:
        return
    required = schema.get("required")
    for name, part in properties.items():
        names = (*above, str(name))
        needed = isinstance(required, list) and name in required
        yield Field(names=names, schema=part, is_needed=needed)
        yield from _fields(part, names)


def form(document: Mapping[str, Any], active: Mapping[str, Any] | None) -> Form:
    """The table of fields; what differs from the active version is marked."""
    fields = fields_of(document)
    before = {f.names: f for f in fields_of(active)} if active is not None else None
    rows = [
        _row(f"r{number}", field, None if before is None else before.get(field.names), before)
        for number, field in enumerate(fields[:MOST])
    ]
    changed = sum(bool(row.mark) for row in rows)
    summary = f"{len(fields)} fields" + (f", {changed} changed" if changed else "")
    if len(fields) > MOST:
        summary += f"; the first {MOST} are here, all of them in YAML"
    return Form(
        heads=("Field", "Type", "Needed", "Constraints"),
        rows=[*rows, _new_row()],
        summary=summary,
    )


def _row(
    key: str, field: Field, old: Field | None, before: Mapping[tuple[str, ...], Field] | None
) -> Row:
    was = (old or field).meant
    mark = ""
    if before is not None:
        mark = "new" if old is None else "changed" if was != field.meant else ""
    name = field.label
    changed = tuple(a != b for a, b in zip(was, field.meant, strict=True))
    return Row(
        key=key,
        title=name,
        sub=str(field.schema.get("description", "")) if isinstance(field.schema, dict) else "",
        pointer=pointer(*field.path),
        mark=mark,
        inputs=_inputs(key, name, field.shown, changed),
    )


def _inputs(
    key: str,
    name: str,
    shown: tuple[str, bool, str],
    changed: tuple[bool, ...] = (False, False, False),
) -> list[Input]:
    kind, needed, constraints = shown
    options = _TYPES if kind in _TYPES else (*_TYPES, kind)
    return [
        Input(
            name=f"{key}.type",
            label="Type",
            title=f"Type of {name}",
            value=kind,
            kind="select",
            options=options,
            is_changed=changed[0],
        ),
        Input(
            name=f"{key}.needed",
            label="Needed",
            title=f"{name} is needed",
            value="on" if needed else "",
            kind="check",
            is_changed=changed[1],
        ),
        Input(
            name=f"{key}.constraints",
            label="Constraints",
            title=f"Constraints of {name}, one a line",
            value=constraints,
            kind="lines",
            is_mono=True,
            is_changed=changed[2],
        ),
    ]


def _new_row() -> Row:
    name = Input(
        name="new.name",
        label="Field",
        title="Name of a new field",
        value="",
        is_mono=True,
        hint="metadata.terminal",
    )
    return Row(
        key="new",
        title="",
        pointer="",
        is_new=True,
        inputs=[name, *_inputs("new", "the new field", ("string", False, ""))],
    )


# --- what was typed ------------------------------------------------------------------------------


def edits(document: Mapping[str, Any], post: Mapping[str, str]) -> list[Edit]:
    """What a form changes. Raises ConfigurationError with what cannot be read."""
    fields = fields_of(document)[:MOST]
    required = {field.names[:-1]: _required(document, field.names[:-1]) for field in fields}
    wanted = {above: list(names) for above, names in required.items()}
    made: list[Edit] = []
    removed: list[Edit] = []
    for number, field in enumerate(fields):
        key = f"r{number}"
        if f"{key}.type" not in post:
            continue
        needed = bool(post.get(f"{key}.needed"))
        if post.get(f"{key}.remove"):
            removed.append(Edit(path=field.path, value=REMOVED))
            needed = False
        else:
            made += _field_edits(field, key, post)
        _require(wanted[field.names[:-1]], field.names[-1], needed)
    made += _new_field(fields, wanted, post)
    for above, names in wanted.items():
        if names != required.get(above, []):
            place = Field(names=above, schema={}, is_needed=False).path
            made.append(Edit(path=(*place, "required"), value=names or REMOVED))
    return made + removed


def _field_edits(field: Field, key: str, post: Mapping[str, str]) -> list[Edit]:
    old = field.schema if isinstance(field.schema, dict) else {}
    typed = clean(post.get(f"{key}.constraints", ""))
    after = dict(old)
    if typed != as_lines(field.constraints):
        after = {name: value for name, value in old.items() if name in _APART}
        after |= from_lines(typed, at=pointer(*field.path))
    kind = post[f"{key}.type"]
    if kind != field.type_text:
        after.pop("type", None)
        if kind != ANY:
            after["type"] = kind.split(" or ") if " or " in kind else kind
    if after == old:
        return []
    if not isinstance(field.schema, dict) or not old:
        return [Edit(path=field.path, value=after)]
    return [
        Edit(path=(*field.path, name), value=after.get(name, REMOVED))
        for name in {**after, **old}
        if (name in after) != (name in old) or after.get(name) != old.get(name)
    ]


def _new_field(
    fields: list[Field], wanted: dict[tuple[str, ...], list[Any]], post: Mapping[str, str]
) -> list[Edit]:
    typed = clean(post.get("new.name", ""))
    if not typed:
        return []
    split = typed[1:].split("/") if typed.startswith("/") else typed.split(".")
    names = tuple(part.strip().replace("~1", "/").replace("~0", "~") for part in split)
    at = pointer("json_schema", "properties", *names)
    if not all(names):
        raise ConfigurationError(Problem(pointer=at, message=f"{typed!r} is no name of a field"))
    if any(field.names == names for field in fields):
        raise ConfigurationError(Problem(pointer=at, message=f"{typed} is there already"))
    kind = post.get("new.type", ANY)
    schema = {"type": kind} if kind != ANY else {}
    schema |= from_lines(clean(post.get("new.constraints", "")), at=at)
    if post.get("new.needed"):
        _require(wanted.setdefault(names[:-1], []), names[-1], True)
    return [Edit(path=Field(names=names, schema=schema, is_needed=False).path, value=schema)]


def _require(names: list[Any], name: str, needed: bool) -> None:
    if needed and name not in names:
        names.append(name)
    elif not needed and name in names:
        names.remove(name)


def _required(document: Mapping[str, Any], above: tuple[str, ...]) -> list[Any]:
    place: Any = document.get("json_schema")
    for name in above:
        place = place["properties"][name]
    required = place.get("required")
    return required if isinstance(required, list) else []
