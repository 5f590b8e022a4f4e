"""Event times: texts and numbers to microseconds since 1970 UTC, truncated, never guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import MAX_EMAX, MIN_EMIN, ROUND_DOWN, Context, Decimal
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: event times must lie in the years 2000 to 2100; microseconds since 1970 UTC
EARLIEST_US = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
END_US = int(datetime(2101, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000

#: microseconds in one unit of each epoch format
EPOCH_UNITS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
#: digits that one unit has before its microseconds: epoch_s counts 6 decimals
EPOCH_DECIMALS = {"epoch_s": 6, "epoch_ms": 3, "epoch_us": 0}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})[Tt ]"
    r"(?P<H>[0-9]{2}):(?P<M>[0-9]{2}):(?P<S>[0-9]{2})(?:\.(?P<f>[0-9]+))?"
    r"(?P<z>[Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)
_MONTH_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, start=1)}
_DIRECTIVES = {
    "Y": "(?P<Y>[0-9]{4})",
    "m": "(?P<m>[0-9]{2})",
    "b": "(?P<b>[A-Za-z]{3})",
    "d": "(?P<d>[0-9]{2})",
    "H": "(?P<H>[0-9]{2})",
    "M": "(?P<M>[0-9]{2})",
    "S": "(?P<S>[0-9]{2})",
    "f": "(?P<f>[0-9]+)",
    "z": "(?P<z>[Zz]|[+-][0-9]{2}:?[0-9]{2})",
    "%": "%",
}
# Multiplying rounds down, so 60 digits are as good as all of them.
_TRUNCATING = Context(prec=60, rounding=ROUND_DOWN, Emin=MIN_EMIN, Emax=MAX_EMAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeFormat:
    """How a schema writes its times: rfc3339, epoch_s, epoch_ms, epoch_us or pattern."""

    name: str
    #: text -> microseconds since 1970 UTC or None; for the formats that are text
    read: Callable[[str], int | None] | None = field(default=None, compare=False)

    @property
    def is_text(self) -> bool:
        """Whether times are JSON strings."""
        return self.read is not None


def text_format(name: str, *, pattern: str = "", zone: str = "") -> TimeFormat:
    """`rfc3339`, or `pattern` in strptime's words (%Y %m %b %d %H %M %S %f %z) in a zone.

    Raises ValueError for a pattern or zone that cannot be right.
    """
    if name == "rfc3339":
        return TimeFormat(name=name, read=partial(_read_text, _RFC3339, UTC))
    return TimeFormat(name=name, read=partial(_read_text, _compile(pattern, zone), _zone(zone)))


def epoch_us(value: Decimal, name: str) -> int | None:
    """Microseconds since 1970 of a number in an epoch format; None far out of range."""
    if value.adjusted() > 20:
        return None
    return int(_TRUNCATING.multiply(value, Decimal(EPOCH_UNITS[name])))


def in_range(us: int) -> bool:
    """Whether a time lies in the years that payflow takes."""
    return EARLIEST_US <= us < END_US


def _read_text(pattern: re.Pattern[str], zone: tzinfo, text: str) -> int | None:
    found = pattern.match(text)
    if not found:
        return None
    part = found.groupdict()
    month = _MONTHS.get(part["b"].lower(), 0) if "b" in part else int(part["m"])
    try:
        local = datetime(
            int(part["Y"]),
            month,
            int(part["d"]),
            int(part.get("H") or 0),
            int(part.get("M") or 0),
            int(part.get("S") or 0),
            tzinfo=_offset(part["z"]) if part.get("z") else zone,
        )
        if not _exists(local):
            return None
    except (ValueError, OverflowError):
        return None
    microseconds = int((part.get("f") or "")[:6].ljust(6, "0"))
    return (local - _EPOCH) // timedelta(microseconds=1) + microseconds


def _offset(text: str) -> tzinfo:
    """The zone of Z or +hh:mm; raises ValueError beyond 23:59."""
    if text in {"Z", "z"}:
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _exists(local: datetime) -> bool:
    """Whether the clocks of the zone ever showed this time (not so in the hour DST skips).

    The hour that DST repeats is read as its first pass.
    """
    if not isinstance(local.tzinfo, ZoneInfo):
        return True
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(
        tzinfo=None
    )


def _compile(pattern: str, zone: str) -> re.Pattern[str]:
    parts = re.split(r"%(.?)", pattern)
    unknown = [name for name in parts[1::2] if name not in _DIRECTIVES]
    if unknown:
        raise ValueError(f"%{unknown[0]} is not supported; known are %Y %m %b %d %H %M %S %f %z %%")
    names = set(parts[1::2])
    if not {"Y", "d"} <= names or len(names & {"m", "b"}) != 1:
        raise ValueError("a pattern names the year (%Y), the month (%m or %b) and the day (%d)")
    if len(names - {"%"}) != len([name for name in parts[1::2] if name != "%"]):
        raise ValueError("a pattern names each part once")
    if ("z" in names) == bool(zone):
        raise ValueError("a time has its offset in the pattern (%z) or a zone, and not both")
    texts = [_DIRECTIVES[part] if at % 2 else re.escape(part) for at, part in enumerate(parts)]
    return re.compile("".join(texts) + r"\Z")


def _zone(name: str) -> tzinfo:
    if name in {"", "UTC"}:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError(f"{name!r} is no time zone; zones look like Europe/Berlin") from exc
