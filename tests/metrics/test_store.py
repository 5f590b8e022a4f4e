from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from metrics.models import PaymentMetrics1h, PaymentMetrics5m
from metrics.rollups import roll_up, roll_up_cells
from metrics.store import write_cells
from tests.metrics.tables import transactions

CELLS_OF = {"payment_metrics_5m": PaymentMetrics5m, "payment_metrics_1h": PaymentMetrics1h}


def stored(table: str = "payment_metrics_5m") -> list[tuple[Any, ...]]:
    """The cells of a table by key."""
    names = [field.name for field in CELLS_OF[table]._meta.fields]
    rows = CELLS_OF[table]._default_manager.values_list(*names)
    return sorted(rows)


def random_rows(count: int, *, seed: int) -> list[dict[str, Any]]:
    """Transactions around midnight of a leap day, many of them in the same few cells."""
    pick = random.Random(seed)
    start = datetime(2024, 2, 29, 22, tzinfo=UTC)
    return [
        {
            "occurred_at": start + timedelta(seconds=pick.randrange(4 * 3600)),
            "amount": Decimal(pick.randrange(-(10**18), 10**18)).scaleb(-4),
            "currency": pick.choice(["EUR", "JPY"]),
            "payment_method": pick.choice(["", "card", "we\\ird,'\"{}\tünïcode"]),
            "payment_status": pick.choice(["completed", "failed"]),
            "channel": pick.choice(["web", "NULL", "null"]),
            "latency_us": pick.choice([None, pick.randrange(2**62)]),
        }
        for _ in range(count)
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("table", "window_s"), [("payment_metrics_5m", 300), ("payment_metrics_1h", 3600)]
)
def test_any_split_into_batches_stores_the_same_cells(table, window_s):
    """Cells written batch by batch are, bit for bit, the cells of all transactions."""
    rows = random_rows(600, seed=7)

    with connection.cursor() as cursor:
        for start in range(0, len(rows), 47):
            batch = transactions(*rows[start : start + 47])
            cells = roll_up_cells(roll_up(batch, window_s=300), window_s=window_s)
            write_cells(cursor, table, cells)

    expected = roll_up(transactions(*rows), window_s=window_s)
    assert stored(table) == sorted(expected.rows())


@pytest.mark.django_db
def test_a_cell_without_latency_takes_the_first_that_is_stated():
    """Null is no latency: the largest of none and 5 is 5, whichever comes first."""
    without = roll_up(transactions({"latency_us": None}), window_s=300)
    stated = roll_up(transactions({"latency_us": 5}), window_s=300)

    with connection.cursor() as cursor:
        for cells in (without, stated, without):
            write_cells(cursor, "payment_metrics_5m", cells)

    [cell] = PaymentMetrics5m.objects.all()
    assert (cell.transaction_count, cell.latency_count, cell.latency_max_us) == (3, 1, 5)


@pytest.mark.django_db
def test_no_cells_write_nothing():
    """A batch without an accepted event does not touch the table."""
    with connection.cursor() as cursor:
        write_cells(cursor, "payment_metrics_5m", roll_up(transactions(), window_s=300))

    assert not PaymentMetrics5m.objects.exists()


@pytest.mark.django_db
def test_a_rolled_back_batch_leaves_no_trace():
    """Cells are part of the transaction that they are written in."""
    cells = roll_up(transactions({}), window_s=300)

    with transaction.atomic(), connection.cursor() as cursor:
        write_cells(cursor, "payment_metrics_5m", cells)
        transaction.set_rollback(True)

    assert not PaymentMetrics5m.objects.exists()


@pytest.mark.django_db
def test_a_plain_psycopg_cursor_writes_the_same():
    """The path may hold a cursor of psycopg itself, with parameters bound by the server."""
    cells = roll_up(transactions(*random_rows(50, seed=3)), window_s=300)
    connection.ensure_connection()

    with psycopg.Cursor(connection.connection) as cursor:
        write_cells(cursor, "payment_metrics_5m", cells)

    assert stored() == sorted(cells.rows())


@pytest.mark.django_db
def test_a_window_of_another_length_is_refused_by_the_table():
    """Cells of a minute cannot slip into the table of 5 minutes."""
    at = datetime(2024, 2, 29, 23, 56, tzinfo=UTC)
    cells = roll_up(transactions({"occurred_at": at}), window_s=60)

    with (
        pytest.raises(Exception, match="payment_metrics_5m_window"),
        connection.cursor() as cursor,
    ):
        write_cells(cursor, "payment_metrics_5m", cells)
