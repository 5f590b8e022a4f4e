"""Checkpoints that people move: what is planned happens, once, and verify can explain it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections

from configuration.models import AuditEntry, Source
from ingestion import partitions, pipeline, seeking
from ingestion.duplicates import decide
from ingestion.models import Batch, Partition
from ingestion.seek_plan import SeekRefused, Target, parse_target
from ingestion.source_models import Seek
from ingestion.sources import redis_streams, stream_look
from ingestion.verify import verify
from payflow.lib.errors import SourceUnavailable
from tests.ingestion.streaming import PREFIX, demo, drain_all, publish, wait_until
from tests.ingestion.test_drain import assert_counted, start, stored

__all__ = ["start"]

pytestmark = pytest.mark.usefixtures("ready", "streams")


@pytest.fixture(autouse=True)
def keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams keep what is committed, as other brokers do."""
    monkeypatch.setattr(redis_streams, "TRIM_EVERY_S", 1e9)


EARLIEST, LATEST = Target(kind="earliest"), Target(kind="latest")


def partition(name: str = "1") -> Partition:
    return Partition.objects.select_related("source").get(source__name="demo", name=name)


def go(target: Target, name: str = "1") -> Seek:
    """Plan and do it."""
    return seeking.seek(seeking.plan(partition(name), target), by=None, reason="a test")


def differences() -> set[tuple[str, str]]:
    """Kind and column of what verify finds."""
    return {(found.kind, found.column) for found in verify().listed}


# --- what is planned -----------------------------------------------------------------------------


def test_going_back_reads_again_and_counts_once(streams, event):
    """The plan says how many; they come again as duplicates, and all goes on behind them."""
    publish(streams, [event(n) for n in range(40)])
    drain_all()

    made = seeking.plan(partition(), EARLIEST)
    moved = seeking.seek(made, by=None, reason="a test")
    drain_all()
    publish(streams, [event(n) for n in range(40, 48)])
    drain_all()

    assert (made.kind, made.events, made.lost) == ("repeat", -10, 0)
    assert moved.events == -10
    row = partition()
    assert (row.sequence_number, row.shift) == (22, -10)
    again = Batch.objects.filter(partition=row).order_by("id")[1]
    assert (again.messages, again.duplicates) == (10, 10)
    assert_counted(48)


def test_going_to_the_end_skips(streams, event):
    """The plan says how many; they never come, the ones behind them do."""
    drain_all()  # the partitions are known
    publish(streams, [event(n) for n in range(40)])

    moved = go(LATEST)
    drain_all()
    publish(streams, [event(n) for n in range(40, 48)])
    drain_all()

    assert moved.events == 10
    assert (partition().sequence_number, partition().shift) == (2, 10)
    assert_counted(38)


def test_a_place_in_between_is_found_by_position_and_by_time(streams, event):
    """Both name the message that comes next."""
    for n in range(10):
        streams.xadd(f"{PREFIX}.1", {"body": b"{}"}, id=f"{1767225600000 + n}-0")
    drain_all()
    moment = datetime(2026, 1, 1, 0, 0, 0, 6500, tzinfo=UTC)

    by_position = seeking.plan(partition(), parse_target("position", position="1767225600004-0"))
    by_time = seeking.plan(partition(), parse_target("time", moment=moment))

    assert (by_position.events, by_position.to_position) == (-6, "1767225600004-0")
    assert (by_time.events, by_time.to_position) == (-3, "1767225600007-0")


