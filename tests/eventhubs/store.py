"""Hubs, partitions and their events, in memory and in a journal that outlives the process.

A write to the journal is a write(2): it survives a kill of the process, as an acknowledged event
must. The machine may lose it; no test pulls that plug.
"""

from __future__ import annotations

import os
import time
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from tests.eventhubs.messages import Event, plain_event, stored

DEFAULT_GROUP = "$Default"
#: what the service adds to an event's size in its offsets
_OVERHEAD = 56


class PositionInvalid(Exception):
    """The partition has no such position; the text is Azure's."""


class Partition:
    """The events of one partition, encoded as readers get them."""

    def __init__(self, name: str) -> None:
        self.name = name
        #: sequence number of the first event that is kept
        self.first = 0
        self.events: list[bytes] = []
        #: where each event begins, in bytes since the partition's beginning
        self.offsets: list[int] = []
        #: when each was enqueued, in milliseconds
        self.times: list[int] = []
        self.next_offset = 0
        #: the offset and time of the last event, also when it has expired
        self.last_offset, self.last_time = -1, 0
        #: called after events came
        self.watchers: set[Callable[[], None]] = set()

    @property
    def end(self) -> int:
        """Sequence number of the next event."""
        return self.first + len(self.events)

    def append(self, encoded: Sequence[bytes], offsets: Sequence[int], now_ms: int) -> None:
        self.events.extend(encoded)
        self.offsets.extend(offsets)
        self.times.extend([now_ms] * len(encoded))
        self.last_offset, self.last_time = offsets[-1], now_ms
        self.next_offset = offsets[-1] + len(encoded[-1]) + _OVERHEAD

    def drop_before(self, sequence: int) -> None:
        gone = max(0, min(sequence - self.first, len(self.events)))
        self.first += gone
        del self.events[:gone], self.offsets[:gone], self.times[:gone]

    def start_of(self, what: str, value: str, *, inclusive: bool) -> int:
        """Sequence number of the first event that the filter lets through.

        Raises:
            PositionInvalid: beyond the end.
        """
        if what == "offset" and value in ("-1", "@latest"):
            return self.first if value == "-1" else self.end
        pick = bisect_left if inclusive else bisect_right
        if what == "enqueued-time":
            return self.first + pick(self.times, int(value))
        if what == "offset":
            if int(value) > self.last_offset:
                raise PositionInvalid(
                    f"The supplied offset '{value}' is invalid. "
                    f"The last offset in the system is '{self.last_offset}'"
                )
            return self.first + pick(self.offsets, int(value))
        start = int(value) + (not inclusive)
        if start > self.end:
            raise PositionInvalid(
                f"The supplied sequence number '{value}' is invalid. "
                f"The last sequence number in the system is '{self.end - 1}'"
            )
        return max(start, self.first)


class Hub:
    """A hub with its partitions and consumer groups (compared without case, as Azure does)."""

    def __init__(self, name: str, partitions: int, groups: Sequence[str]) -> None:
        self.name = name
        self.partitions = [Partition(str(number)) for number in range(partitions)]
        self.groups = {DEFAULT_GROUP.lower(), *(group.lower() for group in groups)}
        self.created_ms = int(time.time() * 1000)
        self._turn = count()

    def partition(self, name: str) -> Partition | None:
        """By its name; None when there is no such partition."""
        if not name.isdecimal() or int(name) >= len(self.partitions):
            return None
        return self.partitions[int(name)]

    def partition_for(self, key: str | None) -> Partition:
        """Where an event without a partition of its own goes."""
        number = next(self._turn) if key is None else zlib.crc32(key.encode())
        return self.partitions[number % len(self.partitions)]

    def grow(self, more: int) -> None:
        start = len(self.partitions)
        self.partitions += [Partition(str(number)) for number in range(start, start + more)]


class Store:
    """All hubs. Each change is in the journal before it is answered."""

    def __init__(self, journal: Path) -> None:
        self.hubs: dict[str, Hub] = {}
        if journal.exists():
            os.truncate(journal, self._replay(journal.read_bytes()))
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        os.close(self._journal)

    def hub(self, name: str) -> Hub | None:
        return self.hubs.get(name.lower())

    def create_hub(self, name: str, partitions: int, groups: Sequence[str]) -> None:
        self._change("create_hub", name, partitions, list(groups))

    def delete_hub(self, name: str) -> None:
        self._change("delete_hub", name)

    def add_partitions(self, name: str, more: int) -> None:
        self._change("grow", name, more)

    def drop_before(self, name: str, partition: str, sequence: int) -> None:
        self._change("drop", name, partition, sequence)

    def append(self, hub: Hub, partition: Partition, events: Sequence[Event]) -> None:
        """Number the events, encode them for readers, and keep them."""
        now_ms = int(time.time() * 1000)
        sequence, offset = partition.end, partition.next_offset
        encoded, offsets = [], []
        for number, event in enumerate(events):
            data = stored(event, number=sequence + number, offset=offset, enqueued_ms=now_ms)
            encoded.append(data)
            offsets.append(offset)
            offset += len(data) + _OVERHEAD
        if encoded:
            self._change("append", hub.name, partition.name, encoded, offsets, now_ms)
            for watch in list(partition.watchers):
                watch()

    def load(
        self,
        name: str,
        partition: str,
        bodies: Sequence[bytes],
        properties: dict[str, str] | None,
        key: str | None,
    ) -> None:
        """Events by their bodies, all with the same properties and key."""
        hub = self.hubs[name.lower()]
        found = hub.partition(partition)
        assert found is not None, f"{name} has no partition {partition}"
        events = [plain_event(body, properties=properties, key=key) for body in bodies]
        self.append(hub, found, events)

    def _change(self, *record: Any) -> None:
        data = msgspec.msgpack.encode(record)
        view = memoryview(len(data).to_bytes(4, "big") + data)
        while view:
            view = view[os.write(self._journal, view) :]
        self._apply(*record)

    def _replay(self, journal: bytes) -> int:
        """Do all changes again; gives where the last whole one ends."""
        at = 0
        while at + 4 <= len(journal):
            end = at + 4 + int.from_bytes(journal[at : at + 4], "big")
            if end > len(journal):
                break  # killed while it wrote: nobody got an answer to this one
            self._apply(*msgspec.msgpack.decode(journal[at + 4 : end]))
            at = end
        return at

    def _apply(self, change: str, name: str, *values: Any) -> None:
        if change == "create_hub":
            self.hubs[name.lower()] = Hub(name, *values)
            return
        hub = self.hubs[name.lower()]
        if change == "delete_hub":
            del self.hubs[name.lower()]
            return
        if change == "grow":
            hub.grow(*values)
            return
        partition = hub.partition(values[0])
        assert partition is not None
        if change == "drop":
            partition.drop_before(values[1])
        else:
            partition.append(*values[1:])
