"""AMQP 1.0 values, performatives and frames, as bytes.

Encoders name the AMQP type, because Python's `int` does not say it. Performatives are written in
full length, with a null for each field that is not used, as Azure does: the SDK indexes them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP, SASL = 0, 1  # frame types

OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
SASL_MECHANISMS, SASL_INIT, SASL_OUTCOME = 0x40, 0x41, 0x44
#: how many fields the specification gives each performative
_FIELDS = {OPEN: 10, BEGIN: 8, ATTACH: 14, FLOW: 11, TRANSFER: 11, DISPOSITION: 6, DETACH: 3}
_ERROR, _ACCEPTED, _REJECTED = 0x1D, 0x24, 0x25

NULL, TRUE, FALSE = b"\x40", b"\x41", b"\x42"
_U8, _U16, _U32, _U64 = (struct.Struct(f">{code}") for code in "BHIQ")
_I8, _I16, _I32, _I64 = (struct.Struct(f">{code}") for code in "bhiq")
_F32, _F64 = struct.Struct(">f"), struct.Struct(">d")


class DecodeError(Exception):
    """These bytes are not AMQP."""


class Symbol(str):
    """A symbol; equals the string of the same characters."""

    __slots__ = ()


class Described(NamedTuple):
    """A described value."""

    descriptor: Any
    value: Any


# --- encoding ------------------------------------------------------------------------------------


def boolean(value: bool) -> bytes:
    return TRUE if value else FALSE


def ubyte(value: int) -> bytes:
    return b"\x50" + _U8.pack(value)


def ushort(value: int) -> bytes:
    return b"\x60" + _U16.pack(value)


def uint(value: int) -> bytes:
    return b"\x70" + _U32.pack(value & 0xFFFFFFFF)


def ulong(value: int) -> bytes:
    return b"\x80" + _U64.pack(value)


def integer(value: int) -> bytes:
    return b"\x71" + _I32.pack(value)


def long(value: int) -> bytes:
    return b"\x81" + _I64.pack(value)


def timestamp(ms: int) -> bytes:
    """Milliseconds since 1970."""
    return b"\x83" + _I64.pack(ms)


def _sized(small: int, large: int, data: bytes) -> bytes:
    if len(data) < 256:
        return bytes((small, len(data))) + data
    return bytes((large,)) + _U32.pack(len(data)) + data


def binary(value: bytes) -> bytes:
    return _sized(0xA0, 0xB0, value)


def string(value: str) -> bytes:
    return _sized(0xA1, 0xB1, value.encode())


def symbol(value: str) -> bytes:
    return _sized(0xA3, 0xB3, value.encode("ascii"))


def sequence(items: Iterable[bytes]) -> bytes:
    """A list of encoded values."""
    items = list(items)
    data = b"".join(items)
    if len(data) < 255 and len(items) < 256:
        return bytes((0xC0, len(data) + 1, len(items))) + data
    return b"\xd0" + _U32.pack(len(data) + 4) + _U32.pack(len(items)) + data


def mapping(pairs: dict[bytes, bytes]) -> bytes:
    """A map of encoded keys to encoded values."""
    return raw_mapping(len(pairs) * 2, b"".join(key + value for key, value in pairs.items()))


def raw_mapping(count: int, data: bytes) -> bytes:
    """A map of so many keys and values, already encoded one after the other."""
    return b"\xd1" + _U32.pack(len(data) + 4) + _U32.pack(count) + data


def array(items: Iterable[str]) -> bytes:
    """An array of symbols, for mechanisms."""
    encoded = [_U32.pack(len(item)) + item.encode("ascii") for item in items]
    data = b"\xb3" + b"".join(encoded)
    return b"\xf0" + _U32.pack(len(data) + 4) + _U32.pack(len(encoded)) + data


def strings(items: Iterable[str]) -> bytes:
    """An array of strings."""
    encoded = [_U32.pack(len(item.encode())) + item.encode() for item in items]
    data = b"\xb1" + b"".join(encoded)
    return b"\xf0" + _U32.pack(len(data) + 4) + _U32.pack(len(encoded)) + data


def described(code: int, value: bytes) -> bytes:
    return b"\x00\x53" + bytes((code,)) + value


def performative(code: int, *fields: bytes) -> bytes:
    """A performative, filled up with nulls to its full length."""
    missing = _FIELDS.get(code, 1) - len(fields)
    return described(code, sequence((*fields, *([NULL] * missing))))


def error(condition: str, text: str) -> bytes:
    return described(_ERROR, sequence((symbol(condition), string(text), mapping({}))))


def accepted() -> bytes:
    return described(_ACCEPTED, sequence(()))


def rejected(condition: str, text: str) -> bytes:
    return described(_REJECTED, sequence((error(condition, text),)))


def frame(channel: int, body: bytes, *, kind: int = AMQP) -> bytes:
    """A whole frame; without a body it is a heartbeat."""
    return _U32.pack(len(body) + 8) + bytes((2, kind)) + _U16.pack(channel) + body


# --- decoding ------------------------------------------------------------------------------------

_FIXED = {
    0x50: _U8, 0x51: _I8, 0x52: _U8, 0x53: _U8, 0x54: _I8, 0x55: _I8, 0x60: _U16, 0x61: _I16,
    0x70: _U32, 0x71: _I32, 0x72: _F32, 0x73: _U32, 0x80: _U64, 0x81: _I64, 0x82: _F64, 0x83: _I64,
}  # fmt: skip
_CONSTANTS: dict[int, Any] = {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: 0, 0x45: []}
_TEXTS = {0xA0, 0xA1, 0xA3, 0xB0, 0xB1, 0xB3}


def decode(buf: bytes, at: int = 0) -> tuple[Any, int]:
    """The value at `at`, and where the next one begins.

    Raises:
        DecodeError: no such type, or the bytes end too early.
    """
    try:
        if buf[at] == 0:
            descriptor, at = decode(buf, at + 1)
            value, at = decode(buf, at)
            return Described(descriptor, value), at
        return _decode_as(buf[at], buf, at + 1)
    except (IndexError, struct.error, UnicodeDecodeError, RecursionError) as exc:
        raise DecodeError(f"no AMQP value at byte {at}") from exc


def _decode_as(code: int, buf: bytes, at: int) -> tuple[Any, int]:
    if code in _CONSTANTS:
        return _CONSTANTS[code], at
    if (fixed := _FIXED.get(code)) is not None:
        return fixed.unpack_from(buf, at)[0], at + fixed.size
    if code == 0x56:
        return buf[at] == 1, at + 1
    if code >> 4 == 0x9 and at + 16 > len(buf):
        raise IndexError(at + 16)
    if code == 0x98:
        return UUID(bytes=bytes(buf[at : at + 16])), at + 16
    return _decode_sized(code, buf, at)


def _decode_sized(code: int, buf: bytes, at: int) -> tuple[Any, int]:
    width = _U8 if code >> 4 in (0xA, 0xC, 0xE) else _U32
    size = width.unpack_from(buf, at)[0]
    at += width.size
    end = at + size
    if end > len(buf):
        raise IndexError(end)
    if code in _TEXTS:
        data = bytes(buf[at:end])
        kind = code & 0xF
        return (data if kind == 0 else data.decode() if kind == 1 else Symbol(data.decode())), end
    count = width.unpack_from(buf, at)[0]
    at += width.size
    if code in (0xE0, 0xF0):
        return _decode_array(count, buf, at), end
    items = []
    for _ in range(count):
        item, at = decode(buf, at)
        items.append(item)
    if code in (0xC1, 0xD1):
        return dict(zip(items[::2], items[1::2], strict=True)), end
    if code in (0xC0, 0xD0):
        return items, end
    raise DecodeError(f"no AMQP type 0x{code:02x}")


def _decode_array(count: int, buf: bytes, at: int) -> list[Any]:
    code = buf[at]
    at += 1
    if count > len(buf):  # items without bytes of their own: nulls, a million of them
        raise DecodeError(f"an array of {count}")
    items = []
    for _ in range(count):
        item, at = _decode_as(code, buf, at)
        items.append(item)
    return items


def _list_head(buf: bytes, at: int) -> tuple[int, int]:
    """How many items the list at `at` has, and where the first one is."""
    try:
        if buf[at] == 0x45:
            return 0, at + 1
        if buf[at] == 0xC0:
            return buf[at + 2], at + 3
        if buf[at] == 0xD0:
            return _U32.unpack_from(buf, at + 5)[0], at + 9
    except (IndexError, struct.error) as exc:
        raise DecodeError(f"no list at byte {at}") from exc
    raise DecodeError("a performative is a list")


class Performative(NamedTuple):
    """What a frame says."""

    code: int
    #: full length, absent ones None
    fields: list[Any]
    #: the same fields as they came
    raw: list[bytes]
    #: what follows the performative: a transfer's part of a message
    payload: bytes


def decode_performative(body: bytes) -> Performative:
    """Read the body of a frame.

    Raises:
        DecodeError: not a performative.
    """
    if len(body) < 4 or body[0] != 0:
        raise DecodeError("no performative")
    code, at = decode(body, 1)
    count, at = _list_head(body, at)
    fields, raw = [], []
    for _ in range(count):
        value, end = decode(body, at)
        fields.append(value)
        raw.append(body[at:end])
        at = end
    missing = _FIELDS.get(code, 1) - count
    return Performative(code, fields + [None] * missing, raw + [NULL] * missing, body[at:])
