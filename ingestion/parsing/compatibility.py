"""Whether events that pass one version of a schema pass another, with the same columns.

Each direction asks the same question of a `given` and a `wanted` schema: does every event that
passes `given` pass `wanted`, and has every column and attribute of `given` the same value there?
Backward, the older one is given; forward, the newer one. Whatever differs is a reason against it
unless it follows from the documents that no event can tell. Events with a name twice in one object
are left out of account: which names a schema minds depends on which it looks at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from configuration.compatibility import Compatibility, Effect, Reason, Verdict
from ingestion.parsing.column_compatibility import Sides, Version, column_reasons
from ingestion.parsing.document import Document
from ingestion.parsing.json_schema import SchemaNode
from ingestion.parsing.mapping import read_document
from ingestion.parsing.paths import label_of
from ingestion.parsing.problems import Problems
from ingestion.parsing.subschema import losses
from payflow.lib.errors import ConfigurationError


def compare_schemas(old: Mapping[str, Any], new: Mapping[str, Any]) -> Compatibility:
    """Compare two schema documents; never raises: what is not understood is "cannot tell"."""
    if _canonical(old) == _canonical(new):
        return Compatibility(backward=Verdict(), forward=Verdict())
    try:
        older, newer = (read_document(side, name=_name(side)) for side in (old, new))
    except ConfigurationError as exc:
        doubt = Verdict(reasons=(_unreadable(exc),))
        return Compatibility(backward=doubt, forward=doubt)
    versions = Version(raw=old, document=older), Version(raw=new, document=newer)
    return Compatibility(
        backward=_verdict(Sides(given=versions[0], wanted=versions[1], is_forward=False)),
        forward=_verdict(Sides(given=versions[1], wanted=versions[0], is_forward=True)),
    )


def _verdict(sides: Sides) -> Verdict:
    older, newer = sides.older.document, sides.newer.document
    reasons = (
        *_identity(older, newer),
        *_explode(older, newer),
        *_nulls(older, newer),
        *_route(sides),
        *_schema(sides),
        *column_reasons(sides),
        *_checks(sides),
    )
    return Verdict(reasons=tuple(dict.fromkeys(reasons)))


def _identity(older: Document, newer: Document) -> Iterator[Reason]:
    if older.identity != newer.identity:
        before, after = (", ".join(side.identity.fields) or "position" for side in (older, newer))
        if before == after:
            before, after = f"scope {older.identity.scope}", f"scope {newer.identity.scope}"
        message = (
            f"is {after} instead of {before}: events from before are not recognised, so a "
            "redelivery counts twice"
        )
        yield Reason(pointer="/identity", field="identity", message=message, effect=Effect.BREAKING)


def _explode(older: Document, newer: Document) -> Iterator[Reason]:
    if older.explode != newer.explode:
        before, after = (
            label_of(side.explode) if side.explode else "nothing" for side in (older, newer)
        )
        message = f"splits messages by {after} instead of {before}: they give other events"
        yield Reason(pointer="/explode", field="explode", message=message, effect=Effect.BREAKING)


def _nulls(older: Document, newer: Document) -> Iterator[Reason]:
    for words, verb in (
        (newer.nulls - older.nulls, "counts as missing now, and was a value before"),
        (older.nulls - newer.nulls, "is a value now, and counted as missing before"),
    ):
        for word in sorted(words):
            message = f"{json.dumps(word)} {verb}"
            yield Reason(pointer="/nulls", field="nulls", message=message, effect=Effect.BREAKING)


def _route(sides: Sides) -> Iterator[Reason]:
    given, wanted = sides.given.document.route, sides.wanted.document.route
    if wanted is None:
        return
    for path, words in wanted.fields.items():
        field = label_of(path)
        taken = given.fields.get(path) if given else None
        gone = sorted(taken - words) if taken is not None else []
        if taken is None:
            values = f"messages other than those with {', '.join(sorted(words))}"
        elif gone:
            values = f"messages with {', '.join(gone)}"
        else:
            continue
        pointer = Problems.below("/route", field)
        message = f"{values} {sides.lost}"
        yield Reason(pointer=pointer, field=field, message=message, effect=Effect.BREAKING)


def _schema(sides: Sides) -> Iterator[Reason]:
    given, wanted = (
        _of_an_object(side.document.json_schema) for side in (sides.given, sides.wanted)
    )
    for loss in losses(given, wanted, pointer="/json_schema"):
        yield Reason(
            pointer=loss.pointer,
            field=loss.field or "event",
            message=f"{loss.values} {sides.lost}",
            effect=loss.effect,
        )


def _of_an_object(node: SchemaNode) -> SchemaNode:
    """What a schema says of events, which are always objects."""
    return SchemaNode({**node.keywords, "type": ("object",)})


def _checks(sides: Sides) -> Iterator[Reason]:
    known = {check.holds.sql for check in sides.given.document.checks}
    for number, check in enumerate(sides.wanted.document.checks):
        if check.holds.sql not in known:
            yield Reason(
                pointer=f"/checks/{number}",
                field=check.name,
                message=f"events for which it is false {sides.lost}",
                effect=Effect.BREAKING,
            )


def _unreadable(exc: ConfigurationError) -> Reason:
    first = exc.problems[0]
    message = f"one of the two is not valid ({first})"
    return Reason(pointer=first.pointer, field="", message=message, effect=Effect.UNKNOWN)


def _canonical(document: Mapping[str, Any]) -> str:
    """Equal for documents that only differ in what is said about them."""
    said = {key: value for key, value in document.items() if key != "description"}
    return json.dumps(said, sort_keys=True, default=str)


def _name(document: Mapping[str, Any]) -> str:
    name = document.get("name")
    return name if isinstance(name, str) and name else "schema"
