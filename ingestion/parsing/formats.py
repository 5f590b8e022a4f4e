"""The values of `format` that payflow asserts.

Each has an exact check for the slow path and a Rust pattern for the fast one. The pattern takes
only what the check takes; texts that it does not take are looked at again by the check.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format: the exact rule and the part of it that a regular expression can promise."""

    check: Callable[[str], bool]
    fast_pattern: str


_TIME = re.compile(
    r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.[0-9]+)?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))\Z"
)
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf'(?:{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*")\Z')
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_PCHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:"
    r"(?://(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?"
    r"(?:\[(?P<ip>[0-9A-Fa-f:.]+|v[0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\]"
    r"|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
    rf"(?:/{_PCHAR}*)*"
    rf"|/(?:{_PCHAR}+(?:/{_PCHAR}*)*)?|{_PCHAR}+(?:/{_PCHAR}*)*|)"
    rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:\#(?:{_PCHAR}|[/?])*)?\Z"
)


def is_date(text: str) -> bool:
    """RFC 3339 full-date."""
    found = _DATE.match(text)
    if not found:
        return False
    year, month, day = map(int, found.groups())
    try:
        # Year 0 is a leap year in the proleptic calendar, and Python's begins with year 1.
        date(year or 2000, month, day)
    except ValueError:
        return False
    return True


def is_time(text: str) -> bool:
    """RFC 3339 full-time; a leap second only where it can fall, at 23:59:60 UTC."""
    found = _TIME.match(text)
    if not found:
        return False
    hour, minute, second, sign, offset_hour, offset_minute = found.groups()
    if second != "60":
        return True
    offset = int(offset_hour or 0) * 60 + int(offset_minute or 0)
    minutes = int(hour) * 60 + int(minute) - (-offset if sign == "-" else offset)
    return minutes % 1440 == 1439


def is_date_time(text: str) -> bool:
    """RFC 3339 date-time."""
    return text[10:11] in {"T", "t"} and is_date(text[:10]) and is_time(text[11:])


def is_email(text: str) -> bool:
    """RFC 5321 mailbox: dot-atom or quoted local part, host name or address literal."""
    local, at, domain = text.rpartition("@")
    if not at or not _LOCAL.match(local):
        return False
    if not domain.startswith("["):
        return is_hostname(domain)
    literal = domain[1:-1] if domain.endswith("]") else ""
    return is_ipv6(literal[5:]) if literal.startswith("IPv6:") else is_ipv4(literal)


def is_hostname(text: str) -> bool:
    """RFC 1123 host name in ASCII; punycode labels are taken as they are."""
    return len(text) <= 253 and bool(_DOMAIN.match(text))


def is_ipv4(text: str) -> bool:
    """Dotted quad without leading zeros."""
    if not text.isascii():
        return False
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def is_ipv6(text: str) -> bool:
    """RFC 4291 text form without a zone."""
    if "%" in text or not text.isascii():
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def is_uri(text: str) -> bool:
    """RFC 3986 URI with a scheme."""
    found = _URI.match(text)
    if not found:
        return False
    literal = found["ip"]
    return literal is None or literal.startswith("v") or is_ipv6(literal)


def is_uuid(text: str) -> bool:
    """RFC 9562 text form, any version."""
    return bool(_UUID.match(text))


_FAST_DATE = (
    r"[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_FAST_TIME = (
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_FAST_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

FORMATS: dict[str, Format] = {
    "date-time": Format(check=is_date_time, fast_pattern=rf"^{_FAST_DATE}T{_FAST_TIME}$"),
    "date": Format(check=is_date, fast_pattern=rf"^{_FAST_DATE}$"),
    "time": Format(check=is_time, fast_pattern=rf"^{_FAST_TIME}$"),
    "email": Format(
        check=is_email,
        fast_pattern=(
            r"^[A-Za-z0-9_+-]{1,60}(?:\.[A-Za-z0-9_+-]{1,60}){0,3}"
            r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,40}[A-Za-z0-9])?\.){0,4}"
            r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,40}[A-Za-z0-9])?$"
        ),
    ),
    "ipv4": Format(check=is_ipv4, fast_pattern=rf"^(?:{_FAST_OCTET}\.){{3}}{_FAST_OCTET}$"),
    "ipv6": Format(check=is_ipv6, fast_pattern=r"^[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){7}$"),
    "uri": Format(
        check=is_uri,
        fast_pattern=r"^https?://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9._~-]*)*(?:\?[A-Za-z0-9._~=&-]*)?$",
    ),
    "uuid": Format(
        check=is_uuid,
        fast_pattern=r"^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    ),
}
