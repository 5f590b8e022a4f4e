"""Transaction schemas: fields of the event, columns, attributes, identity, route."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from configuration.diff.change import Action, Change
from configuration.diff.named import diff_named, entries_of, remaining
from configuration.diff.values import below, facets, same, spread, union

#: keywords that say nothing about a value
_REMARKS: Final = frozenset({"$comment", "default", "deprecated", "description", "examples"})
_REMARKS_TOO: Final = frozenset({"$id", "$schema", "readOnly", "title", "writeOnly"})
_IDENTITY_NOTE: Final = "Events from before are not recognised as the same any more."
_DONE: Final = frozenset({"attributes", "columns", "identity", "json_schema", "route"})


def diff_schemas(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """The differences of two schema documents."""
    return [
        *_fields(old, new),
        *diff_named("Columns", "column", old, new, key="columns"),
        *diff_named("Attributes", "attribute", old, new, key="attributes"),
        *_identity(old, new),
        *_route(old, new),
        *remaining(old, new, done=_DONE),
    ]


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = (
        dict(_walk(side.get("json_schema", True), "", "/json_schema")) for side in (old, new)
    )
    for path in union(before, after):
        subject = path or "the event"
        if path not in before or path not in after:
            pointer, keywords = (after if path in after else before)[path]
            is_new = path in after
            yield Change(
                area="Event fields",
                subject=subject,
                what="new field" if is_new else "removed field",
                action=Action.ADDED if is_new else Action.REMOVED,
                old=() if is_new else _said(keywords),
                new=_said(keywords) if is_new else (),
                pointer=pointer,
            )
            continue
        pointer = after[path][0]
        for facet in facets(before[path][1], after[path][1], what="", pointer=pointer):
            keyword = facet.what.partition(" ")[0]
            is_remark = keyword in _REMARKS | _REMARKS_TOO
            yield Change(
                area="Event fields",
                subject=subject,
                what=facet.what,
                action=Action.CHANGED,
                old=facet.old,
                new=facet.new,
                # what payflow says in its own words is no place in the document
                pointer=pointer if keyword in {"needed", "further"} else facet.pointer,
                note="A remark: no verdict depends on it." if is_remark else "",
            )


def _said(keywords: Mapping[str, Any]) -> tuple[str, ...]:
    told = {key: value for key, value in keywords.items() if (key, value) != ("needed", "no")}
    return spread(told) or ("anything",)


def _walk(schema: Any, path: str, pointer: str) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    """(field, (pointer, what is said of it)) of a JSON Schema, parents first."""
    if not isinstance(schema, Mapping):
        said = {} if schema is True else {"value": "none" if schema is False else schema}
        yield path, (pointer, said)
        return
    said = {
        key: value
        for key, value in schema.items()
        if key not in {"properties", "required", "items", "additionalProperties"}
    }
    further = schema.get("additionalProperties", True)
    if isinstance(further, bool) and not further:
        said["further fields"] = "refused"
    yield path, (pointer, said)
    needed = schema.get("required", [])
    needed = needed if isinstance(needed, list) else []
    properties = schema.get("properties", {})
    properties = properties if isinstance(properties, Mapping) else {}
    for name in dict.fromkeys((*properties, *map(str, needed))):
        place = below(f"{pointer}/properties", name)
        child = f"{path}.{name}" if path else str(name)
        for at, (where, what) in _walk(properties.get(name, True), child, place):
            is_needed = "yes" if name in needed else "no"
            yield at, (where, {"needed": is_needed, **what} if at == child else what)
    if "items" in schema:
        yield from _walk(schema["items"], f"{path}[]", f"{pointer}/items")
    if not isinstance(further, bool):
        child = f"{path}.*" if path else "*"
        yield from _walk(further, child, f"{pointer}/additionalProperties")


def _identity(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = (_identity_of(side.get("identity")) for side in (old, new))
    for facet in facets(before, after, what="", pointer="/identity"):
        yield Change(
            area="Identity",
            subject="identity",
            what="made of" if facet.what == "fields" else facet.what,
            action=Action.CHANGED,
            old=facet.old,
            new=facet.new,
            pointer="/identity",
            note=_IDENTITY_NOTE,
        )


def _identity_of(value: Any) -> dict[str, Any]:
    """Both ways of writing an identity as one."""
    if value is None:
        return {}
    return dict(value) if isinstance(value, Mapping) else {"fields": value}


def _route(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = (side.get("route") for side in (old, new))
    if same(before, after):
        return
    for key in union(entries_of(before), entries_of(after)):
        sides = [entries_of(side) for side in (before, after)]
        given = [[side[key]] if key in side else [] for side in sides]
        is_word = key == "otherwise"
        tests = [value[0] if value else ({} if not is_word else "failed") for value in given]
        for facet in facets(*tests, what="", pointer=below("/route", key)):
            yield Change(
                area="Route",
                subject="all others" if is_word else str(key),
                what="become" if is_word else {"in": "takes"}.get(facet.what, facet.what),
                action=Action.CHANGED,
                old=facet.old,
                new=facet.new,
                pointer=facet.pointer,
            )
