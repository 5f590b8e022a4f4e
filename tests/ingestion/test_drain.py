"""The loop that drains, on real streams: shares, pauses, bundles, and what a bad world costs."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.core.files.base import File
from django.db import OperationalError, connection, connections
from django.db.models import Sum

from configuration.activation import activate
from configuration.models import Bundle, ConfigurationVersion, Source
from configuration.sources import pause, resume
from configuration.versions import import_document
from deadletter.models import FailedItem
from ingestion import partitions, pipeline
from ingestion.archive import archive_storage
from ingestion.drain import Drainer
from ingestion.duplicates import decide
from ingestion.evaluate import evaluate
from ingestion.models import ArchiveFile, Batch, Partition
from ingestion.models import Drainer as DrainerRow
from ingestion.verify import verify
from metrics.models import NormalizedTransaction, PaymentMetrics5m
from payflow.lib.failpoints import FailPoint
from payflow.lib.storage import WriteOnceFileStorage
from tests.ingestion.streaming import PREFIX, demo, drain_all, publish, wait_until

pytestmark = pytest.mark.usefixtures("ready", "streams")


@pytest.fixture
def start(ready: None) -> Iterator[Callable[..., threading.Event]]:
    """Start drainers of the source `demo` in threads with connections of their own.

    Gives the event that stops one; whatever still runs is stopped after the test.
    """
    running: list[tuple[threading.Event, threading.Thread]] = []
    errors: list[BaseException] = []

    def run(drainer: Drainer) -> None:
        try:
            drainer.run()
        except BaseException as exc:  # noqa: BLE001  told after the test
            errors.append(exc)
        finally:
            connections.close_all()

    def begin(**options: Any) -> threading.Event:
        stop = threading.Event()
        drainer = Drainer(stop=stop, sources=["demo"], **options)
        thread = threading.Thread(target=run, args=(drainer,), daemon=True)
        running.append((stop, thread))
        thread.start()
        return stop

    yield begin
    for stop, _ in running:
        stop.set()
    for _, thread in running:
        thread.join(20)
        assert not thread.is_alive()
    assert errors == []


def shares() -> list[int]:
    """How many partitions each owner holds, smallest first."""
    owners = Partition.objects.exclude(leased_until=None).values_list("leased_by", flat=True)
    return sorted(Counter(owners).values())


def stored() -> int:
    return NormalizedTransaction.objects.count()


def assert_counted(events: int) -> None:
    """Each event is in the tables and in the roll-ups once, and verify agrees."""
    keys = NormalizedTransaction.objects.values_list("event_key", flat=True)
    assert len(keys) == len(set(keys)) == events
    assert PaymentMetrics5m.objects.aggregate(n=Sum("transaction_count"))["n"] == events
    report = verify()
    assert report.listed == []


# --- shares, pauses -------------------------------------------------------------------------------


def test_drainers_share_the_partitions_fairly(start, streams, event):
    """One holds all four, two hold two each, and when one goes the other takes them back; what
    flows meanwhile counts once."""
    first = start()
    wait_until(lambda: shares() == [4])
    publish(streams, [event(n) for n in range(100)])

    second = start()
    wait_until(lambda: shares() == [2, 2])
    publish(streams, [event(n) for n in range(100, 200)])
    first.set()
    wait_until(lambda: shares() == [4])
    publish(streams, [event(n) for n in range(200, 300)])
    wait_until(lambda: stored() == 300)
    second.set()
    wait_until(lambda: shares() == [])
    wait_until(lambda: not DrainerRow.objects.exclude(owner="").exists())

    assert_counted(300)


def test_a_paused_source_is_given_back_and_goes_on_where_it_stood(start, streams, event):
    """While it is paused nobody holds or reads its partitions; the broker keeps the messages."""
    start()
    publish(streams, [event(n) for n in range(20)])
    wait_until(lambda: stored() == 20)

    pause(demo(), reason="a test")
    wait_until(lambda: shares() == [], seconds=5)
    publish(streams, [event(n) for n in range(20, 40)])
    time.sleep(0.5)
    assert stored() == 20
    resume(demo())
    wait_until(lambda: stored() == 40)

    assert_counted(40)


# --- bundles --------------------------------------------------------------------------------------


def activate_marked(mark: str) -> Source:
    """A version of the schema whose events all carry the mark as merchant category."""
    version = ConfigurationVersion.objects.get(kind="schema", name="transaction", status="active")
    document = json.loads(json.dumps(version.document))
    document["columns"]["merchant_category"] = {"constant": mark}
    version = import_document(kind="schema", name="transaction", document=document)
    activate(version, override_reason="a test")
    return demo()


def acknowledged() -> int | None:
    """The bundle that the one live drainer says it runs."""
    bundles: dict[str, int] = DrainerRow.objects.exclude(owner="").get().bundles
    return bundles.get("demo")


def test_a_new_bundle_is_taken_within_a_poll_and_batches_never_mix(start, streams, event):
    """Versions change while events flow: every batch holds the marks of its own bundle alone."""
    start()
    wait_until(lambda: shares() == [4])
    marks, taken_s = ["one", "two", "three"], []
    for number, mark in enumerate(marks):
        publish(streams, [event(n) for n in range(number * 200, number * 200 + 100)])
        began = time.monotonic()
        bundle = activate_marked(mark).active_bundle_id
        publish(streams, [event(n) for n in range(number * 200 + 100, number * 200 + 200)])
        wait_until(lambda bundle=bundle: acknowledged() == bundle)  # type: ignore[misc]
        taken_s.append(time.monotonic() - began)
    publish(streams, [event(n) for n in range(600, 620)])
    wait_until(lambda: stored() == 620)

    assert max(taken_s) < 5  # required; below 1 s on a machine of its own
    for batch in Batch.objects.all():
        rows = NormalizedTransaction.objects.filter(batch=batch.id)
        found = set(rows.values_list("merchant_category", flat=True))
        columns = batch.bundle.schema["document"]["columns"]
        assert found == {columns["merchant_category"].get("constant", "")}
    last = NormalizedTransaction.objects.filter(
        transaction_id__in=[f"tx-{n}" for n in range(600, 620)]
    )
    assert set(last.values_list("merchant_category", flat=True)) == {"three"}
    assert_counted(620)


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [getattr(record, "action", "") for record in caplog.records]


def test_a_bundle_that_does_not_load_leaves_the_last_good_one(start, streams, event, caplog):
    """Events go on under the good one, one alarm is raised, and the next good one is taken."""
    start()
    wait_until(lambda: shares() == [4])
    good = Bundle.objects.get(source=demo())
    broken = json.loads(json.dumps(good.content))
    broken["routes"][0]["schema"]["document"]["columns"]["amount"] = {"unit": "nonsense"}
    bad = Bundle.objects.create(source=demo(), hash="bad", content=broken)
    Source.objects.filter(name="demo").update(active_bundle=bad)
    wait_until(lambda: "bundle_refused" in actions(caplog))
    publish(streams, [event(n) for n in range(20)])
    wait_until(lambda: stored() == 20)
    time.sleep(0.6)  # two polls

    assert set(Batch.objects.values_list("bundle_id", flat=True)) == {good.pk}
    assert actions(caplog).count("bundle_refused") == 1
    bundle = activate_marked("good again").active_bundle_id
    wait_until(lambda: acknowledged() == bundle)
    publish(streams, [event(n) for n in range(20, 40)])
    wait_until(lambda: stored() == 40)
    assert NormalizedTransaction.objects.filter(merchant_category="good again").count() == 20


# --- stopped partitions ---------------------------------------------------------------------------


def test_lost_messages_stop_their_partition_with_the_count(start, streams, event):
    """Trimmed unread: the partition stops and says how many, the others go on; a person who
    resumes it finds that lost stays lost."""
    publish(streams, [event(n) for n in range(40)])
    drain_all()
    publish(streams, [event(n) for n in range(40, 60)])
    streams.xtrim(f"{PREFIX}.1", maxlen=0, approximate=False)

    drain_all()

    assert stored() == 55
    lost = Partition.objects.get(state="stopped")
    assert lost.name == "1"
    assert lost.sequence_number == 10
    assert "lost 5 messages" in lost.stopped_reason
    assert partitions.resume(lost)
    drain_all()
    lost.refresh_from_db()
    assert (lost.state, lost.sequence_number) == ("stopped", 10)
    assert_counted(55)


def test_a_resumed_partition_goes_on_where_it_stopped(streams, event, monkeypatch, caplog):
    """An error of our own stops one partition after two attempts, without its payload in the log;
    when it is mended and resumed, nothing is missing."""
    publish(streams, [event(n) for n in range(8)])
    publish(streams, [event(99, customer_id="secret-payload")], only=2)
    real = evaluate

    def fails_on_some(batch: Any, bundle: Any) -> Any:
        if batch.partition == "2":
            raise ValueError(batch.bodies[0])
        return real(batch, bundle)

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "evaluate", fails_on_some)
        drain_all()

    stopped = Partition.objects.get(state="stopped")
    assert (stopped.name, stopped.attempts, stopped.sequence_number) == ("2", 2, 0)
    assert "2 workers died" in stopped.stopped_reason
    assert "ValueError" in stopped.last_error
    assert stored() == 6
    assert not any("secret-payload" in str(vars(record)) for record in caplog.records)
    assert partitions.resume(stopped)
    assert not partitions.resume(stopped)
    drain_all()
    assert stored() == 9
    stopped.refresh_from_db()
    assert (stopped.state, stopped.attempts, stopped.sequence_number) == ("active", 0, 3)
    assert_counted(9)


# --- races ----------------------------------------------------------------------------------------


def test_two_partitions_that_deliver_one_event_at_once_count_it_once(
    start, streams, event, monkeypatch, caplog
):
    """Both look it up before either has written it: the second runs its transaction again and sees
    the first; nothing is read or archived once more. What differs under one key is a conflict."""
    drain_all()  # the partitions are known
    both_looked = threading.Barrier(2)
    real = decide
    calls: list[int] = []

    def look_together(*args: Any, **kwargs: Any) -> Any:
        decided = real(*args, **kwargs)
        calls.append(decided.kept.height)
        if len(calls) <= 2:
            both_looked.wait(10)
        return decided

    monkeypatch.setattr(pipeline, "decide", look_together)
    for partition in (0, 1):
        publish(streams, [event(1), event(2, amount=10 + partition)], only=partition)
    for name in ("0", "1"):
        start(partition=name)
    wait_until(lambda: Batch.objects.count() == 2)

    assert calls == [2, 2, 0]
    assert actions(caplog).count("retry") == 0
    sums = Batch.objects.aggregate(a=Sum("accepted"), d=Sum("duplicates"), f=Sum("failed"))
    assert sums == {"a": 2, "d": 1, "f": 1}
    item = FailedItem.objects.get()
    winner = NormalizedTransaction.objects.get(transaction_id="tx-2")
    assert (item.reason, item.other_id) == ("duplicate_conflict", winner.id)
    assert_counted(2)


def at(monkeypatch: pytest.MonkeyPatch, point: FailPoint, act: Callable[[], None]) -> list[str]:
    """Do something the first time that a place of the path is passed; gives the places passed."""
    passed: list[str] = []

    def look(name: FailPoint) -> None:
        passed.append(name)
        if name == point and passed.count(name) == 1:
            act()

    monkeypatch.setattr(pipeline, "fail_point", look)
    return passed


def elsewhere(statement: str, *parameters: Any) -> None:
    """Run a statement in a session of its own."""
    options = connection.get_connection_params()
    options = {
        k: v for k, v in options.items() if k in ("dbname", "user", "password", "host", "port")
    }
    with psycopg.connect(**options, autocommit=True) as other:
        other.execute(statement, parameters)


def kill_own_backend() -> None:
    elsewhere("SELECT pg_terminate_backend(%s, 5000)", connection.connection.info.backend_pid)


@pytest.mark.parametrize(
    "point", ["after_number", "after_checkpoint", "after_transactions", "before_commit"]
)
def test_a_connection_that_dies_in_the_transaction_changes_nothing(
    streams, event, monkeypatch, point
):
    """PostgreSQL ends the session, the last time just before COMMIT: once more, from the top."""
    publish(streams, [event(n) for n in range(20)], only=0)
    passed = at(monkeypatch, point, kill_own_backend)

    drain_all()

    assert passed.count(point) == 2
    assert passed.count("after_commit") == 1
    assert Batch.objects.count() == 1
    assert Partition.objects.get(name="0").sequence_number == 20
    assert_counted(20)


def test_a_commit_whose_answer_is_lost_is_not_done_again(streams, event, monkeypatch):
    """COMMIT went through, the connection broke before the answer: the checkpoint tells."""

    def answer_is_lost() -> None:
        raise OperationalError("server closed the connection unexpectedly")

    publish(streams, [event(n) for n in range(20)], only=0)
    passed = at(monkeypatch, "after_commit", answer_is_lost)

    drain_all()

    assert passed.count("after_lookup") == 1
    assert Batch.objects.count() == 1
    assert_counted(20)


@pytest.mark.parametrize("point", ["after_archive", "after_lookup"])
def test_an_owner_that_lost_its_lease_writes_nothing(streams, event, monkeypatch, point):
    """Somebody else holds the partition by the time of the commit: no row stays. When that lease
    has ended, the next owner begins where the checkpoint stands."""

    def lose_the_lease() -> None:
        elsewhere(
            "UPDATE partitions SET lease_epoch = lease_epoch + 1, leased_by = 'other',"
            " leased_until = now() + interval '1 s' WHERE name = '0'"
        )

    publish(streams, [event(n) for n in range(20)], only=0)
    passed = at(monkeypatch, point, lose_the_lease)

    drain_all()
    assert "after_commit" not in passed
    assert (stored(), Batch.objects.count(), PaymentMetrics5m.objects.count()) == (0, 0, 0)
    partition = Partition.objects.get(name="0")
    assert (partition.leased_by, partition.lease_epoch, partition.position) == ("other", 2, "0-1")
    time.sleep(1)
    drain_all()

    assert Batch.objects.get().epoch == 3
    assert_counted(20)


# --- the archive is away --------------------------------------------------------------------------


def test_an_archive_that_fails_leaves_the_checkpoint_and_is_tried_again(
    streams, event, monkeypatch
):
    """A full disk, then a write that went through and failed all the same: each try has a name of
    its own, one object counts, and the other is an orphan that no row names."""
    names: list[str] = []
    checkpoints: list[tuple[str, int]] = []
    real = WriteOnceFileStorage._save

    def save(self: WriteOnceFileStorage, name: str, content: File[Any]) -> str:
        if name.startswith("bundles/"):
            return real(self, name, content)
        names.append(name)
        checkpoints.append(
            Partition.objects.values_list("position", "sequence_number").get(name="0")
        )
        if len(names) == 1:
            raise OSError(28, "No space left on device")
        saved = real(self, name, content)
        if len(names) == 2:
            raise OSError(5, "Input/output error")
        return saved

    monkeypatch.setattr(WriteOnceFileStorage, "_save", save)
    publish(streams, [event(n) for n in range(20)], only=0)

    drain_all()

    assert len(names) == len(set(names)) == 3
    assert set(checkpoints) == {("0-1", 0)}
    assert ArchiveFile.objects.get().path == Batch.objects.get().file == names[2]
    assert not archive_storage().exists(names[0])
    assert archive_storage().exists(names[1])
    assert not FailedItem.objects.exists()
    assert "Input/output error" in Partition.objects.get(name="0").last_error
    assert_counted(20)
