"""The slow path's validation rules: small, composable, one per JSON Schema keyword.

A rule looks at one value and yields what is wrong with it. A keyword that speaks about another
type than the value's says nothing (JSON Schema 2020-12, validation, section 6).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ingestion.parsing.formats import FORMATS
from ingestion.parsing.patterns import search, search_all
from ingestion.parsing.reading import JsonNumber, JsonObject, JsonValue, type_name
from ingestion.parsing.reasons import Reason, ValidationError, characters, problem


class ValidationRule(ABC):
    """One demand on a value."""

    @abstractmethod
    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        """What is wrong with the value found at the dotted path `field`."""

    def first(self, value: JsonValue, field: str) -> ValidationError | None:
        """The first thing that is wrong: fail-fast."""
        return next(self.check(value, field), None)

    def wrong(self, values: Sequence[JsonValue]) -> set[int]:
        """Indexes of the values with which anything is wrong: what many values cost together."""
        return {at for at, value in enumerate(values) if self.first(value, "") is not None}


@dataclass(frozen=True, slots=True)
class AllRules(ValidationRule):
    """Every rule of a schema node."""

    rules: tuple[ValidationRule, ...]

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        for rule in self.rules:
            yield from rule.check(value, field)

    def wrong(self, values: Sequence[JsonValue]) -> set[int]:
        return set().union(*(rule.wrong(values) for rule in self.rules))


@dataclass(frozen=True, slots=True)
class NeverRule(ValidationRule):
    """`false`: no value at all."""

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        yield problem(field, Reason.NOT_ALLOWED, "no value", type_name(value))


@dataclass(frozen=True, slots=True)
class TypeRule(ValidationRule):
    """`type`."""

    types: tuple[str, ...]

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        found = type_name(value)
        if found in self.types:
            return
        if "integer" in self.types and isinstance(value, JsonNumber) and value.is_integral:
            return
        yield problem(field, Reason.WRONG_TYPE, " or ".join(self.types), found)


@dataclass(frozen=True, slots=True)
class RequiredRule(ValidationRule):
    """`required`."""

    names: tuple[str, ...]

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        if not isinstance(value, JsonObject):
            return
        for name in self.names:
            if name not in value:
                yield problem(join(field, name), Reason.REQUIRED, "a value", "nothing")


@dataclass(frozen=True, slots=True)
class PropertiesRule(ValidationRule):
    """`properties`."""

    rules: Mapping[str, ValidationRule]

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        if not isinstance(value, JsonObject):
            return
        for name, rule in self.rules.items():
            if name in value:
                yield from rule.check(value[name], join(field, name))

    def wrong(self, values: Sequence[JsonValue]) -> set[int]:
        found: set[int] = set()
        for name, rule in self.rules.items():
            holders = [
                (at, value[name])
                for at, value in enumerate(values)
                if isinstance(value, JsonObject) and name in value
            ]
            found |= _wrong_holders(rule, holders)
        return found


@dataclass(frozen=True, slots=True)
class AdditionalPropertiesRule(ValidationRule):
    """`additionalProperties`: what names outside `properties` may hold."""

    declared: frozenset[str]
    rule: ValidationRule

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        if not isinstance(value, JsonObject):
            return
        extra = [name for name in value if name not in self.declared]
        if isinstance(self.rule, NeverRule):
            # The names are the sender's text, so they are counted and not named.
            if extra:
                yield problem(
                    field, Reason.UNKNOWN_FIELD, "only declared fields", f"{len(extra)} more"
                )
            return
        inside = [value[name] for name in extra]
        for at in sorted(self.rule.wrong(inside)):
            yield from self.rule.check(inside[at], join(field, "*"))

    def wrong(self, values: Sequence[JsonValue]) -> set[int]:
        holders = [
            (at, item)
            for at, value in enumerate(values)
            if isinstance(value, JsonObject)
            for name, item in value.items()
            if name not in self.declared
        ]
        return _wrong_holders(self.rule, holders)


@dataclass(frozen=True, slots=True)
class ItemsRule(ValidationRule):
    """`items`: every element of an array."""

    rule: ValidationRule

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        if isinstance(value, list):
            for position in sorted(self.rule.wrong(value)):
                yield from self.rule.check(value[position], f"{field}[{position}]")

    def wrong(self, values: Sequence[JsonValue]) -> set[int]:
        holders = [(at, item) for at, v in enumerate(values) if isinstance(v, list) for item in v]
        return _wrong_holders(self.rule, holders)


@dataclass(frozen=True, slots=True)
class AllowedValuesRule(ValidationRule):
    """`enum` and `const`: equality of JSON values, so that 1 is 1.0 and never true."""

    allowed: frozenset[Any]

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        if comparable(value) not in self.allowed:
            expected = f"one of {len(self.allowed)} values"
            yield problem(field, Reason.NOT_ALLOWED, expected, f"another {type_name(value)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeRule(ValidationRule):
    """`minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`."""

    minimum: Decimal | None = None
    maximum: Decimal | None = None
    above: Decimal | None = None
    below: Decimal | None = None

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        if not isinstance(value, JsonNumber):
            return
        number = value.value
        for fails, words in (
            (self.minimum is not None and number < self.minimum, f"at least {self.minimum}"),
            (self.above is not None and number <= self.above, f"more than {self.above}"),
            (self.maximum is not None and number > self.maximum, f"at most {self.maximum}"),
            (self.below is not None and number >= self.below, f"less than {self.below}"),
        ):
            if fails:
                yield problem(field, Reason.OUT_OF_RANGE, words, "a number outside")


@dataclass(frozen=True, slots=True)
class MultipleOfRule(ValidationRule):
    """`multipleOf`."""

    divisor: Decimal

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        if isinstance(value, JsonNumber) and not is_multiple(value.value, self.divisor):
            expected = f"a multiple of {self.divisor}"
            yield problem(field, Reason.NOT_A_MULTIPLE, expected, "a number between")


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthRule(ValidationRule):
    """`minLength` and `maxLength`, in characters (code points)."""

    shortest: int = 0
    longest: int | None = None

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        if not isinstance(value, str):
            return
        found = characters(len(value))
        if len(value) < self.shortest:
            expected = f"at least {characters(self.shortest)}"
            yield problem(field, Reason.WRONG_LENGTH, expected, found)
        if self.longest is not None and len(value) > self.longest:
            expected = f"at most {characters(self.longest)}"
            yield problem(field, Reason.WRONG_LENGTH, expected, found)


@dataclass(frozen=True, slots=True)
class PatternRule(ValidationRule):
    """`pattern`: found anywhere in the text; `rust` is the pattern in the engine's dialect."""

    pattern: str
    rust: str

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        if isinstance(value, str) and not search(self.rust, value):
            expected = f"text like {self.pattern}"
            yield problem(field, Reason.PATTERN_MISMATCH, expected, characters(len(value)))

    def wrong(self, values: Sequence[JsonValue]) -> set[int]:
        texts = [(at, value) for at, value in enumerate(values) if isinstance(value, str)]
        found = search_all(self.rust, [text for _, text in texts])
        return {at for (at, _), is_found in zip(texts, found, strict=True) if not is_found}


