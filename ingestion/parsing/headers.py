"""Headers of a message: a JSON object as the producer wrote it, unchecked until here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import polars as pl

from ingestion.parsing.decoding import ABSENT
from ingestion.parsing.reading import MAX_DEPTH, MAX_MESSAGE, JsonObject, Rejected, read_object

_DECODE: Final = msgspec.json.Decoder(dict[str, Any]).decode
_SPACED_COLON: Final = re.compile(rb"[ \t\r\n]:")


def read_headers(raw: bytes | None) -> JsonObject:
    """The headers; whatever is no JSON object counts as none."""
    if not raw:
        return JsonObject([])
    try:
        return read_object(raw)
    except Rejected:
        return JsonObject([])


class HeaderWires:
    """Takes the headers that a schema reads out of a batch, for the fast path."""

    def __init__(self, names: Sequence[str], wires: Sequence[str]) -> None:
        self._names = names
        self._wires = wires

    def read(
        self, headers: Sequence[bytes | None] | None, count: int
    ) -> tuple[list[pl.Series], pl.Series]:
        """A text column per header, and whether each message's headers are surely right."""
        rows: list[list[str] | None] = []
        absent = [ABSENT] * len(self._names)
        # producers send the same headers with many messages
        known: dict[bytes, list[str] | None] = {}
        for raw in headers or [None] * count:
            if not raw:
                rows.append(absent)
                continue
            if raw not in known:
                known[raw] = self._texts(raw)
            rows.append(known[raw])
        sound = pl.Series([row is not None for row in rows], dtype=pl.Boolean)
        columns = zip(*(row or absent for row in rows), strict=True)
        series = [
            pl.Series(wire, column, dtype=pl.String)
            for wire, column in zip(self._wires, columns, strict=True)
        ]
        return series, sound

    def _texts(self, raw: bytes) -> list[str] | None:
        """The texts of the headers; None where only the slow path can tell."""
        if b"\\" in raw or len(raw) > MAX_MESSAGE or raw.count(b"[") >= MAX_DEPTH:
            return None
        try:
            found = _DECODE(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        # a name that is there twice leaves a colon too many; so does a colon within a text
        if raw.count(b'":') != len(found) or _SPACED_COLON.search(raw):
            return None
        texts = [ABSENT if (value := found.get(name)) is None else value for name in self._names]
        return texts if all(isinstance(text, str) for text in texts) else None
