"""What a request brings: bytes within limits, and the events in them, each by its own bytes.

The endpoint judges size alone. What an event says is for the schema of the source, behind the
broker, where it keeps its bytes as a failed item if it is wrong: so any element of an array and any
line is queued, JSON object or not.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import msgspec
from django.http import HttpRequest
from django.http.request import UnreadablePostError

from ingestion.parsing.reading import MAX_MESSAGE
from payflow.lib.api.problems import Refused

#: bytes of a request, as it is sent and again when it is unpacked
MAX_BODY: Final = 5 * 2**20
MAX_EVENTS: Final = 5_000
#: bytes of one event
MAX_EVENT: Final = MAX_MESSAGE
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

#: blank lines are none of the events, but looking at them takes time too
_MAX_LINES: Final = 2 * MAX_EVENTS
#: of JSON: each element of an array costs 64 bytes before they can be counted
_MAX_VALUES: Final = 500_000
_BOM: Final = b"\xef\xbb\xbf"
#: zlib's word for a gzip header and nothing else
_GZIP: Final = 31

_raw: Final = msgspec.json.Decoder(msgspec.Raw)
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemError:
    """One event that cannot be queued."""

    #: of the element or line in the request, from 0
    index: int
    detail: str
    #: JSON pointer to it; "" for the whole of the request
    pointer: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"index": self.index, "pointer": self.pointer, "detail": self.detail}


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The events of a request, in its order."""

    bodies: list[bytes] = field(default_factory=list)
    #: of each body: its element or line in the request
    indexes: list[int] = field(default_factory=list)
    errors: list[ItemError] = field(default_factory=list)

    def next_index(self, queued: int) -> int:
        """Element or line of the first event that is not queued when `queued` of them are."""
        return self.indexes[queued]


def read_body(request: HttpRequest) -> bytes:
    """The body as it was sent. Raises Refused: 411, 413, or 400 when a part of it is missing."""
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "A request says its Content-Length.")
    # the server has refused one that is no number
    length = int(request.META.get("CONTENT_LENGTH") or 0)
    if length > MAX_BODY:
        raise _too_large(f"A request has at most {MAX_BODY:,} bytes.")
    try:
        sent = request.read(length)
    except UnreadablePostError as exc:
        raise _cut() from exc
    if len(sent) != length:
        raise _cut()
    return sent


def unpack(sent: bytes, encoding: str) -> bytes:
    """The body without its Content-Encoding: gzip or none. Raises Refused (400, 413, 415)."""
    if encoding in ("", "identity"):
        return sent
    if encoding not in ("gzip", "x-gzip"):
        text = "Content-Encoding is gzip, or there is none."
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
    stream = zlib.decompressobj(_GZIP)
    try:
        unpacked = stream.decompress(sent, MAX_BODY + 1)
    except zlib.error:
        raise Refused(HTTPStatus.BAD_REQUEST, "The body is not gzip.") from None
    if len(unpacked) > MAX_BODY:
        raise _too_large(f"A request has at most {MAX_BODY:,} bytes when it is unpacked.")
    if not stream.eof:
        raise Refused(HTTPStatus.BAD_REQUEST, "The gzip of the body has no end.")
    if stream.unused_data:
        raise Refused(HTTPStatus.BAD_REQUEST, "Something follows the gzip of the body.")
    return unpacked


def split(body: bytes, content_type: str) -> Events:
    """The events of an unpacked body. Raises Refused (400, 413, 415, 422)."""
    if content_type == NDJSON:
        found = _lines(body)
    elif content_type == JSON:
        found = _elements(body)
    else:
        text = f"Content-Type is {JSON} (an object or an array of them) or {NDJSON}."
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
    events = Events()
    for index, pointer, item in found:
        if len(item) > MAX_EVENT:
            detail = f"An event has at most {MAX_EVENT:,} bytes; this one has {len(item):,}."
            events.errors.append(ItemError(index=index, pointer=pointer, detail=detail))
        else:
            events.bodies.append(item)
            events.indexes.append(index)
        if len(events.bodies) + len(events.errors) > MAX_EVENTS:
            raise _too_large(f"A request has at most {MAX_EVENTS:,} events.")
    return events


def _lines(body: bytes) -> Iterator[tuple[int, str, bytes]]:
    if body.count(b"\n") > _MAX_LINES:
        raise _too_large(f"A request has at most {_MAX_LINES:,} lines, blank ones too.")
    for index, line in enumerate(body.removeprefix(_BOM).split(b"\n")):
        if stripped := line.strip():
            yield index, f"/{index}", stripped


def _elements(body: bytes) -> Iterator[tuple[int, str, bytes]]:
    text = body.removeprefix(_BOM).strip()
    if text.count(b",") >= _MAX_VALUES:
        raise _too_large(f"A request has at most {_MAX_VALUES:,} values.")
    try:
        if text.startswith(b"["):
            elements = _array.decode(text)
        else:
            _raw.decode(text)
            elements = None
    except msgspec.DecodeError as exc:  # says what and at which byte, never the text
        raise Refused(HTTPStatus.BAD_REQUEST, f"The body is not JSON: {exc}.") from None
    except RecursionError:
        raise Refused(HTTPStatus.BAD_REQUEST, "The body is nested too deeply.") from None
    if elements is not None:
        if len(elements) > MAX_EVENTS:
            raise _too_large(f"A request has at most {MAX_EVENTS:,} events.")
        for index, element in enumerate(elements):
            yield index, f"/{index}", bytes(element).strip()
    elif text.startswith(b"{"):
        yield 0, "", text
    else:
        text_of_it = "The body is one event (a JSON object) or an array of events."
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, text_of_it)


def _too_large(detail: str) -> Refused:
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def _cut() -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "The request ended before its Content-Length.")
