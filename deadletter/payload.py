"""Bytes of a refused message, for a person to read. They may be anything, so nothing is trusted.

JSON is indented by its own tokens: numbers keep their digits, and a key that is there twice is
shown twice. Text is shown as it is, whatever else as a dump in hex.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from django.utils.safestring import SafeString

from payflow.lib.pages.display import code_block, size

#: bytes shown at most
SHOWN_TEXT: Final = 64 * 1024
SHOWN_HEX: Final = 4 * 1024
#: deeper JSON is shown as text: its indentation would be longer than itself
_MAX_DEPTH: Final = 100
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{},:]|[^\s\[\]{},:"]+')
# control characters by their pictures; what turns the direction of text by its code
_VISIBLE: Final = (
    {code: 0x2400 + code for code in range(32) if code not in (9, 10, 13)}
    | {0x7F: 0x2421}
    | {
        code: f"<U+{code:04X}>"
        for code in (0x200E, 0x200F, 0x61C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A body for its card: what it is taken for, how much of it is shown, and the lines."""

    kind: str
    note: str
    html: SafeString


def render(body: bytes) -> Rendered:
    """JSON indented, else text, else hex; cut at a limit, which the note names."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        note = extent(len(body), SHOWN_HEX)
        return Rendered(kind="not UTF-8", note=note, html=code_block(hex_dump(body[:SHOWN_HEX])))
    note = extent(len(body), SHOWN_TEXT)
    shown = text[:SHOWN_TEXT]
    if is_json(text):
        return Rendered(kind="JSON", note=note, html=code_block(visible(indent(shown))))
    return Rendered(kind="text", note=note, html=code_block(visible(shown)))


def indent(text: str) -> str:
    """JSON text on lines of its own, every token as it was; it may end anywhere."""
    lines, line, depth = [], "", 0
    for mark in _TOKEN.findall(text):
        if mark in "]}":
            closes_empty = line.endswith(("[", "{"))
            depth -= 1
            if not closes_empty:
                lines.append(line)
                line = "  " * depth
            line += mark
        elif line.endswith(("[", "{", ",")):
            lines.append(line)
            line = "  " * depth + mark
        else:
            line += " " + mark if line.endswith(":") else mark
        depth += mark in "[{"
    return "\n".join([*lines, line])


def is_json(text: str) -> bool:
    """Whether it is one JSON value that is not too deep to be indented."""
    if text.count("[") + text.count("{") > _MAX_DEPTH and _depth(text) > _MAX_DEPTH:
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _depth(text: str) -> int:
    deepest = depth = 0
    for mark in _TOKEN.findall(text):
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    return deepest


def hex_dump(body: bytes) -> str:
    """Offset, 16 bytes, and those of them that are printable."""
    lines = []
    for offset in range(0, len(body), 16):
        row = body[offset : offset + 16]
        printable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{offset:06x}  {row.hex(' '):47}  {printable}")
    return "\n".join(lines)


def visible(text: str) -> str:
    """Text with what would not be seen, or would change the order of what is, made visible."""
    return text.translate(_VISIBLE)


def extent(length: int, shown: int) -> str:
    """How much of so many bytes is shown."""
    if not length:
        return "empty"
    return f"the first {size(shown)} of {size(length)}" if length > shown else size(length)
