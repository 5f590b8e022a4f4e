from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psycopg
import pytest
from django.db import connection, transaction

from metrics.distinct import Distinct, read_distinct, read_distinct_steps, write_distinct
from metrics.models import DistinctCount
from metrics.sketches import STANDARD_ERROR, distinct_cells, merge_cells
from tests.metrics.tables import transactions
from tests.metrics.test_sketches import HOUR, ids, paid_by

DAY = timedelta(days=1)
LATER = HOUR + timedelta(hours=1)


def write(cells: pl.DataFrame) -> None:
    with connection.cursor() as cursor:
        write_distinct(cursor, cells)


def stored() -> list[tuple[Any, ...]]:
    """The planes of the table by key, bits as text."""
    return sorted(DistinctCount._default_manager.values_list())


def expected(cells: pl.DataFrame) -> list[tuple[Any, ...]]:
    return [
        (counted, start, plane, f"{int(bits, 16):04096b}")
        for counted, start, plane, bits in cells.rows()
    ]


@contextmanager
def another() -> Iterator[psycopg.Connection[Any]]:
    """A connection of its own to the test's database, in a transaction."""
    with psycopg.connect(**connection.get_connection_params()) as opened:
        yield opened


@pytest.mark.django_db
def test_any_split_into_batches_stores_the_same_bits():
    """Planes written batch by batch are, bit for bit, the cells of all transactions."""
    pick = random.Random(3)
    rows = [
        {
            "occurred_at": HOUR + timedelta(minutes=pick.randrange(240)),
            "customer_id": pick.choice(["", *ids(3, 150)]),
            "merchant_id": pick.choice(["a", "b\\\"',{}", "ünï"]),
        }
        for _ in range(600)
    ]

    for start in range(0, len(rows), 47):
        write(distinct_cells(transactions(*rows[start : start + 47])))

    assert stored() == expected(distinct_cells(transactions(*rows)))


@pytest.mark.django_db
def test_the_same_events_again_write_nothing():
    """Planes that gain no bit are not touched: their rows stay the very versions they were."""
    cells = distinct_cells(paid_by(ids(1, 2_000)))
    versions = "SELECT counted, plane, ctid, xmin, xmax FROM distinct_counts ORDER BY 1, 2"
    write(cells)

    with connection.cursor() as cursor:
        cursor.execute(versions)
        before = cursor.fetchall()
        write_distinct(cursor, cells)
        cursor.execute(versions)
        after = cursor.fetchall()

    assert before == after
    assert len(before) == cells.height


@pytest.mark.django_db
def test_no_cells_write_nothing():
    """A batch without an accepted event does not touch the table."""
    write(distinct_cells(transactions()))

    assert not DistinctCount.objects.exists()


@pytest.mark.django_db
def test_a_rolled_back_batch_leaves_no_trace():
    """Bits are part of the transaction that they are written in."""
    with transaction.atomic():
        write(distinct_cells(paid_by(["a"])))
        transaction.set_rollback(True)

    assert not DistinctCount.objects.exists()


@pytest.mark.django_db
def test_a_window_of_another_length_is_refused_by_the_table():
    """Bits of 5 minutes cannot slip in."""
    cells = distinct_cells(paid_by(["a"]))

    with pytest.raises(Exception, match="distinct_counts_window"):
        write(cells.with_columns(pl.col("window_start") + timedelta(minutes=5)))


@pytest.mark.django_db(transaction=True)
def test_two_writers_of_one_hour_lose_nothing():
    """The second waits for the first, and then both customers' bits are there."""
    one, other = paid_by(ids(1, 500)), paid_by(ids(2, 500))

    with another() as first, another() as second, ThreadPoolExecutor(1) as pool:
        write_distinct(first.cursor(), distinct_cells(one))
        waiting = pool.submit(write_distinct, second.cursor(), distinct_cells(other))
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        first.commit()
        waiting.result(timeout=10)
        second.commit()

    assert stored() == expected(distinct_cells(pl.concat([one, other])))


