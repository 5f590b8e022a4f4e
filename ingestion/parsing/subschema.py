"""Whether every value that passes one JSON Schema passes another.

Yes only when it follows from the keywords, one by one; what does not follow is a reason, with the
values that are lost where they can be named. Nothing is taken for granted: a keyword that this
module cannot weigh makes the answer "cannot tell".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

from configuration.compatibility import Effect
from ingestion.parsing.json_schema import ANYTHING, TYPES, SchemaNode, rules_of
from ingestion.parsing.languages import Texts, counterexample
from ingestion.parsing.problems import Problems
from ingestion.parsing.reading import JsonNumber, JsonValue, type_name
from ingestion.parsing.rules import is_multiple, join

#: values named in one reason
_MAX_NAMED: Final = 5
_ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Values that pass the one schema and not the other, or may."""

    #: JSON pointer below the schema
    pointer: str
    #: dotted path in the event
    field: str
    #: the values: "texts longer than 3 characters"
    values: str
    effect: Effect = Effect.BREAKING


@dataclass(frozen=True, slots=True)
class _Place:
    pointer: str
    field: str

    def loss(self, keyword: str, values: str, effect: Effect = Effect.BREAKING) -> Loss:
        pointer = f"{self.pointer}/{keyword}" if keyword else self.pointer
        return Loss(pointer=pointer, field=self.field, values=values, effect=effect)


def losses(a: SchemaNode, b: SchemaNode, *, pointer: str, field: str = "") -> Iterator[Loss]:
    """What passes `a` and not `b`; nothing when every value that passes `a` passes `b`."""
    place = _Place(pointer, field)
    if a is b or a.never or _is_anything(b):
        return
    if b.never:
        yield place.loss("", "events with this field")
    elif (finite := _finite(a)) is not None:
        yield from _lost_values(a, b, finite, place)
    else:
        yield from _lost_types(a, b, place)
        for types, compare in _COMPARISONS:
            if types & _types(a) & _types(b):
                yield from compare(a, b, place)
        yield from _lost_to_a_list(a, b, place)


def _is_anything(node: SchemaNode) -> bool:
    return not node.never and not node.keywords


def _types(node: SchemaNode) -> frozenset[str]:
    """The types that pass; a number is integral or it is not."""
    types = frozenset(node.keywords.get("type", TYPES))
    return types | {"integer"} if "number" in types else types


def _finite(node: SchemaNode) -> list[JsonValue] | None:
    """The values of a node that has finitely many, as candidates; None when it has more."""
    for keyword in ("const", "enum"):
        if keyword in node.keywords:
            return list(node.keywords[keyword])
    if _types(node) <= {"null", "boolean"}:
        return [None, True, False]
    return None


def _lost_values(
    a: SchemaNode, b: SchemaNode, candidates: list[JsonValue], place: _Place
) -> Iterator[Loss]:
    """Finitely many values are tried one by one."""
    before, after = rules_of(a), rules_of(b)
    lost = [
        value
        for value in candidates
        if before.first(value, "") is None and after.first(value, "") is not None
    ]
    if lost:
        named = ", ".join(map(_words, lost[:_MAX_NAMED]))
        more = f" and {len(lost) - _MAX_NAMED:,} more" if len(lost) > _MAX_NAMED else ""
        keyword = next((name for name in ("const", "enum", "type") if name in b.keywords), "")
        yield place.loss(keyword, f"the value{'s' * (len(lost) > 1)} {named}{more}")


def _lost_types(a: SchemaNode, b: SchemaNode, place: _Place) -> Iterator[Loss]:
    lost = _types(a) - _types(b)
    if not lost:
        return
    if lost == {"number"}:
        yield place.loss("type", "numbers with decimals")
    elif "type" not in a.keywords:
        kept = " or ".join(b.keywords["type"])
        yield place.loss("type", f"values of another type than {kept}")
    else:
        named = " or ".join(name for name in a.keywords["type"] if name in lost)
        yield place.loss("type", f"values of type {named or 'integer'}")


def _lost_to_a_list(a: SchemaNode, b: SchemaNode, place: _Place) -> Iterator[Loss]:
    """`enum` and `const` where there were infinitely many values."""
    keyword = next((name for name in ("const", "enum") if name in b.keywords), None)
    if keyword is None or not _types(a) & _types(b):
        return
    count = len(b.keywords[keyword])
    values = f"values other than the {count:,} allowed" if count > 1 else "other values"
    # a pattern or bounds may have had the same effect
    bounded = a.keywords.keys() - {"type", "required", "properties", "items"}
    yield place.loss(keyword, values, Effect.UNKNOWN if bounded else Effect.BREAKING)


def _lost_texts(a: SchemaNode, b: SchemaNode, place: _Place) -> Iterator[Loss]:
    before, after = a.keywords, b.keywords
    if "format" in after and before.get("format") != after["format"]:
        # of formats among themselves, and of patterns beside them, nothing is known
        doubt = Effect.UNKNOWN if {"format", "pattern"} & before.keys() else Effect.BREAKING
        yield place.loss("format", f"texts that are no {after['format']}", doubt)
    given = _texts(before)
    for keyword, wanted in (
        ("minLength", Texts(shortest=after.get("minLength", 0))),
        ("maxLength", Texts(longest=after.get("maxLength"))),
        ("pattern", Texts(pattern=after.get("pattern", ("",))[0])),
    ):
        if keyword not in after or before.get(keyword) == after[keyword]:
            continue
        found = counterexample(given, wanted)
        if found.is_none:
            continue
        doubt = Effect.BREAKING if found.text is not None else Effect.UNKNOWN
        if "format" in before:
            doubt = Effect.UNKNOWN
        yield place.loss(keyword, _texts_lost(keyword, after, found.text), doubt)


