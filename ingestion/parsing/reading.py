"""Strict JSON for the slow path: bytes in, exact values out, a reason for everything else.

Numbers keep their text (no float, no int conversion), objects remember repeated names, and
nothing that JSON forbids (NaN, control characters, trailing bytes) passes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from ingestion.parsing.reasons import Reason, ValidationError, problem

#: bytes; a longer message is not parsed at all
MAX_MESSAGE = 2**20
#: levels of arrays and objects; real events have fewer than ten, and C stacks are finite
MAX_DEPTH = 300

_BOM = b"\xef\xbb\xbf"
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{\]}]', re.DOTALL)
# Exponents that even Decimal cannot hold: any number of this size compares, and fails, alike.
_HUGE, _TINY = Decimal("1e+999999999999999999"), Decimal("1e-999999999999999999")


class JsonNumber:
    """A JSON number with the digits it was written with."""

    __slots__ = ("literal",)

    def __init__(self, literal: str) -> None:
        self.literal = literal

    @property
    def value(self) -> Decimal:
        """The exact value."""
        return exact_decimal(self.literal)

    @property
    def is_integer_literal(self) -> bool:
        """Whether it is written without fraction and exponent."""
        return self.literal.lstrip("-").isdigit()

    @property
    def is_integral(self) -> bool:
        """Whether the value has no fraction (1.0 and 1e3 have none)."""
        return self.is_integer_literal or self.value == self.value.to_integral_value()


class JsonObject(dict[str, "JsonValue"]):
    """A JSON object that knows which of its names occur more than once."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, JsonValue]]) -> None:
        super().__init__(pairs)
        self.repeated: frozenset[str] = frozenset()
        if len(self) != len(pairs):
            seen = Counter(name for name, _ in pairs)
            self.repeated = frozenset(name for name, times in seen.items() if times > 1)


JsonValue = JsonObject | list["JsonValue"] | str | JsonNumber | bool | None


class _Repeat(Exception):
    """An object holds a name twice."""


class Rejected(Exception):
    """The message cannot be read at all."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(error.constraint)
        self.error = error


@dataclass(slots=True)
class NameTree:
    """The names that a schema looks at, level by level."""

    children: dict[str, NameTree]
    #: where the schema looks into an array: the names of its elements
    elements: NameTree | None = None


def exact_decimal(literal: str) -> Decimal:
    """The value of a JSON number; exponents beyond Decimal's become its largest or smallest."""
    try:
        return Decimal(literal)
    except InvalidOperation:
        mantissa, _, exponent = literal.lower().partition("e")
        if not Decimal(mantissa):
            return Decimal(0)
        size = _TINY if exponent.startswith("-") else _HUGE
        return size.copy_sign(Decimal(mantissa))


def read_object(body: bytes) -> JsonObject:
    """The JSON object that the bytes are; raises Rejected with the reason when they are none."""
    text = _decode(body)
    _check_depth(text)
    value = read_value(text)
    if not isinstance(value, JsonObject):
        raise _rejected(Reason.NOT_AN_OBJECT, "an object", type_name(value))
    return value


def read_value(text: str) -> JsonValue:
    """The value of a JSON text that is not too deep; raises Rejected."""
    try:
        value: JsonValue = _DECODER.decode(text)
    except json.JSONDecodeError as exc:
        raise _rejected(Reason.INVALID_JSON, "JSON", f"an error at character {exc.pos}") from exc
    return value


def repeated_names(value: JsonObject, tree: NameTree, path: str = "") -> Iterator[ValidationError]:
    """One error per name of the tree that an object on the way holds more than once."""
    for name, subtree in tree.children.items():
        field = f"{path}.{name}" if path else name
        if name in value.repeated:
            yield problem(field, Reason.DUPLICATE_KEY, "one value", "several values")
        child = value.get(name)
        if subtree.children and isinstance(child, JsonObject):
            yield from repeated_names(child, subtree, field)
        elif subtree.elements is not None and isinstance(child, list):
            yield from repeated_in_elements(child, subtree.elements, field)


def repeated_in_elements(
    array: list[JsonValue], tree: NameTree, path: str
) -> Iterator[ValidationError]:
    """The same for the elements of an array that a schema picks from."""
    for position, element in enumerate(array):
        place = f"{path}[{position}]"
        if isinstance(element, JsonObject):
            yield from repeated_names(element, tree, place)
        elif isinstance(element, list) and tree.elements is not None:
            yield from repeated_in_elements(element, tree.elements, place)


def has_repeats(body: bytes) -> bool:
    """Whether any object of a JSON message holds a name twice; values are not looked at."""
    try:
        _REPEAT_FINDER.decode(body.decode())
    except _Repeat:
        return True
    return False


def type_name(value: JsonValue) -> str:
    """The JSON type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case JsonNumber():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


def _decode(body: bytes) -> str:
    if len(body) > MAX_MESSAGE:
        raise _rejected(Reason.TOO_LARGE, f"at most {MAX_MESSAGE} bytes", f"{len(body)} bytes")
    if not body.strip(b" \t\r\n"):
        raise _rejected(Reason.EMPTY, "a message", "no bytes but white space")
    if body.startswith(_BOM):
        raise _rejected(Reason.BOM, "JSON without byte order mark", "a byte order mark")
    try:
        return body.decode()
    except UnicodeDecodeError as exc:
        raise _rejected(Reason.INVALID_UTF8, "UTF-8", f"an error at byte {exc.start}") from exc


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        match token.group()[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
        if depth > MAX_DEPTH:
            raise _rejected(Reason.TOO_DEEP, f"at most {MAX_DEPTH} levels", "more")


def _rejected(reason: Reason, expected: str, actual: str) -> Rejected:
    return Rejected(problem("", reason, expected, actual))


def _refuse_constant(_: str) -> JsonValue:
    raise _rejected(Reason.NON_FINITE, "finite numbers", "NaN or Infinity")


_DECODER = json.JSONDecoder(
    object_pairs_hook=JsonObject,
    parse_float=JsonNumber,
    parse_int=JsonNumber,
    parse_constant=_refuse_constant,
)


def _refuse_repeats(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _Repeat


_REPEAT_FINDER = json.JSONDecoder(
    object_pairs_hook=_refuse_repeats,
    # any C function that takes the digits and keeps nothing of them
    parse_float=len,
    parse_int=len,
)
