"""The ends of links: events out to readers, events in from producers."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

from tests.eventhubs import codec
from tests.eventhubs.codec import DecodeError, Performative
from tests.eventhubs.messages import split
from tests.eventhubs.store import Hub, Partition

if TYPE_CHECKING:
    from tests.eventhubs.connection import Session

MAX_MESSAGE_BYTES = 1024 * 1024
#: frames of both directions, as Azure has them
MAX_FRAME_BYTES = 65_536
_CREDIT = 300
#: what is handed to the socket at once
_WRITE_BYTES, _WRITE_EVENTS = 256 * 1024, 1_000
_TRICKLE_PAUSE_S = 0.02
SERVER_BUSY = "com.microsoft:server-busy"
_BUSY_TEXT = (
    "The request was terminated because the entity is being throttled. Error code : 50002. "
    "Please wait 4 seconds and try again."
)
#: frame header and a transfer of full length: handle, delivery id, tag, format, settled, more
_TRANSFER = struct.Struct(">IBBH 6s BI BI 2sI BI 2s 5s")
_TRANSFER_START = b"\x00\x53\x14\xc0\x1d\x0b"
#: where "more" is, counted from the end of the frame's header
MORE_AT = _TRANSFER.size - 8 - 6
_FLAGS = {
    (settled, more): codec.boolean(settled) + codec.boolean(more)
    for settled in (True, False)
    for more in (True, False)
}


def transfer_head(
    size: int, channel: int, handle: int, delivery: int, *, settled: bool, more: bool,
    message_format: int = 0,
) -> bytes:  # fmt: skip
    """Everything of a transfer's frame but its `size` bytes of message."""
    delivery &= 0xFFFFFFFF
    return _TRANSFER.pack(
        _TRANSFER.size + size, 2, 0, channel, _TRANSFER_START, 0x70, handle, 0x70, delivery,
        b"\xa0\x04", delivery, 0x70, message_format, _FLAGS[settled, more], b"\x40" * 5,
    )  # fmt: skip


class Link:
    """One end of a link; the other is the client's. Handles are the same on both sides."""

    def __init__(self, session: Session, attach: Performative) -> None:
        self.session = session
        self.connection = session.connection
        self.name: str = attach.fields[0]
        self.handle: int = attach.fields[1]
        #: the client's end sends
        self.is_inward = not attach.fields[2]
        self.count = 0

    def accept(self, attach: Performative) -> None:
        """Answer the client's attach; its source and target come back as they are."""
        self.session.send(
            codec.ATTACH,
            codec.string(self.name), codec.uint(self.handle), codec.boolean(self.is_inward),
            attach.raw[3] if self.is_inward else codec.ubyte(1), codec.ubyte(0),
            attach.raw[5], attach.raw[6], codec.NULL, codec.FALSE,
            codec.NULL if self.is_inward else codec.uint(0), codec.ulong(MAX_MESSAGE_BYTES),
        )  # fmt: skip
        self.session.links[self.handle] = self

    def detach(self, condition: str, text: str) -> None:
        """Close the link from this side."""
        error = codec.error(condition, text)
        self.session.send(codec.DETACH, codec.uint(self.handle), codec.TRUE, error)
        self.session.links.pop(self.handle, None)
        self.closed()

    def closed(self) -> None:
        """The link is gone, whoever closed it."""

    def flowed(self, flow: Performative) -> None:
        """The client said how much it takes or has."""

    def transferred(self, transfer: Performative) -> None:
        """The client sent a frame of a message."""


