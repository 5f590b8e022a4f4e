"""A Kafka cluster for tests: librdkafka's mock in a process of its own, or a real one.

The mock speaks the protocol to real clients. What it cannot do: find offsets by time, describe
configurations, TLS, passwords. Everything is in its memory: a killed cluster comes back empty and
at another address; brokers that are taken down and up again keep what they have.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

ROOT = Path(__file__).parent.parent
#: keys of Kafka's protocol, for push_errors
PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT = 0, 1, 2, 3, 8


class KafkaCluster:
    """Start it, make topics, load them, and break it."""

    def __init__(self, *, brokers: int = 1) -> None:
        self._brokers = brokers
        self._process: subprocess.Popen[str] | None = None
        self._producer: Producer | None = None
        self._lock = threading.Lock()
        self.bootstrap = ""

    def start(self) -> None:
        """Start it and learn its address."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kafka_host", str(self._brokers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            text=True,
        )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        assert first, "the mock cluster did not start; python -m tests.kafka_host 1 says why"
        self.bootstrap = json.loads(first)["bootstrap"]

    def kill(self) -> None:
        """kill -9: everything in it is gone."""
        self._close_producer()
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()

    stop = kill

    def freeze(self) -> None:
        """It stays connected and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    # --- topics ------------------------------------------------------------------------------

    def create_topic(self, *, partitions: int = 1, name: str = "", retention_bytes: int = 0) -> str:
        """Its name. `retention_bytes` a partition; 0 keeps everything."""
        name = name or f"t-{uuid.uuid4().hex[:12]}"
        self._run("keep", retention_bytes or 2**62)
        self._run("topic_create", name, partitions, 1)
        return name

    def delete_topic(self, topic: str) -> None:
        """With everything in it."""
        self._run("topic_delete", topic)

    def load(
        self,
        topic: str,
        partition: int,
        bodies: Sequence[bytes | None],
        *,
        keys: Sequence[bytes | None] | None = None,
        headers: Sequence[Any] | None = None,
        timestamps: Sequence[int] | None = None,
    ) -> None:
        """Append messages in order; they are durable when this returns."""
        load(
            self._writer(),
            topic,
            partition,
            bodies,
            keys=keys,
            headers=headers,
            timestamps=timestamps,
        )

    def bounds(self, topic: str, partition: int = 0) -> tuple[int, int]:
        """Low and high watermark."""
        return bounds(self.bootstrap, topic, partition)

    def expire(self, topic: str, partition: int, before: int) -> None:
        """Retention took what is before that offset."""
        self._run("partition_delete_records", topic, partition, before)

    # --- faults ------------------------------------------------------------------------------

    def broker_down(self, broker: int = 1) -> None:
        """It closes its connections and takes no others; what it has stays."""
        self._run("broker_set_down", broker)

    def broker_up(self, broker: int = 1) -> None:
        """It is there again."""
        self._run("broker_set_up", broker)

    def cut_connections(self) -> None:
        """Every connection ends, and may be opened again at once."""
        for broker in range(1, self._brokers + 1):
            self.broker_down(broker)
            self.broker_up(broker)

    def slow_down(self, rtt_ms: int, *, broker: int = 1) -> None:
        """Each answer takes so much longer; 0 ends it."""
        self._run("broker_set_rtt", broker, rtt_ms)

    def advertise(self, host: str, port: int, *, broker: int = 1) -> None:
        """Where the cluster tells clients to find the broker; it listens where it did."""
        self._run("broker_set_host_port", broker, host, port)

    def move_leader(self, topic: str, partition: int, broker: int) -> None:
        """Another broker leads the partition."""
        self._run("partition_set_leader", topic, partition, broker)

    def push_errors(self, request: int, *errors: int) -> None:
        """The next requests of a kind (PRODUCE, FETCH, ..) fail with these error codes."""
        self._run("push_request_errors_array", request, list(errors))

    def topic_error(self, topic: str, error: int) -> None:
        """What metadata says of the topic; 0 ends it."""
        self._run("topic_set_error", topic, error)

    # --- inside ------------------------------------------------------------------------------

    def _run(self, command: str, *arguments: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
        assert not answer, f"{command} failed with {answer}"

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _writer(self) -> Producer:
        if self._producer is None:
            self._producer = writer(self.bootstrap)
        return self._producer

    def _close_producer(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer = None


def writer(bootstrap: str) -> Producer:
    """A producer of large batches."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 5,
            "message.max.bytes": 64 * 2**20,
            "batch.size": 2**20,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 0,
        }
    )


def load(
    producer: Producer,
    topic: str,
    partition: int,
    bodies: Sequence[bytes | None],
    *,
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[Any] | None = None,
    timestamps: Sequence[int] | None = None,
) -> None:
    """Append messages in order; they are durable when this returns."""
    errors: list[Any] = []

    def note(error: Any, _message: Any) -> None:
        if error is not None:
            errors.append(error)

    for index, body in enumerate(bodies):
        more: dict[str, Any] = {"key": keys[index]} if keys else {}
        if headers:
            more["headers"] = headers[index]
        if timestamps:
            more["timestamp"] = timestamps[index]
        producer.produce(topic, body, partition=partition, on_delivery=note, **more)
        if index % 1_000 == 999:
            producer.poll(0)
    assert producer.flush(30) == 0
    assert not errors, errors[0]


def bounds(bootstrap: str, topic: str, partition: int = 0) -> tuple[int, int]:
    """Low and high watermark."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "look", "log_level": 0})
    try:
        found = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        assert found is not None
        return found
    finally:
        consumer.close()


class RealKafka:
    """The cluster at KAFKA_BOOTSTRAP; the part of KafkaCluster that needs no fault."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._producer = writer(bootstrap)
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._topics: list[str] = []

    def create_topic(
        self, *, partitions: int = 1, name: str = "", config: Mapping[str, str] | None = None
    ) -> str:
        """Its name; it takes messages of up to 16 MB."""
        name = name or f"payflow-test-{uuid.uuid4().hex[:12]}"
        config = {"max.message.bytes": str(16 * 2**20), **(config or {})}
        topic = NewTopic(name, partitions, 1, config=config)
        self._admin.create_topics([topic])[name].result(30)
        self._topics.append(name)
        return name

    def load(self, topic: str, partition: int, bodies: Sequence[bytes | None]) -> None:
        """Append messages in order."""
        load(self._producer, topic, partition, bodies)

    def bounds(self, topic: str, partition: int = 0) -> tuple[int, int]:
        """Low and high watermark."""
        return bounds(self.bootstrap, topic, partition)

    def stop(self) -> None:
        """Delete what was made."""
        if self._topics:
            for future in self._admin.delete_topics(self._topics).values():
                future.result(30)


def real_kafka() -> RealKafka | None:
    """What KAFKA_BOOTSTRAP names, if anything."""
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP", "")
    return RealKafka(bootstrap) if bootstrap else None
