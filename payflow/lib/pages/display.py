"""How values look on every page: times, money, spans, states and links, as safe HTML.

Zero is `0`, unknown is an en dash. Whatever comes from an event is escaped here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from payflow.lib.iso import MINOR_DIGITS

DASH: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"
UNKNOWN: Final = format_html('<span class="pf-muted">{}</span>', DASH)
_ICONS: Final = {
    "ok": "check_circle",
    "warn": "warning",
    "bad": "error",
    "info": "info",
    "": "circle",
}


def moment(value: datetime | None, *, ms: bool = False) -> SafeString:
    """A time in the local zone, as short as it stays clear; UTC on hover."""
    if value is None:
        return UNKNOWN
    local, now = timezone.localtime(value), timezone.localtime()
    text = f"{local:%H:%M:%S}" + (f".{local.microsecond // 1000:03d}" if ms else "")
    if local.date() != now.date():
        day = f"{local.day} {local:%b}" + (f" {local.year}" if local.year != now.year else "")
        text = f"{day} {text}"
    utc = value.astimezone(UTC)
    return format_html(
        '<time class="pf-nowrap" datetime="{}" title="{} UTC">{}</time>',
        utc.isoformat(),
        f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d}",
        text,
    )


def money(amount: Decimal, currency: str) -> SafeString:
    """`1,234.50 USD`: the currency's own decimals, more only where the amount has more."""
    return format_html(
        '<span class="pf-nowrap">{} <span class="pf-unit">{}</span></span>',
        decimal_text(amount, currency),
        currency,
    )


def decimal_text(amount: Decimal, currency: str) -> str:
    """The amount with thousands separated and no digit lost; a true minus sign."""
    exact = amount.normalize()
    exponent = exact.as_tuple().exponent
    needed = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    digits = max(needed, MINOR_DIGITS.get(currency, 2))
    return f"{amount:,.{digits}f}".replace("-", MINUS)


def count(value: int | None) -> str:
    """`52,418`, an en dash for unknown."""
    return DASH if value is None else f"{value:,}".replace("-", MINUS)


def rate(per_second: float) -> str:
    """One decimal; none from a thousand on."""
    return f"{per_second:,.0f}" if per_second >= 1000 else f"{per_second:,.1f}"


def span(seconds: float | None) -> str:
    """`0 s`, `0.8 s`, `21 s`, `4 min 05 s`, `1 h 08 min`, `3 d 4 h`."""
    if seconds is None:
        return DASH
    whole = int(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "0 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def sentence(text: str) -> str:
    """With a capital and its full stop; what people and libraries say has often neither."""
    said = text.strip() or "No reason is known"
    said = said[0].upper() + said[1:]
    return said if said.endswith((".", "!", "?")) else f"{said}."


def size(number: int) -> str:
    """Bytes in the unit that reads best."""
    if number < 1024:
        return f"{number} B"
    if number < 2**20:
        return f"{number / 1024:,.1f} KB"
    return f"{number / 2**20:,.1f} MB"


def pill(kind: str, text: str, icon: str = "") -> SafeString:
    """A state: colour, icon and word. Kinds: ok, warn, bad, info, "" (neutral)."""
    return format_html(
        '<span class="pf-pill {}"><span class="pf-i s" aria-hidden="true">{}</span>{}</span>',
        kind,
        icon or _ICONS[kind],
        text,
    )


def icon(name: str, tone: str = "") -> SafeString:
    """A symbol that says nothing a word beside it does not say."""
    return format_html(
        '<span class="pf-i {}" aria-hidden="true">{}</span>', f"pf-t-{tone}" if tone else "", name
    )


def link(url: str, text: object, *, title: str = "") -> SafeString:
    return format_html('<a class="pf-link" href="{}" title="{}">{}</a>', url, title, text)


def row_url(model: str, key: object) -> str:
    """The page of one row; `model` is "app.model"."""
    return reverse(f"admin:{model.replace('.', '_')}_change", args=[quote(str(key))])


def list_url(model: str, **query: object) -> str:
    """The list of a model, with filters."""
    url = reverse(f"admin:{model.replace('.', '_')}_changelist")
    return f"{url}?{urlencode(query)}" if query else url


def row_link(model: str, key: object, text: object = None) -> SafeString:
    """A link to the page of one row; unknown when there is no key."""
    if key is None or key == "":
        return UNKNOWN
    return link(row_url(model, key), key if text is None else text)


def mono(text: object, *, shorten: int = 0) -> SafeString:
    """An id; longer ones than `shorten` lose their middle and show it on hover."""
    whole = str(text)
    if not whole:
        return UNKNOWN
    shown = whole
    if shorten and len(whole) > shorten:
        half = (shorten - 1) // 2
        shown = f"{whole[:half]}…{whole[-half:]}"
    return format_html('<span class="pf-mono" title="{}">{}</span>', whole, shown)


def text_or_dash(text: str) -> str | SafeString:
    """Text of an event, escaped by whoever renders it; unknown when absent."""
    return text or UNKNOWN


def pretty_json(value: Any) -> SafeString:
    """JSON for people to read, in a box of its own."""
    return code_block(json.dumps(value, indent=2, ensure_ascii=False))


def code_block(text: str) -> SafeString:
    """Lines with numbers; nothing in them is markup."""
    return code_lines(text.splitlines())


def code_lines(lines: Iterable[str]) -> SafeString:
    """Lines with numbers; those that are safe HTML may be marked up."""
    return format_html('<div class="pf-code" tabindex="0">{}</div>', _lines(lines))


def _lines(lines: Iterable[str]) -> SafeString:
    return format_html_join(
        "",
        '<span class="ln"><span class="n">{}</span>{}</span>',
        ((number, line) for number, line in enumerate(lines, start=1)),
    )


def joined(parts: Iterable[object], separator: str = " ") -> SafeString:
    """Parts beside each other; whatever is not safe yet is escaped."""
    return format_html_join(separator, "{}", ((part,) for part in parts))