class Inward(Link):
    """A link on which the client sends: messages are put together from their frames."""

    def __init__(self, session: Session, attach: Performative) -> None:
        super().__init__(session, attach)
        self._parts: list[bytes] = []
        self._size = 0
        self._first: Performative | None = None

    def accept(self, attach: Performative) -> None:
        super().accept(attach)
        self._grant()

    def _grant(self) -> None:
        session = self.session
        session.send(
            codec.FLOW,
            codec.uint(session.next_incoming), codec.uint(5_000),
            codec.uint(session.next_outgoing), codec.uint(0x7FFFFFFF),
            codec.uint(self.handle), codec.uint(self.count), codec.uint(_CREDIT),
            codec.NULL, codec.FALSE, codec.FALSE,
        )  # fmt: skip

    def transferred(self, transfer: Performative) -> None:
        first = self._first = self._first or transfer
        self._parts.append(transfer.payload)
        self._size += len(transfer.payload)
        if self._size > MAX_MESSAGE_BYTES:
            self.detach(
                "amqp:link:message-size-exceeded",
                f"The received message (delivery-id:{first.fields[1]}, size:{self._size} bytes) "
                f"exceeds the limit ({MAX_MESSAGE_BYTES} bytes) currently allowed on the link.",
            )
            return
        if transfer.fields[5]:  # more of it comes
            return
        message = b"".join(self._parts)
        self._parts, self._size, self._first = [], 0, None
        self.count += 1
        if self.count % (_CREDIT // 2) == 0:
            self._grant()
        self.received(first.fields[1], first.fields[3] or 0, message)

    def received(self, delivery: int, message_format: int, message: bytes) -> None:
        """A whole message came."""
        raise NotImplementedError

    def settle(self, delivery: int, state: bytes) -> None:
        """Tell the client what became of its message."""
        self.session.send(
            codec.DISPOSITION,
            codec.TRUE, codec.uint(delivery), codec.uint(delivery), codec.TRUE, state, codec.FALSE,
        )  # fmt: skip


class Producer(Inward):
    """Events come in."""

    def __init__(
        self, session: Session, attach: Performative, hub: Hub, partition: Partition | None
    ) -> None:
        super().__init__(session, attach)
        self.hub, self._partition = hub, partition

    def received(self, delivery: int, message_format: int, message: bytes) -> None:
        server = self.connection.server
        if self.hub.name.lower() in server.faults.throttled:
            server.stats.throttled += 1
            self.settle(delivery, codec.rejected(SERVER_BUSY, _BUSY_TEXT))
            return
        try:
            events = split(message, message_format=message_format)
        except DecodeError as exc:
            self.settle(delivery, codec.rejected("amqp:decode-error", str(exc)))
            return
        key = events[0].partition_key if events else None
        server.store.append(self.hub, self._partition or self.hub.partition_for(key), events)
        server.stats.events_in += len(events)
        if server.faults.lost_answers > 0:
            server.faults.lost_answers -= 1
            self.connection.abort()
            return
        self.settle(delivery, codec.accepted())


class Outward(Link):
    """A link on which the client receives."""

    def __init__(self, session: Session, attach: Performative) -> None:
        super().__init__(session, attach)
        self.credit = 0

    def flowed(self, flow: Performative) -> None:
        if flow.fields[6] is not None:
            self.credit = (flow.fields[5] or 0) + flow.fields[6] - self.count
            self.pump()

    def pump(self) -> None:
        """Send what there is, as far as credit goes."""

    def frames(self, message: bytes, *, settled: bool) -> list[bytes]:
        """A delivery, in as many frames as it needs."""
        session, room = self.session, self.connection.frame_bytes - _TRANSFER.size
        delivery = session.next_delivery
        session.next_delivery += 1
        self.credit -= 1
        self.count += 1
        if len(message) <= room:
            session.sent_frames(1)
            head = transfer_head(
                len(message), session.channel, self.handle, delivery, settled=settled, more=False
            )
            return [head, message]
        parts = [message[at : at + room] for at in range(0, len(message), room)]
        session.sent_frames(len(parts))
        out = []
        for number, part in enumerate(parts, start=1):
            more = number < len(parts)
            out.append(
                transfer_head(
                    len(part), session.channel, self.handle, delivery, settled=settled, more=more
                )
            )
            out.append(part)
        return out


class Reader(Outward):
    """Events go out from a position on."""

    def __init__(
        self, session: Session, attach: Performative, *, hub: Hub, partition: Partition, start: int,
        owner: str, epoch: int | None,
    ) -> None:  # fmt: skip
        super().__init__(session, attach)
        self.hub, self.partition, self.next = hub, partition, start
        #: "hub/partition/group", what readers compete for
        self.owner, self.epoch = owner, epoch
        self._is_waiting = False
        partition.watchers.add(self.pump)

    def closed(self) -> None:
        self.partition.watchers.discard(self.pump)
        self.connection.server.forget(self)

    def pump(self) -> None:
        connection, partition = self.connection, self.partition
        if self._is_waiting or self.handle not in self.session.links:
            return
        self.next = max(self.next, partition.first)
        limit = connection.server.faults.trickle or _WRITE_EVENTS
        count = min(self.credit, self.session.window, partition.end - self.next, limit)
        if count <= 0 or not connection.is_writable:
            return
        self._send(count)
        if self.credit > 0 and self.next < partition.end:
            self._is_waiting = True
            pause = _TRICKLE_PAUSE_S if connection.server.faults.trickle else 0
            asyncio.get_running_loop().call_later(pause, self._go_on)

    def _go_on(self) -> None:
        self._is_waiting = False
        self.pump()

    def _send(self, count: int) -> None:
        connection, start = self.connection, self.next - self.partition.first
        out: list[bytes] = []
        size = 0
        for event in self.partition.events[start : start + count]:
            out += self.frames(event, settled=True)
            self.next += 1
            size += len(event)
            if size > _WRITE_BYTES or self.session.window <= 0:
                break
        sent = len(out) // 2
        server = connection.server
        server.stats.events_out += sent
        if server.faults.events_until_cut >= 0:
            server.faults.events_until_cut -= sent
            if server.faults.events_until_cut <= 0:
                server.faults.events_until_cut = -1
                connection.cut_inside(b"".join(out))
                return
        connection.write(*out)
