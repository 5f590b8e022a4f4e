"""The form of a schema's mapping: where each column and attribute of a transaction comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from configuration.editor_inputs import (
    Form,
    Input,
    Row,
    as_lines,
    as_list,
    clean,
    flow,
    from_lines,
    from_list,
    pointer,
    value_of,
)
from configuration.text_edits import REMOVED, Edit
from payflow.lib.errors import ConfigurationError, Problem

#: ways to say where a value comes from; a column has exactly one
SOURCES: Final = ("path", "first", "constant", "expression")
_TYPES: Final = ("string", "number", "integer", "boolean")
_PARTS: Final = ("columns", "attributes")
_OTHER: Final = frozenset({"name", "json_schema", *_PARTS})
#: rows in one form; browsers may send a thousand inputs
MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A column or attribute, and its definition in the document."""

    part: str
    name: str
    spec: Any

    @property
    def path(self) -> tuple[str, ...]:
        return (self.part, self.name)

    @property
    def source(self) -> str:
        found = [key for key in SOURCES if isinstance(self.spec, dict) and key in self.spec]
        return found[0] if found else "path"

    @property
    def value(self) -> str:
        if not isinstance(self.spec, dict):
            return flow(self.spec)
        value = self.spec.get(self.source, "")
        if self.source == "first":
            return as_list(value)
        return value if isinstance(value, str) else flow(value)

    @property
    def kind(self) -> str:
        return str(self.spec.get("type", "")) if isinstance(self.spec, dict) else ""

    @property
    def options(self) -> dict[str, Any]:
        if not isinstance(self.spec, dict):
            return {}
        apart = {self.source, *(("type",) if self.part == "attributes" else ())}
        return {key: value for key, value in self.spec.items() if key not in apart}

    @property
    def shown(self) -> tuple[str, str, str, str]:
        """What its four inputs hold."""
        return self.source, self.value, self.kind, as_lines(self.options)

    @property
    def meant(self) -> tuple[str, Any, str, dict[str, Any]]:
        """What its inputs say, whatever the order of the options."""
        value = self.spec.get(self.source) if isinstance(self.spec, dict) else self.spec
        return self.source, value, self.kind, self.options


def targets_of(document: Mapping[str, Any]) -> list[Target]:
    return list(_targets(document))


def _targets(document: Mapping[str, Any]) -> Iterator[Target]:
    for part in _PARTS:
        entries = document.get(part)
        if isinstance(entries, dict):
            for name, spec in entries.items():
                yield Target(part=part, name=str(name), spec=spec)


