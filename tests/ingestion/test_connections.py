"""Rows of connections and errors: what is counted as the same, and what is swept."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import connections as databases
from django.utils import timezone

from ingestion import connections
from ingestion.connections import Connections, Kind
from ingestion.models import Partition
from ingestion.source_models import PartitionMinute, SourceConnection, SourceError
from tests.ingestion.streaming import demo

pytestmark = pytest.mark.usefixtures("ready")


def told(owner: str = "worker") -> Connections:
    return Connections(owner)


def test_a_failing_connection_keeps_the_time_at_which_it_began():
    """Each further try changes the words and the next try; what comes back begins anew."""
    said = told()
    said.failed(demo().pk, "no route", retry_at=time.monotonic() + 2)
    said.write()
    first = SourceConnection.objects.get()
    said.failed(demo().pk, "refused", retry_at=time.monotonic() + 4)
    said.write()
    second = SourceConnection.objects.get()
    said.connected(demo().pk)
    said.connected(demo().pk)
    said.write()
    third = SourceConnection.objects.get()

    assert second.failing_since == first.failing_since is not None
    assert (first.error, second.error) == ("no route", "refused")
    assert second.retry_at > first.retry_at > timezone.now()  # type: ignore[operator]
    assert (third.failing_since, third.error, third.retry_at) == (None, "", None)
    assert third.connected_since >= first.failing_since  # type: ignore[operator]


def test_a_database_that_was_away_hears_when_it_happened():
    """Ages are kept, not times: the first failure was a minute ago."""
    said = told()
    said.note(demo().pk, Kind.STORAGE, "OperationalError")
    ((key, error),) = said._errors.items()
    error.first_at -= 60
    said.note(*key[:1], Kind.STORAGE, "OperationalError")
    said.write()

    row = SourceError.objects.get()
    assert row.times == 2
    assert timedelta(seconds=59) < row.last_at - row.first_at < timedelta(seconds=70)


def test_the_same_words_within_the_hour_are_one_row_whatever_their_numbers():
    """Tracking ids and times differ each time; another partition, kind or hour is another row."""
    said, source = told(), demo().pk
    for number in range(3):
        text = f"Detached. Reference:0b8e{number}f1-22aa, Timestamp:2026-11-21T10:00:0{number}"
        said.note(source, Kind.CONNECTION, text)
        said.write()
    said.note(source, Kind.CONNECTION, "Detached by the broker")
    said.note(source, Kind.POSITION, "Detached by the broker", partition="1")
    said.write()
    SourceError.objects.filter(times=3).update(last_at=timezone.now() - timedelta(minutes=61))
    said.note(source, Kind.CONNECTION, "Detached. Reference:0, Timestamp:0")
    said.write()

    rows = SourceError.objects.order_by("id").values_list("kind", "partition_name", "times")
    assert list(rows) == [
        ("connection", "", 3),
        ("connection", "", 1),
        ("position", "1", 1),
        ("connection", "", 1),
    ]
    assert SourceError.objects.order_by("id")[0].message.endswith(":02")


def test_two_workers_with_one_error_make_one_row():
    """They write at the same moment; every time is counted."""
    source = demo().pk
    together = threading.Barrier(4)

    def fail(number: int) -> None:
        said = told(f"worker-{number}")
        try:
            for _ in range(5):
                said.note(source, Kind.CONNECTION, "no route to host")
                together.wait(10)
                said.write()
        finally:
            databases.close_all()

    threads = [threading.Thread(target=fail, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert SourceError.objects.get().times == 20


def test_a_source_that_is_gone_and_texts_of_any_kind_do_no_harm():
    """A NUL, a novel, an unknown source: the rest is written."""
    said = told()
    said.connected(999_999)
    said.note(999_999, Kind.CONNECTION, "nobody's")
    said.note(demo().pk, Kind.CONNECTION, "a\0b" + "x" * 5_000 + "%s %(x)s")
    said.failed(demo().pk, "a\0b" + "x" * 5_000, retry_at=None)
    said.write()

    assert len(SourceError.objects.get().message) == 512
    assert SourceConnection.objects.get().error.startswith("abx")


def test_what_is_old_is_swept_and_nothing_else():
    """Connections of workers that are gone, errors of last month, lag of the day before last."""
    now = timezone.now()
    for owner, age_s in (("lives", 10), ("gone", 90)):
        SourceConnection.objects.create(
            source=demo(), owner=owner, seen_at=now - timedelta(seconds=age_s)
        )
    for days in (1, 41):
        seen = now - timedelta(days=days)
        SourceError.objects.create(
            source=demo(), kind=Kind.STORAGE, message=str(days), first_at=seen, last_at=seen
        )
    partition = Partition.objects.create(source=demo(), name="0", position="0-1")
    for hours in (1, 47, 49):
        PartitionMinute.objects.create(
            minute=now - timedelta(hours=hours), partition_id=partition.pk, sequence_number=hours
        )

    connections.sweep()

    assert [row.owner for row in SourceConnection.objects.all()] == ["lives"]
    assert [row.message for row in SourceError.objects.all()] == ["1"]
    numbers = PartitionMinute.objects.values_list("sequence_number", flat=True)
    assert sorted(numbers) == [1, 47]
