"""What a drainer does with what brokers do: they grow, hang, cut off, lose, and come back."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.models import F

from configuration.models import Source
from configuration.sources import SourceDocument, define, pause
from ingestion import drain, holdings, lagging, leases, readers, sharing
from ingestion.drain import Drainer
from ingestion.holdings import Holdings
from ingestion.models import Partition
from ingestion.readers import SourceReader
from ingestion.source_models import PartitionMinute, SourceConnection, SourceError
from ingestion.sources.factory import CONSUMERS
from ingestion.verify import verify
from metrics.models import NormalizedTransaction
from payflow.lib.errors import PartitionTaken, PositionLost, SourceUnavailable
from payflow.lib.storage import WriteOnceFileStorage
from tests.ingestion.scripted import ScriptedBroker, ScriptedConsumer
from tests.ingestion.streaming import publish, wait_until

pytestmark = pytest.mark.usefixtures("ready", "streams")


@pytest.fixture
def broker(ready: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedBroker]:
    """The broker of the source `scripted`, with two empty partitions."""
    made = ScriptedBroker(logs={"a": [], "b": []})
    monkeypatch.setattr(ScriptedConsumer, "broker", made, raising=False)
    monkeypatch.setitem(CONSUMERS, "scripted", ScriptedConsumer)
    define(SourceDocument(name="scripted", broker_type="scripted", schema_name="transaction"))
    yield made
    made.answers.set()


@pytest.fixture
def start(broker: ScriptedBroker) -> Iterator[Callable[..., threading.Event]]:
    """Start drainers in threads; gives the event that stops one."""
    running: list[tuple[threading.Event, threading.Thread]] = []
    errors: list[BaseException] = []

    def run(drainer: Drainer) -> None:
        try:
            drainer.run()
        except BaseException as exc:  # noqa: BLE001  told after the test
            errors.append(exc)
        finally:
            connections.close_all()

    def begin(*sources: str) -> threading.Event:
        stop = threading.Event()
        drainer = Drainer(stop=stop, sources=list(sources or ["scripted"]))
        thread = threading.Thread(target=run, args=(drainer,), daemon=True)
        running.append((stop, thread))
        thread.start()
        return stop

    yield begin
    broker.answers.set()
    for stop, _ in running:
        stop.set()
    for _, thread in running:
        thread.join(20)
        assert not thread.is_alive()
    assert errors == []


def bodies(event: Callable[..., dict[str, Any]], first: int, last: int) -> list[bytes]:
    return [json.dumps(event(number)).encode() for number in range(first, last)]


def stored(source: str = "scripted") -> int:
    names = Partition.objects.filter(source__name=source)
    return sum(names.values_list("sequence_number", flat=True))


def held(source: str = "scripted") -> set[str]:
    rows = Partition.objects.filter(source__name=source).exclude(leased_until=None)
    return set(rows.values_list("name", flat=True))


def the(name: str) -> Partition:
    return Partition.objects.get(source__name="scripted", name=name)


def errors(kind: str) -> list[tuple[str, str, int]]:
    rows = SourceError.objects.filter(kind=kind, source__name="scripted")
    return list(rows.values_list("partition_name", "message", "times"))


# --- connections ----------------------------------------------------------------------------------


def test_a_connection_says_since_when_and_goes_with_its_drainer(start, broker):
    """One row a drainer; when it ends, nothing is left that says it is connected."""
    stop = start()
    wait_until(lambda: held() == {"a", "b"})
    wait_until(lambda: SourceConnection.objects.exclude(connected_since=None).exists())

    row = SourceConnection.objects.get()
    assert (row.failing_since, row.error, row.retry_at) == (None, "", None)
    stop.set()
    wait_until(lambda: not SourceConnection.objects.exists())


def test_a_broker_that_is_away_says_why_and_comes_back_without_a_hand(start, broker, event):
    """Failing since the first failure, the error counted once a try, leases kept; then connected
    again, and what came meanwhile is read."""
    start()
    wait_until(lambda: held() == {"a", "b"})
    epochs = {the("a").lease_epoch, the("b").lease_epoch}
    broker.refusal = SourceUnavailable("no route to host 10.0.0.1")

    wait_until(lambda: SourceConnection.objects.exclude(failing_since=None).exists())
    since = SourceConnection.objects.get().failing_since
    wait_until(lambda: sum(times for *_, times in errors("connection")) >= 3)
    row = SourceConnection.objects.get()
    assert row.failing_since == since
    assert row.retry_at is not None
    assert held() == {"a", "b"}
    broker.logs["a"] += bodies(event, 0, 5)
    broker.refusal = None
    wait_until(lambda: stored() == 5)
    wait_until(lambda: SourceConnection.objects.exclude(connected_since=None).exists())

    assert SourceConnection.objects.get().error == ""
    assert {the("a").lease_epoch, the("b").lease_epoch} == epochs
    messages = [message for _, message, _ in errors("connection")]
    assert "no route to host 10.0.0.1" in messages
    assert len(messages) == len(set(messages)) <= 2


def test_a_broker_that_says_yes_and_then_no_is_failing_all_the_while(start, broker, event):
    """It takes each connection, and refuses the reader on it a moment later (no such consumer
    group): it fails since the first refusal, and is asked less and less often."""
    no = SourceUnavailable("the consumer group does not exist")
    start()
    wait_until(lambda: held() == {"a", "b"})
    began = time.monotonic()
    broker.consume_errors += [no, None, no, None, no, None, no, None]
    wait_until(lambda: SourceConnection.objects.exclude(failing_since=None).exists())
    since = SourceConnection.objects.get().failing_since
    while broker.consume_errors:
        row = SourceConnection.objects.get()
        assert (row.failing_since, row.error) == (since, str(no))
        time.sleep(0.02)
    took = time.monotonic() - began
    broker.logs["a"] += bodies(event, 0, 2)
    wait_until(lambda: stored() == 2)
    wait_until(lambda: SourceConnection.objects.exclude(connected_since=None).exists())

    assert took > 0.7  # at least half of 0.2 + 0.4 + 0.8 s
    assert errors("connection") == [("", str(no), 4)]


def test_an_error_of_a_client_library_is_a_failure_of_its_source_alone(start, broker, event):
    """Whatever it raises, the drainer lives; its words, which may quote a message, stay out."""
    broker.consume_errors.append(KeyError("a secret payload"))
    start()
    wait_until(lambda: errors("connection") != [])
    broker.logs["b"] += bodies(event, 0, 3)
    wait_until(lambda: stored() == 3)

    assert "KeyError" in errors("connection")[0][1]
    assert "secret" not in str(list(SourceError.objects.values()))


# --- a bad world ----------------------------------------------------------------------------------


def test_an_archive_that_stays_away_is_asked_less_and_less_often(start, broker, event, monkeypatch):
    """Nothing but a commit, or a calm time, begins anew; the source shows what it met."""
    failures: list[int] = []

    def note(number: int) -> float:
        failures.append(number)
        return 0.05

    real = WriteOnceFileStorage._save

    def save(self: WriteOnceFileStorage, name: str, content: Any) -> str:
        if name.startswith("bundles/"):
            return real(self, name, content)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drain, "backoff_s", note)
    with monkeypatch.context() as patched:
        patched.setattr(WriteOnceFileStorage, "_save", save)
        broker.logs["a"] += bodies(event, 0, 5)
        start()
        wait_until(lambda: len(failures) >= 4)
    wait_until(lambda: stored() == 5)
    wait_until(lambda: errors("storage") != [])

    assert failures[:4] == [1, 2, 3, 4]
    assert errors("storage")[0][0] == "a"
    assert "No space left" in errors("storage")[0][1]


# --- one dead broker ------------------------------------------------------------------------------


def test_a_broker_that_hangs_holds_up_no_other_source(start, broker, streams, event, monkeypatch):
    """Not one call returns for seconds: the other source is read as ever, under the same leases;
    the silent one is said to be so. When it answers again, it goes on."""
    monkeypatch.setattr(holdings, "SILENT_S", 1.0)
    start("scripted", "demo")
    wait_until(lambda: held() == {"a", "b"} and len(held("demo")) == 4)
    epochs = list(Partition.objects.order_by("id").values_list("lease_epoch", flat=True))

    broker.answers.clear()
    took = []
    for number in range(8):
        publish(streams, [event(number)], only=0)
        took.append(wait_until(lambda n=number: stored("demo") == n + 1))  # type: ignore[misc]
        time.sleep(0.15)
    silent = SourceConnection.objects.get(source__name="scripted")
    broker.logs["a"] += bodies(event, 100, 110)
    broker.answers.set()
    wait_until(lambda: stored() == 10)

    assert "without an answer" in silent.error
    assert max(took) < 3, took  # 0.1 s of it are the linger; a hang would have cost them all
    assert list(Partition.objects.order_by("id").values_list("lease_epoch", flat=True)) == epochs
    assert verify().listed == []


def test_a_worker_that_ends_does_not_wait_for_a_broker_that_hangs(start, broker, monkeypatch):
    """It keeps its leases, as nobody else has more luck, and gives them back when it ends."""
    monkeypatch.setattr(holdings, "SILENT_S", 0.2)
    monkeypatch.setattr(sharing, "APART_S", 0.2)
    stop = start()
    wait_until(lambda: held() == {"a", "b"})

    broker.answers.clear()
    wait_until(lambda: SourceConnection.objects.exclude(failing_since=None).exists())
    time.sleep(1.5)
    kept = held()
    stop.set()
    took = wait_until(lambda: not SourceConnection.objects.exists())

    assert kept == {"a", "b"}
    assert held() == set()
    assert took < 3


# --- shares ---------------------------------------------------------------------------------------


def add_source(name: str) -> None:
    """Another one on the scripted broker, with the same partitions."""
    define(
        SourceDocument(
            name=name, broker_type="scripted", schema_name="transaction", settings={"is": name}
        )
    )


def by_owner() -> list[list[str]]:
    """The sources of the partitions that each drainer holds."""
    rows = Partition.objects.exclude(leased_until=None).order_by("source__name")
    owners: dict[str, list[str]] = defaultdict(list)
    for owner, source in rows.values_list("leased_by", "source__name"):
        owners[owner].append(source)
    return sorted(owners.values())


def test_a_second_drainer_gets_its_part_of_every_source(start, broker):
    """Or a source that alone is busy would keep one of them busy."""
    add_source("other")
    start("other", "scripted")
    wait_until(lambda: by_owner() == [["other", "other", "scripted", "scripted"]])

    start("other", "scripted")

    wait_until(lambda: by_owner() == [["other", "scripted"], ["other", "scripted"]])


def test_who_does_not_reach_a_broker_leaves_it_to_those_who_do(start, broker, event, monkeypatch):
    """And gets its part again when it does."""
    monkeypatch.setattr(sharing, "APART_S", 1.0)
    start()
    wait_until(lambda: held() == {"a", "b"})
    start()
    wait_until(lambda: by_owner() == [["scripted"], ["scripted"]])

    cut_off = broker.consumers[-1]
    cut_off.is_cut_off = True
    wait_until(lambda: by_owner() == [["scripted", "scripted"]])
    broker.logs["a"] += bodies(event, 0, 10)
    broker.logs["b"] += bodies(event, 10, 20)
    wait_until(lambda: stored() == 20)
    cut_off.is_cut_off = False
    wait_until(lambda: by_owner() == [["scripted"], ["scripted"]])

    assert NormalizedTransaction.objects.count() == 20
    assert verify().listed == []


def test_who_cannot_read_a_source_takes_more_of_the_others(start, broker):
    """And all know it: each counts what it has no consumer for, too, or they would plan apart."""
    broker.logs["c"] = []
    add_source("other")
    start("other", "scripted")
    wait_until(lambda: by_owner() == [["other"] * 3 + ["scripted"] * 3])

    broker.refused_from_now = "other"
    start("other", "scripted")

    wait_until(lambda: by_owner() == [["other"] * 3 + ["scripted"], ["scripted"] * 2])


def test_who_has_never_reached_a_broker_gets_nothing_of_it(start, broker):
    """Another drainer lives, but its own network does not let it through, say."""
    leases.take_slot("somebody", scope=["scripted"])

    start()

    wait_until(lambda: held() == {"a", "b"}, seconds=5)


# --- partitions -----------------------------------------------------------------------------------


def test_partitions_that_are_added_are_read_without_a_hand(start, broker, event, monkeypatch):
    """A hub that grows is looked at every 5 seconds (here: 1), and read a tick later."""
    assert drain.DISCOVER_S <= 5
    monkeypatch.setattr(drain, "DISCOVER_S", 1.0)
    start()
    wait_until(lambda: held() == {"a", "b"})

    broker.logs["c"] = bodies(event, 0, 4)
    took = wait_until(lambda: stored() == 4)

    assert took < 4
    assert held() == {"a", "b", "c"}


def test_a_new_partition_without_a_leader_holds_up_no_other(start, broker, event, monkeypatch):
    """The others are read meanwhile on the connection that is there; it is, once it has one."""
    monkeypatch.setattr(drain, "DISCOVER_S", 0.2)
    broker.leaderless.add("a")
    broker.logs["b"] += bodies(event, 0, 5)

    start()
    wait_until(lambda: stored() == 5)
    was_held = held()
    broker.logs["a"] += bodies(event, 5, 8)
    broker.leaderless.clear()
    wait_until(lambda: stored() == 8)

    assert was_held == {"b"}
    assert broker.disconnects == 0


def test_a_lost_position_stops_its_partition_alone(start, broker, event):
    """Also when it is found while messages are read; the others go on, and the source shows it."""
    broker.assign_errors["a"] = PositionLost(partition="a", lost=7)
    start()
    broker.logs["b"] += bodies(event, 0, 3)
    wait_until(lambda: stored() == 3)
    broker.consume_errors.append(PositionLost(partition="b", lost=None))
    wait_until(lambda: the("b").state == "stopped")

    assert "lost 7 messages" in the("a").stopped_reason
    wait_until(lambda: {row[0] for row in errors("position")} == {"a", "b"})


@pytest.fixture
def holding_a(broker: ScriptedBroker) -> Iterator[tuple[Holdings, SourceReader]]:
    """Holdings that a test moves on step by step; they hold the only partition."""
    del broker.logs["b"]
    held = Holdings(owner="one", sources=["scripted"])
    held.discover()
    (reader,) = held

    def has_a() -> bool:
        held.read(wait_s=0, then=lambda *_: None)
        held.settle()
        held.discover()
        held.balance()
        return reader.is_open and "a" in reader.held

    wait_until(has_a)
    settle(held, reader)
    yield held, reader
    broker.answers.set()
    held.disconnect()


def settle(held: Holdings, reader: SourceReader) -> None:
    """Until no call is under way."""
    ended = threading.Event()
    reader.calls.post(ended.set)
    wait_until(ended.is_set)
    held.settle()


@pytest.mark.parametrize(
    "error", [PositionLost(partition="a", lost=3), PartitionTaken(partition="a")]
)
def test_what_was_found_under_the_lease_before_means_nothing_to_the_next(holding_a, broker, error):
    """A person moves on the partition that has lost messages while its reader finds the loss."""
    held, reader = holding_a
    held.follow()
    broker.consume_errors.append(error)
    broker.answers.clear()
    held.read(wait_s=0, then=lambda *_: None)

    Partition.objects.filter(name="a").update(
        lease_epoch=F("lease_epoch") + 1, leased_until=None, leased_by=""
    )
    held.balance()
    broker.answers.set()
    settle(held, reader)

    assert the("a").state == "active"
    assert (the("a").last_error, reader.setbacks) == ("", {})
    assert reader.held["a"].epoch == the("a").lease_epoch == 3


def test_a_lag_that_comes_after_the_last_partition_went_is_put_aside(holding_a, broker):
    """The answer was on its way while the only partition was let go."""
    held, reader = holding_a
    broker.answers.clear()
    held.ask_lag()
    reader.drop("a")
    broker.answers.set()

    settle(held, reader)

    assert reader.held == {}
    assert Partition.objects.get(name="a").lag_events is None


def test_a_partition_that_cannot_be_assigned_does_not_hold_up_the_others(start, broker, event):
    """Its leader is away: the rest of the source is read, and it follows when it can be."""
    broker.assign_errors["a"] = SourceUnavailable("no leader for partition a")
    broker.logs["a"] += bodies(event, 0, 3)
    broker.logs["b"] += bodies(event, 3, 6)
    start()
    wait_until(lambda: stored() == 3)
    wait_until(lambda: errors("connection") != [])
    assert SourceConnection.objects.get().connected_since is not None

    del broker.assign_errors["a"]
    wait_until(lambda: stored() == 6)

    assert the("a").last_error == "no leader for partition a"


def test_a_partition_that_another_of_our_workers_took_is_dropped_without_a_word(start, broker):
    """Its lease moved on: nothing is wrong, and nothing is noted."""
    start()
    wait_until(lambda: held() == {"a", "b"})
    Partition.objects.filter(source__name="scripted", name="a").update(
        lease_epoch=F("lease_epoch") + 1, leased_by="another"
    )
    broker.consume_errors.append(PartitionTaken(partition="a"))
    time.sleep(1.3)

    assert the("a").leased_by == "another"
    assert errors("taken") == []


def test_words_of_a_broker_that_nothing_can_hold_stop_no_drainer(start, broker, event):
    """What a broker says is its own: it must not reach the database as an error of ours."""
    start()
    wait_until(lambda: held() == {"a", "b"})
    broker.consume_errors.append(SourceUnavailable("no\0\ud800 route"))
    wait_until(lambda: the("a").last_error != "", seconds=5)

    broker.logs["a"] += bodies(event, 0, 3)
    wait_until(lambda: stored() == 3)

    assert (the("a").last_error, errors("connection")[0][1]) == ("no?? route",) * 2
    assert the("a").lease_epoch == 1


def test_a_foreign_reader_is_met_with_patience_and_named_at_the_second_time(start, broker, event):
    """Each time it takes the partition we wait longer, and say what helps."""
    start()
    wait_until(lambda: held() == {"a", "b"})
    for times in (1, 2):
        wait_until(lambda n=times: len(broker.epochs["a"]) == n)  # type: ignore[misc]
        broker.consume_errors.append(PartitionTaken(partition="a", detail="epoch 99"))
        wait_until(lambda n=times: sum(row[2] for row in errors("taken")) == n)  # type: ignore[misc]
    broker.logs["a"] += bodies(event, 0, 2)
    wait_until(lambda: stored() == 2)

    assert "a consumer group of its own" in " ".join(row[1] for row in errors("taken"))
    assert broker.epochs["a"] == sorted(set(broker.epochs["a"]))


def test_a_checkpoint_that_a_person_moves_is_read_from_within_two_seconds(start, broker, event):
    """The row's epoch is higher than ours: what was read under the old one is never written."""
    broker.logs["a"] += bodies(event, 0, 10)
    start()
    wait_until(lambda: stored() == 10)

    Partition.objects.filter(source__name="scripted", name="a").update(
        lease_epoch=F("lease_epoch") + 1, position="4", leased_until=None, leased_by=""
    )
    took = wait_until(lambda: the("a").position == "10")

    assert took < 4
    assert NormalizedTransaction.objects.count() == 10
    assert the("a").sequence_number == 16


