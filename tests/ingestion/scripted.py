"""A broker in memory that does what a test tells it: it hangs, grows, loses messages, cuts off."""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from ingestion.sources.base import (
    Bounds,
    Checkpoint,
    ConnectionStep,
    Lag,
    MessageBatch,
    MessageConsumer,
)
from payflow.lib.errors import ConfigurationError, Problem, SourceUnavailable


@dataclass
class ScriptedBroker:
    """What the broker holds, and how it behaves."""

    #: messages by partition; a partition is there when it is a key
    logs: dict[str, list[bytes]] = field(default_factory=dict)
    #: cleared: every call hangs until it is set again
    answers: threading.Event = field(default_factory=threading.Event)
    #: raised by connect()
    refusal: Exception | None = None
    #: raised once by the next consume_batch(), in turn; None: no messages and no error
    consume_errors: list[Exception | None] = field(default_factory=list)
    #: raised by checkpoint() of a partition, each time
    assign_errors: dict[str, Exception] = field(default_factory=dict)
    #: partitions whose beginning the broker does not tell
    leaderless: set[str] = field(default_factory=set)
    #: settings of each consumer that connected
    connected_with: list[dict[str, Any]] = field(default_factory=list)
    #: epochs with which each partition was assigned
    epochs: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    disconnects: int = 0
    #: a worker that starts from now on refuses the settings of this source: a secret it lacks, say
    refused_from_now: str = ""
    consumers: list[ScriptedConsumer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answers.set()


class ScriptedConsumer(MessageConsumer):
    """Reads it; `broker` is set by the fixture."""

    broker_type: ClassVar[str] = "scripted"
    LOG_FIELDS: ClassVar[frozenset[str]] = frozenset()
    broker: ClassVar[ScriptedBroker]

    @classmethod
    def parse_settings(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        if "wrong" in settings:
            raise ConfigurationError(Problem(pointer="/settings/wrong", message="is wrong"))
        if settings.get("is") and settings["is"] == cls.broker.refused_from_now:
            raise ConfigurationError(Problem(pointer="/settings/secret", message="is not set"))
        return dict(settings)

    def __init__(self, *, source: str, settings: dict[str, Any]) -> None:
        self._source, self._settings = source, settings
        self._at: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._is_connected = False
        #: the broker refuses this one alone
        self.is_cut_off = False
        self.broker.consumers.append(self)

    def _ask(self) -> ScriptedBroker:
        self.broker.answers.wait()
        if self.is_cut_off:
            raise SourceUnavailable("no route to host")
        return self.broker

    def connect(self) -> None:
        broker = self._ask()
        if broker.refusal:
            raise broker.refusal
        broker.connected_with.append(self._settings)
        self._is_connected = True

    def disconnect(self) -> None:
        self._is_connected = False
        self.broker.disconnects += 1

    @property
    def is_connected(self) -> bool:
        return self._is_connected

    def partitions(self) -> list[str]:
        return list(self._ask().logs)

    def first_position(self, partition: str) -> str:
        if partition in self._ask().leaderless:
            raise SourceUnavailable("the partition has no leader")
        return "0"

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        broker = self._ask()
        if error := broker.assign_errors.get(checkpoint.partition):
            raise error
        broker.epochs[checkpoint.partition].append(checkpoint.epoch)
        self._at[checkpoint.partition] = int(checkpoint.position)
        self._numbers[checkpoint.partition] = checkpoint.sequence_number

    def release(self, partition: str) -> None:
        self._at.pop(partition, None)

    def consume_batch(self, *, wait_s: float) -> MessageBatch | None:
        broker = self._ask()
        if broker.consume_errors:
            if (error := broker.consume_errors.pop(0)) is None:
                return None
            raise error
        if not self._is_connected or broker.refusal:
            raise SourceUnavailable("the script says no")
        for name, start in self._at.items():
            if bodies := broker.logs[name][start : start + 100]:
                return self._batch(name, start, bodies)
        time.sleep(min(wait_s, 0.02))
        return None

    def _batch(self, name: str, start: int, bodies: list[bytes]) -> MessageBatch:
        now = datetime.now(UTC)
        batch = MessageBatch(
            source=self._source,
            partition=name,
            broker_type=self.broker_type,
            batch_id=uuid.uuid4().hex,
            position=str(start),
            next_position=str(start + len(bodies)),
            sequence_number=self._numbers[name],
            received_at=now,
            offsets=[str(start + index) for index in range(len(bodies))],
            times_us=[int(now.timestamp() * 1e6)] * len(bodies),
            bodies=bodies,
        )
        self._at[name] += len(bodies)
        self._numbers[name] += len(bodies)
        return batch

    def acknowledge_batch(self, batch: MessageBatch) -> None: ...

    def lag(self) -> dict[str, Lag]:
        logs = self._ask().logs
        return {n: Lag(events=len(logs[n]) - at, seconds=0.0) for n, at in self._at.items()}

    def bounds(self, partition: str) -> Bounds:
        return Bounds(first="0", end=str(len(self._ask().logs[partition])))

    def position_at(self, partition: str, moment: datetime) -> str:
        return "0"

    def count_between(self, partition: str, start: str, end: str) -> int | None:
        return int(end) - int(start)

    def diagnose(self) -> list[ConnectionStep]:
        return []
