"""One connection: SASL, open, sessions and the frames of their links."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING

from tests.eventhubs import codec
from tests.eventhubs.access import POLICIES, Grant
from tests.eventhubs.attaching import Refusal, link_for
from tests.eventhubs.codec import DecodeError, Performative
from tests.eventhubs.links import MAX_FRAME_BYTES, Link, Reader

if TYPE_CHECKING:
    from tests.eventhubs.server import Server

#: what reading a client's fields raises when they are not what they should be
_NONSENSE = (DecodeError, LookupError, TypeError, ValueError, AttributeError, struct.error)


class Session:
    """A session; its channel is the same number in both directions."""

    def __init__(self, connection: Connection, channel: int, begin: Performative) -> None:
        self.connection, self.channel = connection, channel
        self.next_incoming: int = begin.fields[1]
        #: how many transfer frames the client takes
        self.window: int = begin.fields[2]
        self.next_outgoing = 1
        self.next_delivery = 1
        self.links: dict[int, Link] = {}

    def send(self, code: int, *fields: bytes) -> None:
        self.connection.send(self.channel, code, *fields)

    def sent_frames(self, count: int) -> None:
        self.next_outgoing += count
        self.window -= count

    def flowed(self, flow: Performative) -> None:
        """A flow frame: the window first, then the link it is about."""
        seen = self.next_outgoing if flow.fields[0] is None else flow.fields[0]
        self.window = seen + flow.fields[1] - self.next_outgoing
        if flow.fields[4] is None:
            self.pump()
        elif (link := self.links.get(flow.fields[4])) is not None:
            link.flowed(flow)

    def pump(self) -> None:
        """Events may go out again."""
        for link in list(self.links.values()):
            if isinstance(link, Reader):
                link.pump()

    def close(self) -> None:
        links, self.links = self.links, {}
        for link in links.values():
            link.closed()


class Connection(asyncio.Protocol):
    """What a client says, answered."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.server = server
        self.sessions: dict[int, Session] = {}
        #: hub in lower case -> what the client's token allows
        self.grants: dict[str, Grant] = {}
        #: set by SASL PLAIN: what the policy allows, at every hub
        self.rights: frozenset[str] = frozenset()
        self.frame_bytes = MAX_FRAME_BYTES
        self.is_writable = True
        self.last_heard = time.monotonic()
        self._buffer = bytearray()
        self._is_over = False
        self._heartbeat: asyncio.TimerHandle | None = None

    # --- the transport ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=1024 * 1024)
        self.server.stats.connections += 1
        self.server.connections.add(self)
        if self.server.faults.take("connect") is not None:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self.server.connections.discard(self)
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        for session in self.sessions.values():
            session.close()
        self.sessions = {}

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        for session in self.sessions.values():
            session.pump()

    def data_received(self, data: bytes) -> None:
        self.last_heard = time.monotonic()
        self._buffer += data
        try:
            self._take_frames()
        except (
            DecodeError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            struct.error,
        ) as exc:
            self.close("amqp:connection:framing-error", f"{type(exc).__name__}: {exc}")

    def _take_frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 8 and not self._is_over:
            if buffer[at : at + 4] == b"AMQP":
                self._header(bytes(buffer[at : at + 8]))
                at += 8
                continue
            size = int.from_bytes(buffer[at : at + 4], "big")
            if not 8 <= size <= MAX_FRAME_BYTES:
                raise DecodeError(f"a frame of {size} bytes")
            if len(buffer) - at < size:
                break
            self._frame(bytes(buffer[at : at + size]))
            at += size
        del buffer[:at]

    def send(self, channel: int, code: int, *fields: bytes) -> None:
        self.write(codec.frame(channel, codec.performative(code, *fields)))

    def write(self, *frames: bytes) -> None:
        """Frames, or halves of frames, in one go."""
        if not self.transport.is_closing():
            self.transport.writelines(frames)

    def links(self) -> list[Link]:
        """All links of all sessions."""
        return [link for session in self.sessions.values() for link in session.links.values()]

    def abort(self) -> None:
        """Cut it, without a word."""
        self._is_over = True
        self.transport.abort()

    def cut_inside(self, data: bytes) -> None:
        """Send all but the last bytes of what would have been sent, then hang up."""
        self._is_over = True
        self.write(data[:-7])
        self.transport.close()

    def close(self, condition: str, text: str) -> None:
        """Close it as the service does."""
        self.send(0, codec.CLOSE, codec.error(condition, text))
        self._is_over = True
        self.transport.close()

    # --- frames ----------------------------------------------------------------------------------

    def _header(self, header: bytes) -> None:
        self.write(header)
        if header == codec.SASL_HEADER:
            names = codec.array(("MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"))
            body = codec.described(codec.SASL_MECHANISMS, codec.sequence((names,)))
            self.write(codec.frame(0, body, kind=codec.SASL))

    def _frame(self, frame: bytes) -> None:
        body = frame[frame[4] * 4 :]
        if not body:
            self.server.stats.heartbeats_in += 1
            return
        channel = int.from_bytes(frame[6:8], "big")
        said = codec.decode_performative(body)
        if frame[5] == codec.SASL:
            self._sasl(said)
        elif said.code == codec.OPEN:
            self._open(said)
        elif said.code == codec.CLOSE:
            self.send(0, codec.CLOSE)
            self._is_over = True
            self.transport.close()
        elif said.code == codec.BEGIN:
            self._begin(channel, said)
        elif (session := self.sessions.get(channel)) is not None:
            self._in_session(session, said)

    def _in_session(self, session: Session, said: Performative) -> None:
        if said.code == codec.TRANSFER:
            session.next_incoming += 1
            if (link := session.links.get(said.fields[0])) is not None:
                link.transferred(said)
        elif said.code == codec.FLOW:
            session.flowed(said)
        elif said.code == codec.ATTACH:
            self._attach(session, said)
        elif said.code == codec.DETACH:
            if (link := session.links.pop(said.fields[0], None)) is not None:
                session.send(codec.DETACH, codec.uint(link.handle), codec.TRUE)
                link.closed()
        elif said.code == codec.END:
            session.close()
            session.send(codec.END)
            del self.sessions[session.channel]

    def _sasl(self, init: Performative) -> None:
        code = 0
        if init.fields[0] == "PLAIN":
            _, user, key = (init.fields[1] or b"").split(b"\0")
            policy = POLICIES.get(user.decode())
            if policy is None or policy.key != key.decode():
                code = 1
            else:
                self.rights = policy.rights
        body = codec.described(codec.SASL_OUTCOME, codec.sequence((codec.ubyte(code), codec.NULL)))
        self.write(codec.frame(0, body, kind=codec.SASL))

    def _open(self, said: Performative) -> None:
        self.frame_bytes = min(MAX_FRAME_BYTES, said.fields[2] or MAX_FRAME_BYTES)
        self.send(
            0, codec.OPEN,
            codec.string(self.server.container), codec.NULL, codec.uint(MAX_FRAME_BYTES),
            codec.ushort(4_999), codec.uint(int(self.server.idle_timeout_s * 1000)),
        )  # fmt: skip
        if said.fields[4]:
            self._beat(said.fields[4] / 2000)

    def _beat(self, pause_s: float) -> None:
        """Empty frames, as often as the client wants to hear from us."""
        self.write(codec.frame(0, b""))
        loop = asyncio.get_running_loop()
        self._heartbeat = loop.call_later(pause_s, self._beat, pause_s)

    def _begin(self, channel: int, said: Performative) -> None:
        if channel in self.sessions or None in said.fields[1:3]:
            raise DecodeError("a begin has a window, and a channel that is free")
        self.sessions[channel] = Session(self, channel, said)
        self.send(
            channel, codec.BEGIN,
            codec.ushort(channel), codec.uint(1), codec.uint(5_000), codec.uint(0x7FFFFFFF),
            codec.uint(262_143),
        )  # fmt: skip

    # --- links -----------------------------------------------------------------------------------

    def _attach(self, session: Session, said: Performative) -> None:
        name, handle = said.fields[:2]
        if not isinstance(name, str) or not isinstance(handle, int) or handle in session.links:
            raise DecodeError("an attach has a name, and a handle that is free")
        try:
            link = link_for(session, said)
        except Refusal as refusal:
            self.server.stats.refused += 1
            session.send(
                codec.ATTACH,
                codec.string(name), codec.uint(handle),
                codec.boolean(not said.fields[2]),
            )  # fmt: skip
            error = codec.error(refusal.condition, self.server.signed(str(refusal)))
            session.send(codec.DETACH, codec.uint(handle), codec.TRUE, error)
            return
        link.accept(said)
        self.server.stats.attached += 1
