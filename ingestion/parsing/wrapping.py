"""Messages within messages: an event that its envelope carries as a text.

Webhook relays and queues wrap what they carry (Braintree: XML in base64, SNS: JSON in a string,
Pub/Sub: JSON in base64). `decoder: {inside: bt_payload, encoding: base64, format: xml}` opens it:
the event is then the envelope with the text replaced by what it says, and paths go on into it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ingestion.parsing.paths import Path, label_of, parse_path
from ingestion.parsing.problems import Problems
from ingestion.parsing.reading import (
    MAX_DEPTH,
    JsonNumber,
    JsonObject,
    JsonValue,
    Rejected,
    has_repeats,
    read_object,
)
from ingestion.parsing.reasons import Reason, ValidationError, problem
from ingestion.parsing.xml import XmlRefused, read_xml

#: what UTF-8 cannot hold
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_KEYS: Final = frozenset({"inside", "encoding", "format"})
_FROM_URL_ALPHABET: Final = str.maketrans("-_", "+/")
_ENCODINGS: Final = ("none", "base64")
_FORMATS: Final = ("json", "xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A batch with its wrappings opened."""

    bodies: Sequence[bytes]
    #: by message index: why it cannot be opened; its body is b"" then
    refused: Mapping[int, ValidationError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapping:
    """Where the event is in its envelope, and how it is written there."""

    path: tuple[str, ...]
    encoding: str
    format: str

    def open_all(self, bodies: Sequence[bytes]) -> Opened:
        """Every message as JSON, ready to be parsed; pure."""
        opened: list[bytes] = []
        refused: dict[int, ValidationError] = {}
        for index, body in enumerate(bodies):
            try:
                opened.append(self.open(body))
            except Rejected as exc:
                opened.append(b"")
                refused[index] = exc.error
        return Opened(bodies=opened, refused=refused)

    def open(self, body: bytes) -> bytes:
        """The envelope as JSON, its text replaced by what it says.

        An envelope without the text stays as it is: a schema's route may leave it to others.
        Raises Rejected with the reason when it cannot be opened.
        """
        envelope = read_object(body)
        if has_repeats(body):
            raise self._rejected(Reason.DUPLICATE_KEY, "every name once", "a name twice")
        holder = self._holder(envelope)
        if holder is None:
            return body
        text = holder[self.path[-1]]
        if not isinstance(text, str):
            raise self._rejected(Reason.WRONG_TYPE, "a text", "something else")
        try:
            holder[self.path[-1]] = self._read(self._decode(text))
            return to_json(envelope).encode()
        except RecursionError as exc:
            raise self._rejected(Reason.TOO_DEEP, f"at most {MAX_DEPTH} levels", "more") from exc

    def carried(self, text: str) -> bytes:
        """The bytes that a text carries. Raises Rejected when it cannot be decoded."""
        return self._decode(text)

    def carrying(self, data: bytes) -> str:
        """A text that carries these bytes."""
        if self.encoding == "none":
            return data.decode(errors="surrogatepass")
        return base64.b64encode(data).decode()

    def _holder(self, envelope: JsonObject) -> JsonObject | None:
        """The object that holds the text; None when the envelope has none."""
        value: JsonValue = envelope
        for name in self.path[:-1]:
            value = value.get(name) if isinstance(value, JsonObject) else None
        if isinstance(value, JsonObject) and value.get(self.path[-1]) is not None:
            return value
        return None

    def _decode(self, text: str) -> bytes:
        if self.encoding == "none":
            return text.encode(errors="surrogatepass")
        # as producers write it: in lines, in the alphabet for addresses, without the padding
        compact = "".join(text.split()).translate(_FROM_URL_ALPHABET).rstrip("=")
        try:
            return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
        except (binascii.Error, ValueError) as exc:
            raise self._rejected(Reason.INVALID_ENCODING, "base64", "another text") from exc

    def _read(self, data: bytes) -> JsonValue:
        if self.format == "json":
            value = read_object(data)
            if has_repeats(data):
                raise self._rejected(Reason.DUPLICATE_KEY, "every name once", "a name twice")
            return value
        try:
            return read_xml(data)
        except XmlRefused as exc:
            raise self._rejected(Reason.INVALID_XML, "XML", str(exc)) from exc

    def _rejected(self, reason: Reason, expected: str, actual: str) -> Rejected:
        return Rejected(problem(".".join(self.path), reason, expected, actual))


def read_decoder(value: Any, problems: Problems) -> Wrapping | None:
    """The `decoder` of a schema: `json`, or where and how the event is wrapped."""
    if value == "json":
        return None
    if not isinstance(value, Mapping):
        problems.add("/decoder", "must be json, or {inside: path, encoding: base64, format: xml}")
        return None
    for key in value.keys() - _KEYS:
        problems.add(problems.below("/decoder", key), f"the key {key!r} is not supported")
    path = _read_inside(value.get("inside"), problems)
    encoding, written = value.get("encoding", "none"), value.get("format", "json")
    for key, given, known in (("encoding", encoding, _ENCODINGS), ("format", written, _FORMATS)):
        if given not in known:
            problems.add(f"/decoder/{key}", f"must be one of {', '.join(known)}, not {given!r}")
    return Wrapping(path=path, encoding=str(encoding), format=str(written)) if path else None


def _read_inside(value: Any, problems: Problems) -> tuple[str, ...]:
    if not isinstance(value, str):
        problems.add("/decoder/inside", "must be the path of the text that holds the event")
        return ()
    try:
        path: Path = parse_path(value)
    except ValueError as exc:
        problems.add("/decoder/inside", str(exc))
        return ()
    if not all(isinstance(step, str) for step in path):
        problems.add("/decoder/inside", f"{label_of(path)} must be names joined by '.'")
        return ()
    return tuple(map(str, path))


def to_json(value: JsonValue) -> str:
    """JSON text of a value; numbers keep the digits they were written with."""
    if isinstance(value, JsonNumber):
        return value.literal
    if isinstance(value, dict):
        members = (f"{_quoted(name)}:{to_json(item)}" for name, item in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    return _quoted(value)


def _quoted(value: str | bool | None) -> str:
    """Escaped only where it must be: escapes could make a message too large to be read."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _SURROGATE.search(text) else text