@pytest.mark.django_db(transaction=True)
def test_a_writer_does_not_rely_on_bits_that_are_rolled_back():
    """The same bits, not committed yet by another, are no reason to leave them out."""
    cells = distinct_cells(paid_by(ids(1, 500)))

    with another() as first, another() as second, ThreadPoolExecutor(1) as pool:
        write_distinct(first.cursor(), cells)
        waiting = pool.submit(write_distinct, second.cursor(), cells)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        first.rollback()
        waiting.result(timeout=10)
        second.commit()

    assert stored() == expected(cells)


@pytest.mark.django_db(transaction=True)
def test_many_writers_of_the_same_hours_never_wait_in_a_circle():
    """Batches over the same five hours from three connections: no deadlock, no bit lost."""
    batches = [
        pl.concat(
            [paid_by(ids(number, 40), at=HOUR + timedelta(hours=hour)) for hour in range(5)]
        ).sample(fraction=1, shuffle=True, seed=number)
        for number in range(60)
    ]

    def write_all(mine: list[pl.DataFrame]) -> None:
        with another() as opened:
            for batch in mine:
                write_distinct(opened.cursor(), distinct_cells(batch))
                opened.commit()

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(write_all, batches[start::3]) for start in range(3)]:
            done.result(timeout=30)

    assert stored() == expected(merge_cells(map(distinct_cells, batches)))


@pytest.mark.django_db
def test_a_day_counts_everybody_once():
    """Who pays in two hours is one customer of the day; the error bound holds."""
    regulars, tourists = ids(1, 3_000), ids(2, 2_000)
    write(distinct_cells(paid_by(regulars)))
    write(distinct_cells(paid_by([*regulars[:1_000], *tourists], at=LATER)))

    day = read_distinct("customers", since=HOUR, until=HOUR + DAY)
    hour = read_distinct("customers", since=LATER, until=LATER + timedelta(hours=1))

    assert abs(day.estimate - 5_000) <= day.error
    assert abs(hour.estimate - 3_000) <= hour.error
    assert day.error == pytest.approx(2 * STANDARD_ERROR * 5_000, rel=0.05)
    merchants = read_distinct("merchants", since=HOUR, until=HOUR + DAY)
    assert merchants == Distinct(estimate=1, error=0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("since", "until", "customers"),
    [
        (HOUR, LATER, 1),
        (HOUR + timedelta(minutes=20), LATER + timedelta(minutes=20), 2),
        (HOUR + timedelta(minutes=59), LATER, 1),
        (LATER, LATER + timedelta(hours=9), 1),
        (LATER + timedelta(hours=1), LATER + DAY, 0),
        (HOUR - DAY, HOUR, 0),
        (LATER, LATER, 0),
    ],
)
def test_a_range_counts_the_hours_it_touches(since, until, customers):
    """Ranges that cut through an hour count all of it; the end itself is not in the range."""
    write(distinct_cells(paid_by(["a"])))
    write(distinct_cells(paid_by(["b"], at=LATER)))

    assert read_distinct("customers", since=since, until=until).estimate == customers


@pytest.mark.django_db
def test_steps_are_counted_each_for_itself():
    """Two hours of a day and one of the next, read by day; the empty day is left out."""
    at = datetime(2024, 2, 28, 5, tzinfo=UTC)
    write(distinct_cells(paid_by(["a", "b"], at=at)))
    write(distinct_cells(paid_by(["b", "c"], at=at + timedelta(hours=3))))
    write(distinct_cells(paid_by(["a"], at=at + 2 * DAY)))
    midnight = at.replace(hour=0)

    steps = read_distinct_steps(
        "customers", since=midnight, until=midnight + 3 * DAY, step_s=86_400
    )

    assert {start: found.estimate for start, found in steps.items()} == {
        midnight: 3,
        midnight + 2 * DAY: 1,
    }


@pytest.mark.django_db
def test_what_is_not_counted_is_refused():
    """A misspelt word is an error, not "none"."""
    with pytest.raises(ValueError, match="customers and merchants"):
        read_distinct("costumers", since=HOUR, until=LATER)


@pytest.mark.django_db
def test_a_step_of_minutes_is_refused():
    """There is no such window to read, and a wrong answer would look like one."""
    with pytest.raises(ValueError, match="by the hour"):
        read_distinct_steps("customers", since=HOUR, until=LATER, step_s=300)
