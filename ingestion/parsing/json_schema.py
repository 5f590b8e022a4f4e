"""The supported part of JSON Schema 2020-12: a document checked, normalised, turned into rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ingestion.parsing.formats import FORMATS
from ingestion.parsing.patterns import to_rust
from ingestion.parsing.problems import Problems
from ingestion.parsing.reading import JsonNumber, JsonObject, JsonValue
from ingestion.parsing.rules import (
    AdditionalPropertiesRule,
    AllowedValuesRule,
    AllRules,
    FormatRule,
    ItemsRule,
    LengthRule,
    MultipleOfRule,
    NeverRule,
    PatternRule,
    PropertiesRule,
    RangeRule,
    RequiredRule,
    TypeRule,
    ValidationRule,
    comparable,
)
from payflow.lib.spelling import did_you_mean

#: values of one enum
MAX_VALUES = 5_000
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES = ("null", "boolean", "object", "array", "number", "integer", "string")
ANNOTATIONS = frozenset(
    {
        "$comment",
        "$id",
        "default",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)


class Wrong(ValueError):
    """A keyword's value is not what it must be; the message says what it must be."""


@dataclass(frozen=True, slots=True)
class SchemaNode:
    """One checked schema. Numbers are Decimal, patterns (pattern, rust), subschemas nodes."""

    keywords: Mapping[str, Any]
    never: bool = False

    @property
    def properties(self) -> Mapping[str, SchemaNode]:
        """Subschemas by property name."""
        found: Mapping[str, SchemaNode] = self.keywords.get("properties", {})
        return found

    def allows_type(self, name: str) -> bool:
        """Whether `type` lets this type pass."""
        return name in self.keywords.get("type", TYPES)


ANYTHING = SchemaNode({})


def read_schema(document: Any, pointer: str, problems: Problems) -> SchemaNode:
    """The node for a schema document; what is wrong with it goes to `problems`."""
    if isinstance(document, bool):
        return SchemaNode({}, never=not document)
    if not isinstance(document, Mapping):
        problems.add(pointer, "must be a schema: an object, true or false")
        return ANYTHING
    keywords: dict[str, Any] = {}
    for name, value in document.items():
        place = problems.below(pointer, name)
        if name == "$schema":
            if str(value).rstrip("#") != DIALECT:
                problems.add(place, f"only JSON Schema 2020-12 ({DIALECT}) is supported")
        elif name in _READERS:
            try:
                keywords[name] = _READERS[name](value, place, problems)
            except ValueError as exc:
                problems.add(place, str(exc))
        elif name not in ANNOTATIONS:
            hint = did_you_mean(name, _READERS)
            problems.add(place, f"the keyword {name!r} is not supported{hint}")
    return SchemaNode(keywords)


def rules_of(node: SchemaNode) -> ValidationRule:
    """The rules that hold for a value under this node."""
    if node.never:
        return NeverRule()
    keywords = node.keywords
    rules = [make(keywords[name]) for name, make in _RULES.items() if name in keywords]
    if any(name in keywords for name in _BOUNDS):
        bounds = {field: keywords.get(name) for name, field in _BOUNDS.items()}
        rules.append(RangeRule(**bounds))
    if "minLength" in keywords or "maxLength" in keywords:
        shortest = keywords.get("minLength", 0)
        rules.append(LengthRule(shortest=shortest, longest=keywords.get("maxLength")))
    if "additionalProperties" in keywords:
        extra = rules_of(keywords["additionalProperties"])
        rules.append(AdditionalPropertiesRule(frozenset(node.properties), extra))
    return rules[0] if len(rules) == 1 else AllRules(tuple(rules))