# --- settings -------------------------------------------------------------------------------------


def test_changed_settings_are_taken_while_events_flow(start, broker, event):
    """Another connection with the new settings, the old one closed, no event lost or doubled."""
    start()
    broker.logs["a"] += bodies(event, 0, 50)
    wait_until(lambda: stored() == 50)

    Source.objects.filter(name="scripted").update(
        settings={"linger": 5}, settings_serial=F("settings_serial") + 1
    )
    broker.logs["a"] += bodies(event, 50, 90)
    took = wait_until(lambda: {"linger": 5} in broker.connected_with)
    wait_until(lambda: stored() == 90)

    assert took < 3
    assert broker.disconnects == 1
    assert NormalizedTransaction.objects.count() == 90
    assert verify().listed == []


def test_settings_that_are_wrong_leave_the_last_good_ones(start, broker, event):
    """The source is read on; the error names the field, once."""
    start()
    wait_until(lambda: held() == {"a", "b"})

    Source.objects.filter(name="scripted").update(
        settings={"wrong": 1}, settings_serial=F("settings_serial") + 1
    )
    wait_until(lambda: errors("settings") != [])
    broker.logs["a"] += bodies(event, 0, 5)
    wait_until(lambda: stored() == 5)

    ((_, message, times),) = errors("settings")
    assert "/settings/wrong" in message
    assert times == 1
    assert broker.disconnects == 0