@pytest.mark.parametrize(("target", "skipped", "stored_then"), [(EARLIEST, 5, 59), (LATEST, 9, 55)])
def test_lost_messages_are_given_up_with_their_count(streams, event, target, skipped, stored_then):
    """The partition that stopped goes on from what is left, or from the end: nothing passes for
    lost a second time, and what comes next is read."""
    publish(streams, [event(n) for n in range(40)])
    drain_all()
    publish(streams, [event(n) for n in range(40, 60)])
    streams.xtrim(f"{PREFIX}.1", maxlen=0, approximate=False)
    drain_all()
    publish(streams, [event(n) for n in range(60, 64)], only=1)

    made = seeking.plan(partition(), target)
    assert (made.kind, made.events, made.lost) == ("skip", skipped, 5)
    seeking.seek(made, by=None, reason="they are gone")
    drain_all()
    publish(streams, [event(n) for n in range(100, 110)])
    drain_all()

    row = partition()
    assert (row.state, row.stopped_reason, row.attempts) == ("active", "", 0)
    assert_counted(stored_then + 10)


def test_an_unread_entry_that_was_deleted_is_given_up_where_it_stands(streams, event):
    """Going to the earliest moves nothing and yet accepts the hole."""
    publish(streams, [event(n) for n in range(5)], only=1)
    drain_all()
    streams.xtrim(f"{PREFIX}.1", maxlen=0, approximate=False)
    publish(streams, [event(n) for n in range(5, 10)], only=1)
    entries: Any = streams.xrange(f"{PREFIX}.1", min=partition().position)
    streams.xdel(f"{PREFIX}.1", entries[2][0])
    drain_all()
    assert partition().state == "stopped"

    moved = go(parse_target("position", position=entries[0][0].decode()))
    drain_all()

    assert moved.events == 1
    assert_counted(9)


def test_a_log_that_began_anew_is_read_from_its_beginning(streams, event):
    """How many that repeats nobody can tell; what is stored already is still recognised."""
    publish(streams, [event(n) for n in range(20)], only=1)
    drain_all()
    streams.delete(f"{PREFIX}.1")
    publish(streams, [event(n) for n in range(15, 25)], only=1)
    drain_all()
    assert partition().state == "stopped"

    made = seeking.plan(partition(), EARLIEST)
    seeking.seek(made, by=None, reason="the topic was made again")
    drain_all()

    assert made.began_anew
    assert made.events is None
    assert partition().state == "active"
    assert_counted(25)


def test_what_is_read_again_is_recognised_whenever_it_came(streams, event, settings):
    """A redelivery beyond the horizon would be stored again; what a person goes back for is not."""
    settings.PAYFLOW = settings.PAYFLOW | {"HORIZON_DAYS": 0}
    publish(streams, [event(n) for n in range(10)], only=1)
    drain_all()

    go(EARLIEST)
    drain_all()

    assert stored() == 10
    assert partition().reread_until == Seek.objects.get().from_position


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("tomorrow", {}, "Go to one of earliest"),
        ("position", {"position": "abc"}, "A position is a number"),
        ("position", {"position": "-1"}, "A position is a number"),
        ("position", {"position": "9" * 30}, "A position is a number"),
        ("time", {}, "A time is needed"),
        ("time", {"moment": datetime(2026, 1, 1)}, "with its zone"),  # noqa: DTZ001
    ],
)
def test_what_is_no_target_is_refused(kind: str, given: dict[str, Any], words: str):
    """Before a broker is asked."""
    with pytest.raises(SeekRefused, match=words):
        parse_target(kind, **given)


@pytest.mark.parametrize(
    ("position", "words"),
    [("5", "look like"), ("99999999999999-0", "is not among them"), ("0-0", "is not among them")],
)
def test_a_place_that_the_broker_does_not_hold_is_refused(streams, event, position, words):
    """Nobody could read from there."""
    publish(streams, [event(n) for n in range(5)], only=1)
    drain_all()

    with pytest.raises(SeekRefused, match=words):
        seeking.plan(partition(), parse_target("position", position=position))


