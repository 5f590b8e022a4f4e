"""Which links a client may attach, and where a reader begins."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.eventhubs.access import LISTEN, SEND
from tests.eventhubs.codec import Performative, Symbol
from tests.eventhubs.links import Link, Producer, Reader
from tests.eventhubs.rpc import RPC_PATHS, Replies, Requests
from tests.eventhubs.store import Hub, Partition, PositionInvalid

if TYPE_CHECKING:
    from tests.eventhubs.connection import Connection, Session

_SELECTOR = re.compile(
    r"amqp\.annotation\.x-opt-(offset|sequence-number|enqueued-time)\s*(>=|>)\s*'([^']*)'"
)
_EPOCH = Symbol("com.microsoft:epoch")


class Refusal(Exception):
    """A link that cannot be: a condition and Azure's words."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(text)
        self.condition = condition


def link_for(session: Session, said: Performative) -> Link:
    """This side's end of the link that a client attaches.

    Raises:
        Refusal: no such hub, group or partition, no right, or somebody else is there.
    """
    server = session.connection.server
    terminus = said.fields[5] if said.fields[2] else said.fields[6]
    address = terminus.value[0] if terminus is not None and terminus.value else ""
    path = urlsplit(address).path.strip("/") if "://" in address else address.strip("/")
    if path in RPC_PATHS:
        return (Replies if said.fields[2] else Requests)(session, said, path)
    if (rule := server.faults.take("attach")) is not None:
        raise Refusal(rule.condition, rule.text)
    name, *rest = path.split("/")
    hub = server.store.hub(name)
    if hub is None:
        raise Refusal("amqp:not-found", server.not_found(name))
    _check_right(session.connection, hub, LISTEN if said.fields[2] else SEND)
    named = {key.lower(): value for key, value in zip(rest[::2], rest[1::2], strict=False)}
    partition = _partition(hub, named.get("partitions"))
    if not said.fields[2]:
        return Producer(session, said, hub, partition)
    if partition is None:
        raise Refusal("amqp:invalid-field", "A receiver names a partition.")
    return _reader(session, said, hub, partition, named.get("consumergroups", ""))


def _check_right(connection: Connection, hub: Hub, right: str) -> None:
    grant = connection.grants.get(hub.name.lower())
    is_granted = grant is not None and right in grant.rights and grant.until > time.time()
    if not is_granted and right not in connection.rights:
        raise Refusal(
            "amqp:unauthorized-access",
            f"Unauthorized access. '{right}' claim(s) are required to perform this operation. "
            f"Resource: '{connection.server.entity(hub.name)}'.",
        )


def _partition(hub: Hub, name: str | None) -> Partition | None:
    if name is None:
        return None
    partition = hub.partition(name)
    if partition is None:
        raise Refusal(
            "com.microsoft:argument-out-of-range",
            f"The specified partition is invalid for an EventHub partition sender or "
            f"receiver. It should be between 0 and {len(hub.partitions) - 1}.",
        )
    return partition


def _reader(
    session: Session, said: Performative, hub: Hub, partition: Partition, group: str
) -> Reader:
    if group.lower() not in hub.groups:
        inside = (
            f"{session.connection.server.container}:eventhub:{hub.name}~{partition.name}|{group}"
        )
        raise Refusal("amqp:not-found", f"The messaging entity '{inside}' could not be found.")
    what, comparison, value = _filter(said)
    try:
        start = partition.start_of(what, value, inclusive=comparison == ">=")
    except (PositionInvalid, ValueError) as exc:
        raise Refusal("com.microsoft:argument-error", str(exc)) from exc
    epoch = (said.fields[13] or {}).get(_EPOCH)
    owner = f"{hub.name}/{partition.name}/{group}".lower()
    reader = Reader(
        session, said, hub=hub, partition=partition, start=start, owner=owner, epoch=epoch
    )
    session.connection.server.admit(reader)
    return reader


def _filter(said: Performative) -> tuple[str, str, str]:
    filters: dict[str, Any] = said.fields[5].value[7] or {}
    for described in filters.values():
        text = str(described.value)
        if (match := _SELECTOR.fullmatch(text.strip())) is None:
            raise Refusal("com.microsoft:argument-error", f"The filter '{text}' is invalid.")
        return match[1], match[2], match[3]
    return "offset", ">", "@latest"
