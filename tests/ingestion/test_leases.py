"""Leases and slots: one owner at a time, and nobody writes under a lease that was lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from configuration.models import Source
from ingestion import leases, partitions
from ingestion.models import Drainer, Partition
from payflow.lib.errors import CheckpointMoved

pytestmark = pytest.mark.usefixtures("ready")


@pytest.fixture
def partition() -> Partition:
    return Partition.objects.create(
        source=Source.objects.get(name="demo"), name="0", position="0-1"
    )


def _take(partition: Partition, owner: str) -> leases.Lease | None:
    return leases.take(
        partition_id=partition.pk,
        source_id=partition.source_id,
        source="demo",
        partition=partition.name,
        owner=owner,
    )


def _expire(partition: Partition) -> None:
    Partition.objects.filter(pk=partition.pk).update(
        leased_until=timezone.now() - timedelta(seconds=1)
    )


def test_a_held_lease_is_refused_to_others(partition: Partition) -> None:
    """Until it expires; then the next owner gets a higher epoch."""
    first = _take(partition, "a")

    assert first
    assert _take(partition, "b") is None
    _expire(partition)
    second = _take(partition, "b")
    assert second
    assert second.epoch == first.epoch + 1


def test_an_owner_takes_its_own_lease_again_at_once(partition: Partition) -> None:
    """After an error of its own it need not wait for itself, and it gets a new epoch."""
    first, again = _take(partition, "a"), _take(partition, "a")

    assert first
    assert again
    assert again.epoch == first.epoch + 1


def test_a_lost_lease_can_neither_be_renewed_nor_marked_nor_released(
    partition: Partition,
) -> None:
    """The zombie changes nothing of the new owner's row."""
    zombie = _take(partition, "a")
    _expire(partition)
    _take(partition, "b")
    assert zombie
    before = Partition.objects.values().get()

    with pytest.raises(CheckpointMoved):
        leases.renew_idle(zombie)
    with pytest.raises(CheckpointMoved):
        leases.mark_attempt(zombie)
    leases.release(zombie)
    leases.stop(zombie, reason="a zombie's opinion")
    leases.fail_attempt(zombie, error="a zombie's error")

    assert Partition.objects.values().get() == before


def test_all_leases_are_renewed_at_once_but_those_that_were_lost_or_are_locked(
    partition: Partition,
) -> None:
    """A row that somebody holds for a moment holds up no other; it has its turn next time."""
    names = ("lost", "locked", "mine")
    rows = {
        name: Partition.objects.create(source=partition.source, name=name, position="0-1")
        for name in names
    }
    held = [lease for row in rows.values() if (lease := _take(row, "a"))]
    for row in rows.values():
        _expire(row)
    assert _take(rows["lost"], "b")
    Partition.objects.filter(name="lost").update(leased_until=None)
    with psycopg.connect(**_own_session()) as other:
        other.execute("SELECT 1 FROM partitions WHERE name = 'locked' FOR UPDATE")
        leases.renew_all(held)

    renewed = Partition.objects.filter(leased_until__gt=timezone.now())
    assert [row.name for row in renewed] == ["mine"]
    leases.renew_all(held)
    assert {row.name for row in renewed.all()} == {"mine", "locked"}
    leases.renew_all([])


def _own_session() -> dict[str, Any]:
    options = connection.get_connection_params()
    return {k: options[k] for k in ("dbname", "user", "password", "host", "port") if k in options}


def test_two_deaths_on_the_first_batch_stop_the_partition(partition: Partition) -> None:
    """A death before a first batch does not count, a clean leave neither, a commit wipes it."""
    _take(partition, "idle")
    _expire(partition)
    for owner in ("a", "b"):
        lease = _take(partition, owner)
        assert lease
        leases.mark_attempt(lease)
        _expire(partition)

    assert _take(partition, "c") is None
    assert leases.stop_deadly_partitions() == ["0"]
    stopped = Partition.objects.get()
    assert (stopped.state, stopped.position) == ("stopped", "0-1")
    assert "2 workers died" in stopped.stopped_reason


def test_an_owner_that_lives_is_not_counted_as_dead(partition: Partition) -> None:
    """Its own retries after a bad world, and a clean release, take the mark away."""
    for _ in range(5):
        lease = _take(partition, "a")
        assert lease
        leases.mark_attempt(lease)
    assert lease
    assert Partition.objects.get().attempts == 1

    leases.release(lease)

    assert Partition.objects.get().attempts == 0


def test_an_owner_goes_on_with_a_partition_that_was_paused_meanwhile(partition: Partition) -> None:
    """Going on begins the attempts anew: the owner that had begun one takes none of them back."""
    first = _take(partition, "a")
    assert first
    leases.mark_attempt(first)
    partitions.pause(partition)
    partitions.resume(partition)

    again = _take(partition, "a")

    partition.refresh_from_db()
    assert again
    assert (partition.attempts, partition.marked) == (0, False)


def test_slots_are_reused_only_when_their_owner_is_silent() -> None:
    """And the last tick stays with the slot, so that ids never go back."""
    first, second = leases.take_slot("a"), leases.take_slot("b")
    assert {first.number, second.number} == {0, 1}
    Drainer.objects.filter(slot=first.number).update(
        last_tick=77, seen_at=F("seen_at") - timedelta(seconds=leases.SLOT_IDLE_S + 1)
    )

    taken = leases.take_slot("c")

    assert taken.number == first.number
    assert Drainer.objects.get(slot=taken.number).last_tick == 77
    assert leases.see(first, bundles="{}") is False
    assert leases.see(taken, bundles='{"demo": 1}') is True