def test_a_plan_that_no_longer_holds_is_refused(streams, event):
    """After another seek, once it was read past the target, without a reason, or for nothing."""
    drain_all()
    publish(streams, [event(n) for n in range(10)], only=1)
    first, second = (seeking.plan(partition(), LATEST) for _ in range(2))
    with pytest.raises(SeekRefused, match="reason"):
        seeking.seek(first, by=None, reason=" ")
    seeking.seek(first, by=None, reason="a test")
    with pytest.raises(SeekRefused, match="moved this partition meanwhile"):
        seeking.seek(second, by=None, reason="a test")
    with pytest.raises(SeekRefused, match="stands there already"):
        go(LATEST)

    publish(streams, [event(n) for n in range(10, 20)], only=1)
    late = seeking.plan(partition(), LATEST)
    publish(streams, [event(n) for n in range(20, 30)], only=1)
    drain_all()
    before = partition()
    with pytest.raises(SeekRefused, match="read past the target"):
        seeking.seek(late, by=None, reason="a test")

    after = partition()
    assert (after.position, after.lease_epoch) == (before.position, before.lease_epoch)
    assert Seek.objects.count() == 1
    assert_counted(20)


def test_a_broker_that_is_away_changes_nothing(streams, event):
    """It is said that it did not answer."""
    drain_all()
    before = partition()
    unreachable = demo().settings | {"url": "redis://127.0.0.1:1/0"}
    Source.objects.filter(name="demo").update(settings=unreachable)

    with pytest.raises(SourceUnavailable):
        seeking.plan(partition(), LATEST)

    after = partition()
    assert (after.position, after.lease_epoch) == (before.position, before.lease_epoch)


def test_what_cannot_be_counted_in_a_stream_is_not_done(streams, event, monkeypatch):
    """Its reader compares the server's count with ours, and would call the rest lost."""
    publish(streams, [event(n) for n in range(40)])
    drain_all()
    monkeypatch.setattr(stream_look, "COUNT_LIMIT_S", 0.0)

    with pytest.raises(SourceUnavailable, match="too long to count"):
        go(EARLIEST)
    monkeypatch.undo()
    drain_all()

    assert (partition().state, partition().shift) == ("active", 0)
    assert_counted(40)


def test_a_file_is_not_sought(ingest, event):
    """The command that reads it knows where it lies; the row does not."""
    ingest([event(1)])

    with pytest.raises(SeekRefused, match="ingest_file"):
        seeking.plan(Partition.objects.get(source__broker_type="file"), EARLIEST)


# --- races ---------------------------------------------------------------------------------------


