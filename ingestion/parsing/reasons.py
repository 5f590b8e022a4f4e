"""Why a message is refused: the stable reason codes and the error that carries one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Stable codes: groups of failures, metrics and documentation key on them."""

    # the bytes
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    INVALID_UTF8 = "invalid_utf8"
    BOM = "bom"
    INVALID_JSON = "invalid_json"
    TOO_DEEP = "too_deep"
    NON_FINITE = "non_finite"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_KEY = "duplicate_key"
    INVALID_ENCODING = "invalid_encoding"
    INVALID_XML = "invalid_xml"
    TOO_MANY_PARTS = "too_many_parts"
    # the route
    UNROUTED = "unrouted"
    # JSON Schema
    REQUIRED = "required"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    NOT_A_MULTIPLE = "not_a_multiple"
    WRONG_LENGTH = "wrong_length"
    PATTERN_MISMATCH = "pattern_mismatch"
    INVALID_FORMAT = "invalid_format"
    NOT_ALLOWED = "not_allowed"
    UNKNOWN_FIELD = "unknown_field"
    # the mapping
    UNMAPPED_VALUE = "unmapped_value"
    NUL_CHARACTER = "nul_character"
    LONE_SURROGATE = "lone_surrogate"
    TEXT_TOO_LONG = "text_too_long"
    INVALID_NUMBER = "invalid_number"
    TOO_MANY_DIGITS = "too_many_digits"
    TOO_MANY_DECIMALS = "too_many_decimals"
    UNKNOWN_CURRENCY = "unknown_currency"
    UNKNOWN_STATUS = "unknown_status"
    INVALID_COUNTRY = "invalid_country"
    INVALID_TIME = "invalid_time"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    # what the schema computes
    CHECK_FAILED = "check_failed"
    NOT_COMPUTED = "not_computed"
    # the world around it
    IN_THE_FUTURE = "in_the_future"
    DUPLICATE_CONFLICT = "duplicate_conflict"
    REFUSED_BY_DATABASE = "refused_by_database"


class TransactionStatus(StrEnum):
    """The payment states every schema maps its own words onto."""

    COMPLETED = "completed"
    FAILED = "failed"
    PENDING = "pending"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationError:
    """One thing that is wrong with one message. Never holds payload text."""

    #: dotted path in the event ("money.value"), "" for the message as a whole
    field: str
    constraint: Reason
    #: what the schema or the mapping asks for
    expected: str
    #: a type, a length or a count: what was found, without its content
    actual: str
    message: str


def characters(number: int) -> str:
    """A length as people say it."""
    return "1 character" if number == 1 else f"{number} characters"


def problem(field: str, constraint: Reason, expected: str, actual: str) -> ValidationError:
    """A ValidationError whose message is a sentence made of its parts."""
    where = f"{field}: " if field else ""
    return ValidationError(
        field=field,
        constraint=constraint,
        expected=expected,
        actual=actual,
        message=f"{where}expected {expected}, found {actual}",
    )