# --- lag ------------------------------------------------------------------------------------------


def test_what_waits_at_partitions_that_nobody_reads_is_known(start, broker, event, monkeypatch):
    """Of a paused partition, of a stopped one and of a paused source: events, and since when."""
    monkeypatch.setattr(lagging, "UNREAD_EVERY_S", 0.5)
    start()
    wait_until(lambda: held() == {"a", "b"})
    Partition.objects.filter(source__name="scripted", name="a").update(state="paused")
    wait_until(lambda: held() == {"b"}, seconds=3)
    broker.logs["a"] += bodies(event, 0, 7)
    wait_until(lambda: the("a").lag_events == 7)
    pause(Source.objects.get(name="scripted"), reason="a test")
    wait_until(lambda: held() == set())
    broker.logs["b"] += bodies(event, 7, 9)
    wait_until(lambda: the("b").lag_events == 2)
    first = the("a").lag_seconds or 0.0
    wait_until(lambda: (the("a").lag_seconds or 0) > first + 1)

    assert stored() == 0
    minutes = PartitionMinute.objects.filter(partition_id=the("a").pk)
    assert max(row.lag_events or 0 for row in minutes) == 7


def test_each_minute_keeps_the_greatest_lag_and_the_last_number(ready):
    """One row a partition and minute, whoever writes it how often."""
    source = Source.objects.get(name="demo")
    row = Partition.objects.create(source=source, name="0", position="0-1", sequence_number=3)
    for events, number in ((5, 3), (9, 8), (2, 12)):
        Partition.objects.filter(pk=row.pk).update(sequence_number=number)
        lagging.note([lagging.Behind(partition_id=row.pk, events=events, seconds=events / 10)])

    row.refresh_from_db()
    assert (row.lag_events, row.lag_seconds) == (2, 0.2)
    minutes = list(PartitionMinute.objects.all())
    assert minutes[-1].sequence_number == 12
    if len(minutes) == 1:  # not over the turn of a minute
        assert (minutes[0].lag_events, minutes[0].lag_seconds) == (9, 0.9)


# --- waiting --------------------------------------------------------------------------------------


def test_waiting_grows_to_its_limit_and_never_twice_alike():
    """At least half of the doubled time, so that no crowd comes back at one moment."""
    for failures in range(1, 60):
        longest = min(readers.BACKOFF_MAX_S, readers.BACKOFF_FIRST_S * 2.0**failures)
        assert longest / 2 <= readers.backoff_s(failures) <= longest
    assert len({readers.backoff_s(5) for _ in range(20)}) > 10
