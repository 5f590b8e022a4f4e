"""A bare client: no SDK in between, so that the server alone is measured, and bad input is sent."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tests.eventhubs import codec
from tests.eventhubs.access import POLICIES
from tests.eventhubs.codec import Performative
from tests.eventhubs.links import MAX_FRAME_BYTES, MORE_AT, transfer_head

_CHANNEL, _HANDLE = 1, 1
_WINDOW = 0x7FFFFFFF
_HEAD = struct.Struct(">I4x")


class Client:
    """One connection with one session and at most one link."""

    def __init__(
        self, port: int, *, policy: str = "RootManageSharedAccessKey", key: str | None = None,
        idle_timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._file = self.socket.makefile("rb", buffering=1024 * 1024)
        self._sasl(policy, key or POLICIES[policy].key)
        self.socket.sendall(codec.AMQP_HEADER)
        assert self._file.read(8) == codec.AMQP_HEADER
        idle = codec.NULL if idle_timeout_s is None else codec.uint(int(idle_timeout_s * 1000))
        self.send(
            codec.OPEN, codec.string("client"), codec.NULL, codec.uint(MAX_FRAME_BYTES),
            codec.ushort(1), idle, channel=0,
        )  # fmt: skip
        self.opened = self.expect(codec.OPEN)

    def _sasl(self, policy: str, key: str) -> None:
        self.socket.sendall(codec.SASL_HEADER)
        assert self._file.read(8) == codec.SASL_HEADER
        self.next()
        plain = f"\0{policy}\0{key}".encode()
        fields = (codec.symbol("PLAIN"), codec.binary(plain), codec.NULL)
        body = codec.described(codec.SASL_INIT, codec.sequence(fields))
        self.socket.sendall(codec.frame(0, body, kind=codec.SASL))
        outcome = self.next()
        assert outcome is not None
        if outcome.fields[0] != 0:
            self.close()
            raise PermissionError("SASL says no")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self.socket.close()

    # --- frames ----------------------------------------------------------------------------------

    def send(self, code: int, *fields: bytes, channel: int = _CHANNEL) -> None:
        self.socket.sendall(codec.frame(channel, codec.performative(code, *fields)))

    def next(self) -> Performative | None:
        """The next frame; None for a heartbeat.

        Raises:
            EOFError: the server hung up.
        """
        head = self._file.read(8)
        if len(head) < 8:
            raise EOFError
        body = self._file.read(_HEAD.unpack_from(head)[0] - 8)
        return codec.decode_performative(body) if body else None

    def expect(self, code: int) -> Performative:
        """The next frame of this kind; others are skipped.

        Raises:
            ConnectionError: the server closed the link or the connection.
        """
        while True:
            said = self.next()
            if said is not None and said.code == code:
                return said
            if said is not None and said.code in (codec.DETACH, codec.CLOSE):
                raise ConnectionError(said.fields)

    # --- links -----------------------------------------------------------------------------------

    def begin(self) -> None:
        self.send(
            codec.BEGIN, codec.NULL, codec.uint(1), codec.uint(_WINDOW), codec.uint(_WINDOW),
            codec.uint(255),
        )  # fmt: skip
        self.expect(codec.BEGIN)

    def attach(self, address: str, *, receives: bool, selector: str = "") -> Performative:
        """Attach the link; gives the server's attach."""
        filters = codec.NULL
        if selector:
            name = codec.symbol("apache.org:selector-filter:string")
            value = b"\x00" + name + codec.string(selector)
            filters = codec.mapping({name: value})
        nulls = [codec.NULL] * 3
        here = codec.described(0x28, codec.sequence((codec.string(address), *nulls * 2, filters)))
        there = codec.described(0x29, codec.sequence((codec.string("client"),)))
        self.send(
            codec.ATTACH, codec.string("link"), codec.uint(_HANDLE), codec.boolean(receives),
            codec.ubyte(0), codec.ubyte(0), *((here, there) if receives else (there, here)),
            codec.NULL, codec.FALSE, codec.NULL if receives else codec.uint(0),
        )  # fmt: skip
        return self.expect(codec.ATTACH)

    def attach_reader(self, hub: str, *, selector: str = "") -> Performative:
        """Attach to partition 0, at its beginning unless a filter says otherwise."""
        return self.attach(
            f"{hub}/ConsumerGroups/$Default/Partitions/0",
            receives=True,
            selector=selector or "amqp.annotation.x-opt-offset > '-1'",
        )

    def flow(self, credit: int, *, count: int = 0) -> None:
        """Let so many messages come, after `count` that came."""
        self.send(
            codec.FLOW, codec.uint(1), codec.uint(_WINDOW), codec.uint(1), codec.uint(_WINDOW),
            codec.uint(_HANDLE), codec.uint(count), codec.uint(credit),
        )  # fmt: skip

    def take(self, count: int) -> Iterator[int]:
        """Sizes of the next frames until so many messages came; nothing is decoded."""
        read = self._file.read
        while count > 0:
            head = read(8)
            size = _HEAD.unpack_from(head)[0] if len(head) == 8 else 0
            body = read(max(size - 8, 0))
            if len(body) < size - 8 or not size:
                raise EOFError
            if len(body) > MORE_AT and body[2] == codec.TRANSFER:
                count -= body[MORE_AT] == codec.FALSE[0]
                yield size

    def transfer(self, delivery: int, message: bytes, *, message_format: int = 0) -> bytes:
        """The frames of a message to send."""
        room = MAX_FRAME_BYTES - 64
        parts = [message[at : at + room] for at in range(0, len(message), room)] or [b""]
        out = []
        for number, part in enumerate(parts, start=1):
            out.append(
                transfer_head(
                    len(part), _CHANNEL, _HANDLE, delivery, settled=False,
                    more=number < len(parts), message_format=message_format,
                )
            )  # fmt: skip
            out.append(part)
        return b"".join(out)
