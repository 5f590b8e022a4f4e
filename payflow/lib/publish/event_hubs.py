"""To an event hub, in batches as large as the hub takes, the partition chosen by the key.

A batch goes to one partition, so messages with keys are sorted into a batch a partition by the
hash that Azure itself uses: with one batch a key, as its clients do, few messages would share one.
Each keeps its key. A hub knows no idempotent producers: what was sent again after a lost answer
may be stored twice.
"""
# ruff: noqa: SLF001  the SDK's lower layer, see payflow/lib/event_hubs_connection.py

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from payflow.lib.errors import BackPressure, MessageTooLarge, SourceUnavailable
from payflow.lib.event_hubs import HubTarget, condition_of
from payflow.lib.event_hubs_connection import OPEN_S, HubConnection, hear_refusals
from payflow.lib.publish.base import OutgoingMessage, Publisher

logger = logging.getLogger(__name__)

#: messages whose batches are on their way before they count
CHUNK_MESSAGES: Final = 2_000
CHUNK_BYTES: Final = 8 * 2**20
#: how often a batch is sent before somebody else has to wait, and the pauses in between: doubled
ATTEMPTS: Final = 4
PAUSE_S: Final = 0.1
SEND_S: Final = 10.0
#: what a batch and each message in it cost beside their bytes, at most
_ENVELOPE: Final = 512
_EACH: Final = 16
_BUSY: Final = b"server-busy"
_TOO_LARGE: Final = b"message-size-exceeded"


class EventHubsPublisher(Publisher):
    """A sender link a partition, and one for messages without a key, on one connection."""

    def __init__(self, target: HubTarget) -> None:
        self._target = target
        self._hub: HubConnection | None = None
        self._senders: dict[str | None, Any] = {}
        self._resolver: Any = None

    def connect(self) -> None:
        from azure.eventhub._buffered_producer import PartitionResolver  # noqa: PLC0415

        self.close()
        hub = HubConnection(self._target)
        try:
            hub.open()
            resolver: Any = PartitionResolver  # it has no types
            self._resolver = resolver(hub.partitions())
        except SourceUnavailable:
            hub.close()
            raise
        self._hub = hub

    def close(self) -> None:
        senders, self._senders = self._senders, {}
        for sender in senders.values():
            with suppress(Exception):  # the connection may be gone
                sender.close()
        hub, self._hub = self._hub, None
        if hub is not None:
            hub.close()

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        for start in range(0, len(messages), CHUNK_MESSAGES):
            for chunk in _by_size(messages[start : start + CHUNK_MESSAGES]):
                self._publish(chunk)
                self.published += len(chunk)

    def _publish(self, chunk: Sequence[OutgoingMessage]) -> None:
        encoded: dict[str | None, list[bytes]] = {}
        if self._hub is None:
            self._again(self.connect)
        for message in chunk:
            partition = None
            if message.key is not None:
                partition = self._resolver.get_partition_id_by_partition_key(_key(message.key))
            encoded.setdefault(partition, []).append(_encoded(message))
        for partition, events in encoded.items():
            self._again(lambda: self._send(partition, events))  # noqa: B023  called at once

    # --- one batch -------------------------------------------------------------------------------

    def _again(self, call: Any) -> None:
        """Call until it succeeds, with pauses. A hub that stays busy is full."""
        deadline = time.monotonic() + SEND_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                call()
            except SourceUnavailable as exc:
                is_busy = _BUSY in condition_of(exc.__cause__)
                if not is_busy:
                    self.close()
                if attempt == ATTEMPTS or time.monotonic() > deadline:
                    if is_busy:
                        raise BackPressure(str(exc)) from exc
                    raise
                self.retried += 1
                pause = PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311
                logger.warning(
                    "a send to an event hub is repeated: %s",
                    exc,
                    extra={"action": "publish_retried", "attempt": attempt, "delay_s": pause},
                )
                time.sleep(pause)
            else:
                return

    def _send(self, partition: str | None, events: list[bytes]) -> None:
        """All events, those that are still there first: a batch that was taken leaves the list."""
        if self._hub is None:
            self.connect()
        hub = self._hub
        assert hub is not None  # noqa: S101 - for the type checker
        transport = hub.client._amqp_transport
        sender = self._sender(hub, partition)
        limit = transport.get_remote_max_message_size(sender) or transport.MAX_MESSAGE_LENGTH_BYTES
        while events:
            count = _fitting(events, limit)
            batch = transport.build_batch_message(data=events[:count])
            with hub.translated("takes no events"), hub.within(SEND_S):
                try:
                    sender.send_message(batch, timeout=SEND_S)
                except Exception as exc:
                    if _TOO_LARGE in condition_of(exc):
                        raise _too_large(events[0]) from exc
                    raise
            del events[:count]

    def _sender(self, hub: HubConnection, partition: str | None) -> Any:
        if partition in self._senders:
            return self._senders[partition]
        client = hub.client
        config, transport, address = client._config, client._amqp_transport, client._address
        target = f"amqps://{address.hostname}{address.path}"
        if partition is not None:
            target += f"/Partitions/{partition}"
        sender = transport.create_send_client(
            config=config,
            target=target,
            auth=client._create_auth(),
            network_trace=False,
            idle_timeout=None,
            retry_policy=transport.create_retry_policy(config),
            keep_alive_interval=0,
            client_name=f"payflow-{uuid.uuid4()}",
            link_properties=transport.create_link_properties({}),
            msg_timeout=SEND_S,
        )
        self._senders[partition] = sender
        deadline = time.monotonic() + OPEN_S
        with hub.translated("takes no events"), hub.within(OPEN_S):
            sender.open(connection=hub.amqp)
            hear_refusals(sender)
            while not sender.client_ready():
                if time.monotonic() > deadline:
                    raise TimeoutError
        return sender


def _encoded(message: OutgoingMessage) -> bytes:
    from azure.eventhub._pyamqp._encode import encode_payload  # noqa: PLC0415  an extra
    from azure.eventhub._pyamqp.message import Message  # noqa: PLC0415

    annotations: dict[str | bytes, Any] = {}
    if message.key is not None:
        annotations[b"x-opt-partition-key"] = _key(message.key)
    headers: Any = message.headers  # its keys may be bytes to the SDK
    encoded = bytearray()
    encode_payload(
        encoded,
        Message(
            message_annotations=annotations or None,
            application_properties=dict(headers) if headers else None,
            data=[message.body],
        ),
    )
    return bytes(encoded)


def _key(key: bytes) -> str:
    """As the protocol wants it: text. Bytes that are none are escaped."""
    return key.decode(errors="backslashreplace")


def _by_size(messages: Sequence[OutgoingMessage]) -> list[list[OutgoingMessage]]:
    chunks: list[list[OutgoingMessage]] = [[]]
    size = 0
    for message in messages:
        size += len(message.body)
        if size > CHUNK_BYTES and chunks[-1]:
            chunks.append([])
            size = len(message.body)
        chunks[-1].append(message)
    return chunks


def _fitting(events: list[bytes], limit: int) -> int:
    """How many of them one batch holds. Raises MessageTooLarge when that is none."""
    size = _ENVELOPE
    for count, event in enumerate(events):
        size += len(event) + _EACH
        if size > limit:
            if count == 0:
                raise _too_large(event)
            return count
    return len(events)


def _too_large(event: bytes) -> MessageTooLarge:
    return MessageTooLarge(f"A message of {len(event):,} bytes is larger than the hub takes.")