def _texts(keywords: Any) -> Texts:
    """At least the texts that pass: the format is left out."""
    return Texts(
        pattern=keywords["pattern"][0] if "pattern" in keywords else "",
        shortest=keywords.get("minLength", 0),
        longest=keywords.get("maxLength"),
    )


def _texts_lost(keyword: str, after: Any, example: str | None) -> str:
    if keyword == "minLength":
        count = after["minLength"]
        return f"texts shorter than {count} characters" if count > 1 else "empty texts"
    if keyword == "maxLength":
        return f"texts longer than {after['maxLength']} characters"
    such = f" such as {_words(example)}" if example is not None else ""
    return f"texts{such} that are not like {after['pattern'][0]}"


def _lost_numbers(a: SchemaNode, b: SchemaNode, place: _Place) -> Iterator[Loss]:
    integral = "number" not in _types(a) & _types(b)
    before, after = a.keywords, b.keywords
    for keyword, words, sign in (
        ("minimum", "numbers below", 1),
        ("exclusiveMinimum", "numbers up to", 1),
        ("maximum", "numbers above", -1),
        ("exclusiveMaximum", "numbers from", -1),
    ):
        if keyword in after and not _is_within(before, keyword, after[keyword], sign, integral):
            yield place.loss(keyword, f"{words} {after[keyword]}")
    if "multipleOf" in after:
        step = before.get("multipleOf", _ONE if integral else None)
        if integral and step is not None and not is_multiple(step, _ONE):
            step = _ONE
        if step is None or not is_multiple(step, after["multipleOf"]):
            yield place.loss("multipleOf", f"numbers that are no multiple of {after['multipleOf']}")


def _is_within(before: Any, keyword: str, bound: Decimal, sign: int, integral: bool) -> bool:
    """Whether the older bounds on this side are at least as strict as `bound`."""
    side = "Minimum" if sign > 0 else "Maximum"
    closed, opened = before.get(side.lower()), before.get(f"exclusive{side}")
    if opened is not None and (opened - bound) * sign >= 0:
        return True
    first = closed
    if integral:
        firsts = [_inward(closed, sign)] if closed is not None else []
        if opened is not None:
            nearest = _inward(opened, sign)
            firsts.append(nearest + sign if nearest == opened else nearest)
        # of two bounds the stricter one holds
        first = max(firsts, key=lambda number: number * sign, default=None)
    if first is None:
        return False
    distance = (first - bound) * sign
    return bool(distance > 0 if keyword.startswith("exclusive") else distance >= 0)


def _inward(bound: Decimal, sign: int) -> Decimal:
    """The first integer from a bound on."""
    return bound.to_integral_value(ROUND_CEILING if sign > 0 else ROUND_FLOOR)


def _lost_arrays(a: SchemaNode, b: SchemaNode, place: _Place) -> Iterator[Loss]:
    if "items" in b.keywords:
        yield from losses(
            a.keywords.get("items", ANYTHING),
            b.keywords["items"],
            pointer=f"{place.pointer}/items",
            field=f"{place.field}[]",
        )


def _lost_objects(a: SchemaNode, b: SchemaNode, place: _Place) -> Iterator[Loss]:
    needed = a.keywords.get("required", ())
    for name in b.keywords.get("required", ()):
        if name not in needed:
            field = join(place.field, name)
            yield Loss(pointer=f"{place.pointer}/required", field=field, values="events without it")
    further_a = a.keywords.get("additionalProperties", ANYTHING)
    further_b = b.keywords.get("additionalProperties", ANYTHING)
    for name in dict.fromkeys((*b.properties, *a.properties)):
        yield from losses(
            a.properties.get(name, further_a),
            b.properties.get(name, further_b),
            pointer=Problems.below(f"{place.pointer}/properties", name),
            field=join(place.field, name),
        )
    pointer = f"{place.pointer}/additionalProperties"
    if further_b.never and not further_a.never:
        yield Loss(pointer=pointer, field=place.field, values="events with undeclared fields")
    else:
        yield from losses(further_a, further_b, pointer=pointer, field=join(place.field, "*"))


def _words(value: JsonValue) -> str:
    if isinstance(value, JsonNumber):
        return value.literal
    if isinstance(value, list | dict):
        return f"{type_name(value)} of {len(value)} members"
    return json.dumps(value)


_Comparison = Callable[[SchemaNode, SchemaNode, _Place], Iterator[Loss]]
_COMPARISONS: Final[tuple[tuple[frozenset[str], _Comparison], ...]] = (
    (frozenset({"string"}), _lost_texts),
    (frozenset({"number", "integer"}), _lost_numbers),
    (frozenset({"array"}), _lost_arrays),
    (frozenset({"object"}), _lost_objects),
)