def test_a_commit_in_flight_finds_that_it_was_fenced(streams, event, monkeypatch):
    """The seek comes while a batch is about to be written: the batch is not written, and its
    messages are read from where the seek led."""
    publish(streams, [event(n) for n in range(20)], only=1)
    drain_all()
    publish(streams, [event(n) for n in range(20, 30)], only=1)
    made = seeking.plan(partition(), EARLIEST)
    calls: list[int] = []

    def seek_before_it_is_written(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            in_a_thread(lambda: seeking.seek(made, by=None, reason="a test"))
        return decide(*args, **kwargs)

    monkeypatch.setattr(pipeline, "decide", seek_before_it_is_written)
    drain_all()

    batches = list(Batch.objects.filter(partition=partition()).order_by("id"))
    assert [(b.messages, b.duplicates) for b in batches] == [(20, 0), (30, 20)]
    assert batches[1].epoch > Seek.objects.get().epoch - 1
    assert_counted(30)


def in_a_thread(act: Any) -> None:
    """On a connection of its own, as another process would."""

    def run() -> None:
        try:
            act()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_seeking_while_events_flow_counts_each_once(start, streams, event):
    """Two drainers read while somebody goes back again and again."""
    start()
    start()
    for round_ in range(6):
        publish(streams, [event(n) for n in range(100 * round_, 100 * round_ + 100)])
        wait_until(lambda most=100 * round_ + 50: stored() >= most)  # type: ignore[misc]
        go(EARLIEST, name=str(round_ % 4))
    wait_until(lambda: stored() == 600)
    wait_until(lambda: all(row.lag_events == 0 for row in Partition.objects.all()))

    assert Seek.objects.count() == 6
    assert_counted(600)


def test_an_idle_drainer_goes_to_where_a_seek_leads(start, streams, event):
    """It holds the lease and waits for messages; within seconds it reads from the new place."""
    publish(streams, [event(n) for n in range(10)], only=1)
    start()
    wait_until(lambda: stored() == 10)

    go(EARLIEST)

    wait_until(lambda: partition().sequence_number == 20, seconds=5)
    assert_counted(10)


# --- pauses --------------------------------------------------------------------------------------


def test_one_paused_partition_waits_and_the_others_go_on(start, streams, event):
    """Given back within seconds, read by nobody, resumed where it stood; both are in the trail."""
    by = User.objects.create_user("anna")
    start()
    wait_until(lambda: Partition.objects.exclude(leased_until=None).count() == 4)

    assert partitions.pause(partition(), reason="the bank asked", by=by)
    assert not partitions.pause(partition())
    wait_until(lambda: partition().leased_until is None, seconds=5)
    publish(streams, [event(n) for n in range(40)])
    wait_until(lambda: stored() == 30)
    paused = partition()
    assert partitions.resume(paused, by=by)
    wait_until(lambda: stored() == 40)

    assert (paused.state, paused.stopped_reason) == ("paused", "the bank asked")
    trail = AuditEntry.objects.filter(target="demo/1").order_by("id")
    assert [(row.action, row.actor) for row in trail] == [
        ("paused partition", by),
        ("resumed partition", by),
    ]
    assert trail[0].details == {"reason": "the bank asked"}
    assert_counted(40)


def test_a_paused_partition_that_is_sought_stays_paused(streams, event):
    """Whoever paused it decides when it goes on."""
    publish(streams, [event(n) for n in range(40)])
    drain_all()
    partitions.pause(partition())

    go(EARLIEST)
    drain_all()

    assert (partition().state, partition().sequence_number) == ("paused", 10)


# --- verify --------------------------------------------------------------------------------------


def test_verify_accepts_seeks_and_only_those(streams, event):
    """Two in a row explain one break. A break without its row, a row that begins elsewhere, and a
    row where no batch ended are found."""
    publish(streams, [event(n) for n in range(40)])
    drain_all()
    go(EARLIEST)
    go(parse_target("position", position=Batch.objects.get(partition=partition()).next_position))
    go(EARLIEST)
    assert differences() == set()  # the checkpoint stands where they led
    drain_all()
    assert differences() == set()

    seek = Seek.objects.latest("id")
    with changed("UPDATE seeks SET to_position = from_position WHERE id = %s", seek):
        assert differences() == {("chain", "start_position")}
    with changed("UPDATE seeks SET from_position = '1-1' WHERE id = %s", seek):
        assert ("seek", "from_position") in differences()
    with changed("UPDATE seeks SET sequence_number = 13 WHERE id = %s", seek):
        assert ("seek", "sequence_number") in differences()
    with changed("DELETE FROM seeks WHERE id = %s", seek):
        assert differences() == {("chain", "start_position")}
    assert differences() == set()


def test_verify_finds_a_checkpoint_that_was_moved_behind_its_back(streams, event):
    """Also where an earlier seek explains another place."""
    publish(streams, [event(n) for n in range(40)])
    drain_all()
    go(EARLIEST)

    Partition.objects.filter(pk=partition().pk).update(position="7-7")

    assert differences() == {("checkpoint", "position")}


class changed:  # noqa: N801  reads as a statement
    """Change one row behind payflow's back and put it back after."""

    def __init__(self, statement: str, row: Seek) -> None:
        self.statement, self.row = statement, row

    def __enter__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(self.statement, [self.row.pk])
            assert cursor.rowcount == 1

    def __exit__(self, *_exc: object) -> None:
        at = self.row.at
        self.row.save(force_insert=not Seek.objects.filter(pk=self.row.pk).exists())
        Seek.objects.filter(pk=self.row.pk).update(at=at)