@dataclass(frozen=True, slots=True)
class FormatRule(ValidationRule):
    """`format`, asserted."""

    name: str

    def check(self, value: JsonValue, field: str) -> Iterator[ValidationError]:
        if isinstance(value, str) and not FORMATS[self.name].check(value):
            found = characters(len(value))
            yield problem(field, Reason.INVALID_FORMAT, f"format {self.name}", found)


def _wrong_holders(rule: ValidationRule, holders: Sequence[tuple[int, JsonValue]]) -> set[int]:
    """Which holders have a value with which anything is wrong."""
    found = rule.wrong([value for _, value in holders])
    return {holders[at][0] for at in found}


def join(field: str, name: str) -> str:
    """The dotted path of a name below a field."""
    return f"{field}.{name}" if field else name


def comparable(value: JsonValue) -> Any:
    """A hashable stand-in: two are equal exactly when the JSON values are."""
    match value:
        case JsonNumber():
            return ("number", value.value)
        case list():
            return ("array", tuple(map(comparable, value)))
        case dict():
            return ("object", frozenset((name, comparable(item)) for name, item in value.items()))
        case _:
            return (type_name(value), value)


def is_multiple(number: Decimal, divisor: Decimal) -> bool:
    """Whether number / divisor is an integer: digit by digit, so no size of number is slow."""
    _, digits, exponent = number.as_tuple()
    _, divisor_digits, divisor_exponent = divisor.as_tuple()
    coefficient = "".join(map(str, digits))
    significant = coefficient.rstrip("0")
    if not significant:
        return True
    shift = int(exponent) + len(coefficient) - len(significant) - int(divisor_exponent)
    if shift < 0:
        return False  # decimals are left below the divisor's last one
    modulus = int("".join(map(str, divisor_digits)))
    remainder = 0
    for digit in significant:
        remainder = (remainder * 10 + int(digit)) % modulus
    return remainder * pow(10, shift, modulus) % modulus == 0
