"""Requests and answers over a pair of links: $cbs takes tokens, $management tells properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from tests.eventhubs import codec
from tests.eventhubs.access import Refused, check
from tests.eventhubs.codec import Performative
from tests.eventhubs.links import Inward, Outward
from tests.eventhubs.messages import message_of, reply
from tests.eventhubs.store import Hub, Partition

if TYPE_CHECKING:
    from tests.eventhubs.connection import Session

CBS, MANAGEMENT = "$cbs", "$management"
RPC_PATHS = {CBS, MANAGEMENT}


class Answer(NamedTuple):
    """What a request gets."""

    status: int
    text: str
    condition: str = ""
    body: bytes = codec.NULL


class Replies(Outward):
    """Answers go out."""

    def __init__(self, session: Session, attach: Performative, path: str) -> None:
        super().__init__(session, attach)
        self.path = path
        self._waiting: list[bytes] = []

    def answer(self, message: bytes) -> None:
        self._waiting.append(message)
        self.pump()

    def pump(self) -> None:
        while self._waiting and self.credit > 0 and self.session.window > 0:
            frames = self.frames(self._waiting.pop(0), settled=True)
            self.connection.write(*frames)


class Requests(Inward):
    """Requests come in; their answers leave by the link with the same path on this session."""

    def __init__(self, session: Session, attach: Performative, path: str) -> None:
        super().__init__(session, attach)
        self.path = path

    def received(self, delivery: int, message_format: int, message: bytes) -> None:
        self.settle(delivery, codec.accepted())
        message_id, properties, body = message_of(message)
        answer = (self._put_token if self.path == CBS else self._properties_of)(properties, body)
        fields = {
            codec.string("status-code"): codec.integer(answer.status),
            codec.string("status-description"): codec.string(
                self.connection.server.signed(answer.text) if answer.condition else answer.text
            ),
        }
        if answer.condition and self.connection.server.names_conditions:
            fields[codec.string("error-condition")] = codec.symbol(answer.condition)
        for link in list(self.session.links.values()):
            if isinstance(link, Replies) and link.path == self.path:
                link.answer(reply(message_id, fields, answer.body))

    def _rule(self, stage: str) -> Answer | None:
        rule = self.connection.server.faults.take(stage)
        if rule is None:
            return None
        is_denied = rule.condition in ("com.microsoft:auth-failed", "amqp:unauthorized-access")
        return Answer(401 if is_denied else 503, rule.text, rule.condition)

    def _put_token(self, properties: dict[str, Any], body: Any) -> Answer:
        server = self.connection.server
        if (answer := self._rule("cbs")) is not None:
            return answer
        audience = str(properties.get("name", ""))
        kind = "jwt" if properties.get("type") == "jwt" else "sas"
        try:
            grant = check(str(body), kind=kind, audience=audience)
        except Refused as exc:
            return Answer(401, str(exc), "com.microsoft:auth-failed")
        name = urlsplit(audience).path.strip("/").partition("/")[0]
        if server.store.hub(name) is None:
            return Answer(404, server.not_found(name), "amqp:not-found")
        self.connection.grants[name.lower()] = grant
        return Answer(202, "Accepted")

    def _properties_of(self, properties: dict[str, Any], _body: Any) -> Answer:
        server = self.connection.server
        server.stats.management += 1
        if (answer := self._rule("management")) is not None:
            return answer
        name = str(properties.get("name", ""))
        hub = server.store.hub(name)
        if hub is None:
            return Answer(404, server.not_found(name), "amqp:not-found")
        if hub.name.lower() not in self.connection.grants and not self.connection.rights:
            text = "Unauthorized access. 'Listen' claim(s) are required to perform this operation."
            return Answer(401, text, "amqp:unauthorized-access")
        if properties.get("type") == "com.microsoft:eventhub":
            return Answer(200, "OK", body=_hub_body(hub))
        partition = hub.partition(str(properties.get("partition", "")))
        if partition is None:
            text = (
                "The specified partition is invalid for an EventHub partition sender or receiver. "
                f"It should be between 0 and {len(hub.partitions) - 1}."
            )
            return Answer(404, text, "com.microsoft:argument-out-of-range")
        return Answer(200, "OK", body=_partition_body(hub, partition))


def _hub_body(hub: Hub) -> bytes:
    return codec.mapping(
        {
            codec.string("name"): codec.string(hub.name),
            codec.string("type"): codec.string("com.microsoft:eventhub"),
            codec.string("created_at"): codec.timestamp(hub.created_ms),
            codec.string("partition_count"): codec.integer(len(hub.partitions)),
            codec.string("partition_ids"): codec.strings(p.name for p in hub.partitions),
        }
    )


def _partition_body(hub: Hub, partition: Partition) -> bytes:
    is_empty = not partition.events
    return codec.mapping(
        {
            codec.string("name"): codec.string(hub.name),
            codec.string("type"): codec.string("com.microsoft:partition"),
            codec.string("partition"): codec.string(partition.name),
            codec.string("begin_sequence_number"): codec.long(partition.first),
            codec.string("last_enqueued_sequence_number"): codec.long(partition.end - 1),
            codec.string("last_enqueued_offset"): codec.string(str(partition.last_offset)),
            codec.string("last_enqueued_time_utc"): codec.timestamp(partition.last_time),
            codec.string("is_partition_empty"): codec.boolean(is_empty),
        }
    )