def to_json(value: Any) -> JsonValue:
    """A configuration value as the slow path reads values; raises Wrong for others."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return JsonNumber(str(value))
        case float() | Decimal() if math.isfinite(value):
            return JsonNumber(str(value))
        case list():
            return [to_json(item) for item in value]
        case Mapping() if all(isinstance(name, str) for name in value):
            return JsonObject([(name, to_json(item)) for name, item in value.items()])
        case _:
            raise Wrong("must be a JSON value")


def _read_types(value: Any, _place: str, _problems: Problems) -> tuple[str, ...]:
    types = (value,) if isinstance(value, str) else tuple(value) if _is_list(value) else ()
    wrong = next((name for name in types if name not in TYPES), None)
    if not types or wrong is not None:
        found = "" if wrong is None else f", not {wrong!r}"
        raise Wrong(f"must be one or several of {', '.join(TYPES)}{found}")
    return types


def _read_number(value: Any, _place: str, _problems: Problems) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Wrong("must be a number")
    if not math.isfinite(value):
        raise Wrong("must be a finite number")
    return Decimal(str(value))


def _read_divisor(value: Any, place: str, problems: Problems) -> Decimal:
    number = _read_number(value, place, problems)
    if number <= 0:
        raise Wrong("must be a number greater than 0")
    return number


def _read_count(value: Any, place: str, problems: Problems) -> int:
    number = _read_number(value, place, problems)
    if number < 0 or number != int(number):
        raise Wrong("must be an integer of at least 0")
    return int(number)


def _read_pattern(value: Any, _place: str, _problems: Problems) -> tuple[str, str]:
    if not isinstance(value, str):
        raise Wrong("must be a regular expression as text")
    return value, to_rust(value)


def _read_format(value: Any, _place: str, _problems: Problems) -> str:
    if not isinstance(value, str) or value not in FORMATS:
        known = ", ".join(sorted(FORMATS))
        raise Wrong(f"the format {str(value)[:80]!r} is not supported; known are {known}")
    return str(value)


def _read_values(value: Any, place: str, problems: Problems) -> list[JsonValue]:
    if not _is_list(value):
        raise Wrong("must be a list of values")
    if len(value) > MAX_VALUES:
        raise Wrong(f"has {len(value):,} values, at most {MAX_VALUES:,} are allowed")
    return [_read_value(item, place, problems)[0] for item in value]


def _read_value(value: Any, _place: str, _problems: Problems) -> list[JsonValue]:
    return [to_json(value)]


def _read_properties(value: Any, place: str, problems: Problems) -> dict[str, SchemaNode]:
    if not isinstance(value, Mapping):
        raise Wrong("must be an object of schemas")
    return {
        name: read_schema(schema, problems.below(place, name), problems)
        for name, schema in value.items()
    }


def _read_names(value: Any, _place: str, _problems: Problems) -> tuple[str, ...]:
    if not _is_list(value) or any(not isinstance(name, str) for name in value):
        raise Wrong("must be a list of names")
    return tuple(dict.fromkeys(value))


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


_READERS: dict[str, Callable[[Any, str, Problems], Any]] = {
    "type": _read_types,
    "required": _read_names,
    "properties": _read_properties,
    "additionalProperties": read_schema,
    "items": read_schema,
    "enum": _read_values,
    "const": _read_value,
    "minimum": _read_number,
    "maximum": _read_number,
    "exclusiveMinimum": _read_number,
    "exclusiveMaximum": _read_number,
    "multipleOf": _read_divisor,
    "minLength": _read_count,
    "maxLength": _read_count,
    "pattern": _read_pattern,
    "format": _read_format,
}


def _allowed(values: list[JsonValue]) -> ValidationRule:
    return AllowedValuesRule(frozenset(map(comparable, values)))


_RULES: dict[str, Callable[[Any], ValidationRule]] = {
    "type": TypeRule,
    "required": RequiredRule,
    "enum": _allowed,
    "const": _allowed,
    "multipleOf": MultipleOfRule,
    "pattern": lambda pattern: PatternRule(*pattern),
    "format": FormatRule,
    "items": lambda node: ItemsRule(rules_of(node)),
    "properties": lambda nodes: PropertiesRule({n: rules_of(node) for n, node in nodes.items()}),
}
_BOUNDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
}