def settings_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the schema says of messages as a whole: identity, route, nulls and the like."""
    return {key: value for key, value in document.items() if key not in _OTHER}


def form(document: Mapping[str, Any], active: Mapping[str, Any] | None) -> Form:
    """The table of columns and attributes; what differs from the active version is marked."""
    targets = targets_of(document)
    before = {t.path: t for t in targets_of(active)} if active is not None else None
    rows = [
        _row(
            f"r{number}",
            target,
            before,
            is_first=not number or targets[number - 1].part != target.part,
        )
        for number, target in enumerate(targets[:MOST])
    ]
    columns = sum(target.part == "columns" for target in targets)
    return Form(
        heads=("Column", "Comes from", "Where", "Type", "Options"),
        rows=[_settings_row(document, active), *rows, _new_row()],
        summary=f"{columns} columns, {len(targets) - columns} attributes",
    )


def _row(
    key: str, target: Target, before: Mapping[tuple[str, ...], Target] | None, *, is_first: bool
) -> Row:
    old = None if before is None else before.get(target.path)
    was = (old or target).meant
    mark = ""
    if before is not None:
        mark = "new" if old is None else "changed" if was != target.meant else ""
    changed = tuple(a != b for a, b in zip(was, target.meant, strict=True))
    return Row(
        key=key,
        title=target.name,
        pointer=pointer(*target.path),
        mark=mark,
        heading=target.part.capitalize() if is_first else "",
        inputs=_inputs(key, target, changed),
    )


def _inputs(key: str, target: Target, changed: tuple[bool, ...] = (False,) * 4) -> list[Input]:
    source, value, kind, options = target.shown
    typed = Input(name="", label="Type", title="", value="", kind="none")
    if target.part == "attributes":
        typed = Input(
            name=f"{key}.type",
            label="Type",
            title=f"Type of {target.name}",
            value=kind,
            kind="select",
            options=_TYPES if kind in _TYPES else (*_TYPES, kind),
            is_changed=changed[2],
        )
    return [
        Input(
            name=f"{key}.source",
            label="Comes from",
            title=f"Kind of source of {target.name}",
            value=source,
            kind="select",
            options=SOURCES,
            is_changed=changed[0],
        ),
        Input(
            name=f"{key}.value",
            label="Where",
            title=f"Source of {target.name}",
            value=value,
            kind="lines",
            is_mono=True,
            is_changed=changed[1],
        ),
        typed,
        Input(
            name=f"{key}.options",
            label="Options",
            title=f"Options of {target.name}, one a line",
            value=options,
            kind="lines",
            is_mono=True,
            is_changed=changed[3],
        ),
    ]


def _settings_row(document: Mapping[str, Any], active: Mapping[str, Any] | None) -> Row:
    text = as_lines(settings_of(document))
    is_changed = active is not None and settings_of(active) != settings_of(document)
    return Row(
        key="all",
        title="Every message",
        sub="identity, route, nulls; one a line",
        pointer="",
        mark="changed" if is_changed else "",
        inputs=[
            Input(
                name="all.options",
                label="Settings",
                title="Settings of the schema, one a line",
                value=text,
                kind="wide",
                is_mono=True,
                is_changed=is_changed,
            )
        ],
    )


def _new_row() -> Row:
    blank = Target(part="attributes", name="the new attribute", spec={"path": "", "type": "string"})
    name = Input(
        name="new.name",
        label="Column",
        title="Name of a new column or attribute",
        value="",
        is_mono=True,
        hint="terminal_id",
    )
    return Row(key="new", title="", pointer="", is_new=True, inputs=[name, *_inputs("new", blank)])


# --- what was typed ------------------------------------------------------------------------------


def edits(
    document: Mapping[str, Any], post: Mapping[str, str], *, columns: frozenset[str]
) -> list[Edit]:
    """What a form changes; a new name is a column when it is one of `columns`.

    Raises ConfigurationError with what cannot be read.
    """
    made: list[Edit] = []
    for number, target in enumerate(targets_of(document)[:MOST]):
        key = f"r{number}"
        if f"{key}.source" not in post:
            continue
        if post.get(f"{key}.remove"):
            made.append(Edit(path=target.path, value=REMOVED))
        elif _typed(key, post) != target.shown:
            made.append(Edit(path=target.path, value=_spec(target, key, post)))
    return [*_settings_edits(document, post), *made, *_new_target(document, post, columns)]


def _typed(key: str, post: Mapping[str, str]) -> tuple[str, str, str, str]:
    return (
        post[f"{key}.source"],
        clean(post.get(f"{key}.value", "")),
        post.get(f"{key}.type", ""),
        clean(post.get(f"{key}.options", "")),
    )


def _spec(target: Target, key: str, post: Mapping[str, str]) -> dict[str, Any]:
    """The definition that was typed; values that were not touched stay as they are."""
    source, value, kind, options = _typed(key, post)
    at = pointer(*target.path)
    spec: dict[str, Any] = {}
    if (source, value) == target.shown[:2] and isinstance(target.spec, dict):
        if source in target.spec:
            spec[source] = target.spec[source]
    elif source == "first":
        spec[source] = from_list(value, at=at)
    else:
        spec[source] = value_of(value, at=at) if source == "constant" else value
    if kind:
        spec["type"] = kind
    unchanged = options == as_lines(target.options)
    return spec | (target.options if unchanged else from_lines(options, at=at))


def _settings_edits(document: Mapping[str, Any], post: Mapping[str, str]) -> list[Edit]:
    old = settings_of(document)
    typed = clean(post.get("all.options", as_lines(old)))
    if typed == as_lines(old):
        return []
    new = from_lines(typed, at="")
    for name in new:
        if name in _OTHER:
            message = f"{name} is not a setting of every message; edit it in its own place"
            raise ConfigurationError(Problem(pointer=pointer(name), message=message))
    return [
        Edit(path=(name,), value=new.get(name, REMOVED))
        for name in {**old, **new}
        if (name in old) != (name in new) or old.get(name) != new.get(name)
    ]


def _new_target(
    document: Mapping[str, Any], post: Mapping[str, str], columns: frozenset[str]
) -> list[Edit]:
    name = clean(post.get("new.name", ""))
    if not name:
        return []
    target = Target(part="columns" if name in columns else "attributes", name=name, spec=None)
    if any(target.path == known.path for known in targets_of(document)):
        raise ConfigurationError(
            Problem(pointer=pointer(*target.path), message=f"{name} is there already")
        )
    spec = _spec(target, "new", post)
    if target.part == "columns":
        spec.pop("type", None)
    return [Edit(path=target.path, value=spec)]
