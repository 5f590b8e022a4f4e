"""Leaves: made ahead, entered one at a time, never overlapped by two commits."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from ingestion import leaves
from ingestion.leaves import ensure_leaves, leaf_at, leaf_status, roll_over
from ingestion.models import WriteLeaf
from metrics.models import NormalizedTransaction
from payflow.lib.errors import LeafMissing
from payflow.lib.event_id import first_id_at

pytestmark = pytest.mark.usefixtures("ready")


def test_leaves_of_all_tables_share_their_bounds_and_lie_two_ahead():
    """Retention drops them together, and no commit ever waits for one to be made."""
    bounds: dict[str, set[str]] = {}
    for row in leaf_status():
        bounds.setdefault(row["leaf"].rsplit("_p", 1)[1], set()).add(row["bounds"])

    assert all(len(same) == 1 for same in bounds.values())
    current = leaf_at(datetime.now(UTC))
    expected = [current.suffix, leaf_at(current.upper).suffix]
    assert {f"p{suffix}" for suffix in bounds} >= set(expected)


def test_making_leaves_twice_changes_nothing(capsys):
    """`partitions ensure` is idempotent, and the unique key stands on every leaf."""
    before = leaf_status()

    call_command("partitions", "ensure")

    assert [row["leaf"] for row in leaf_status()] == [row["leaf"] for row in before]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%_event_key'")
        assert cursor.fetchone()[0] == len(
            [row for row in before if row["table"] == "normalized_transactions"]
        )


def test_roll_over_waits_for_the_commits_of_the_old_leaf(event, ingest):
    """While a commit holds WRITE_LEAF, nobody enters the next leaf."""
    _pretend_old_leaf()
    entered = threading.Event()

    def roll():
        roll_over()
        entered.set()
        connection.close()

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [leaves.WRITE_LEAF])
        thread = threading.Thread(target=roll)
        thread.start()
        assert not entered.wait(0.5)
    thread.join(10)

    assert entered.is_set()
    assert WriteLeaf.objects.get().lower_id == leaf_at(datetime.now(UTC)).lower_id


def test_a_commit_rolls_over_by_itself_and_still_finds_earlier_keys(event, ingest):
    """The same event arrives again after a roll-over: still a duplicate."""
    ingest([event(1), event(2)])
    _pretend_old_leaf()

    report = ingest([event(2), event(3)])

    assert (report.accepted, report.duplicates) == (1, 1)
    assert WriteLeaf.objects.get().upper_id == leaf_at(datetime.now(UTC)).upper_id
    assert NormalizedTransaction.objects.count() == 3


def test_roll_over_says_which_leaf_is_missing():
    """A bad world with the command that mends it, never a row outside all leaves."""
    _pretend_old_leaf()
    current = leaf_at(datetime.now(UTC))
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE batch_outcomes_{current.suffix} RENAME TO hidden")
    try:
        with pytest.raises(LeafMissing, match="partitions ensure"):
            roll_over()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE hidden RENAME TO batch_outcomes_{current.suffix}")


def test_ids_of_a_leaf_are_those_of_its_days():
    """Bounds are whole days, and the next leaf begins where this one ends."""
    leaf = leaf_at(datetime(2026, 11, 21, 12, tzinfo=UTC))

    assert leaf.lower <= datetime(2026, 11, 21, 12, tzinfo=UTC) < leaf.upper
    assert leaf.upper - leaf.lower == timedelta(days=7)
    assert leaf.upper_id == first_id_at(leaf.upper) == leaf_at(leaf.upper).lower_id
    assert [made.lower for made in ensure_leaves()][:2] == [
        leaf_at(datetime.now(UTC)).lower,
        leaf_at(datetime.now(UTC)).upper,
    ]


def _pretend_old_leaf() -> None:
    """As if the leaf that is being written had ended an hour ago."""
    now = leaf_at(datetime.now(UTC))
    WriteLeaf.objects.update(
        lower_id=first_id_at(now.lower - timedelta(days=7)), upper_id=now.lower_id
    )
