"""The bytes of an event in four ways: as JSON for people, as received, in hex, and its headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from deadletter.payload import (
    SHOWN_HEX,
    SHOWN_TEXT,
    extent,
    hex_dump,
    indent,
    is_json,
    visible,
)
from ingestion.passport.archived import ArchivedRow
from ingestion.sources.base import parse_headers
from payflow.lib.pages.display import code_block, code_lines

_TOKEN: Final = re.compile(
    r'(?P<s>"(?:[^"\\]|\\.)*"?)(?P<colon>:)?|(?P<d>-?\d[\d.eE+-]*|true|false|null)'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One way to look at the bytes."""

    id: str
    label: str
    html: SafeString
    note: str = ""


def views(archived: ArchivedRow) -> list[View]:
    """Those that there are; JSON first where the bytes are JSON."""
    found: list[View] = []
    try:
        text = archived.body.decode()
    except UnicodeDecodeError:
        text = ""
    if text and is_json(text):
        found.append(View(id="json", label="JSON", html=pretty(text), note=_note(archived)))
    if text:
        shown = code_block(visible(text[:SHOWN_TEXT]))
        found.append(View(id="raw", label="As received", html=shown, note=_note(archived)))
    found.append(
        View(
            id="hex",
            label="Hex",
            html=code_block(hex_dump(archived.body[:SHOWN_HEX])),
            note=extent(len(archived.body), SHOWN_HEX),
        )
    )
    headers = _headers(archived)
    if headers:
        lines = [f"{name}: {value}" for name, value in headers]
        found.append(
            View(
                id="headers",
                label=f"Headers {len(headers)}",
                html=code_block(visible("\n".join(lines))),
            )
        )
    return found


def pretty(text: str) -> SafeString:
    """JSON indented by its own tokens, with names, texts and numbers told apart."""
    lines = visible(indent(text[:SHOWN_TEXT])).splitlines()
    return code_lines(_marked(line) for line in lines)


def digest(archived: ArchivedRow) -> str:
    """SHA-256 of the bytes as archived, hex."""
    return sha256(archived.body).hexdigest()


def _marked(line: str) -> SafeString:
    return mark_safe("".join(_pieces(line)))  # noqa: S308  every piece is escaped


def _pieces(line: str) -> Iterator[str]:
    at = 0
    for match in _TOKEN.finditer(line):
        yield format_html("{}", line[at : match.start()])
        if match["d"]:
            yield format_html('<span class="d">{}</span>', match["d"])
        else:
            kind = "k" if match["colon"] else "s"
            yield format_html(
                '<span class="{}">{}</span>{}', kind, match["s"], match["colon"] or ""
            )
        at = match.end()
    yield format_html("{}", line[at:])


def _headers(archived: ArchivedRow) -> list[tuple[str, Any]]:
    """Key and headers; those that are no JSON object as they are."""
    found: list[tuple[str, Any]] = []
    if archived.key:
        found.append(("(key)", archived.key.decode(errors="replace")))
    parsed = parse_headers(archived.headers)
    if archived.headers and not parsed:
        found.append(("(headers)", archived.headers.decode(errors="replace")))
    return [*found, *parsed.items()]


def _note(archived: ArchivedRow) -> str:
    return extent(len(archived.body), SHOWN_TEXT)
