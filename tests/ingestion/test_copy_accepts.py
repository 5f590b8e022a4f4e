"""What evaluate() accepts COPY accepts, and what comes back is what went in. So does what failed.

The rows go through the store's own functions into temporary tables of the same name, made LIKE the
real ones with all their constraints.
"""

from __future__ import annotations

import copy
import json
import string
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
import yaml
from django.db import connection, transaction
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from deadletter.store import Origin, write_items
from ingestion import store
from ingestion.bundles import CompiledBundle, compile_bundle
from ingestion.evaluate import Outcome, evaluate
from ingestion.numbering import Numbering
from ingestion.sources.base import MessageBatch
from tests.ingestion.parsing.agreement import EVENT, EVERYTHING, ODD_VALUES, to_json
from tests.ingestion.parsing.test_agreement import PLACES, _replaced

pytestmark = pytest.mark.django_db

ROOT: Final = Path(__file__).parents[2]
ARRIVAL: Final = datetime(2026, 3, 2, 10, tzinfo=UTC)
#: the broker's clock is ahead of every time that a schema takes: nothing lies in the future
BROKER_TIME_US: Final = 4_200_000_000_000_000
NUMBERING: Final = Numbering(first_tick=200_000_000_000, slot=1)
TABLES: Final = ("normalized_transactions", "dynamic_metrics", "failed_items")
#: columns that are stored as the event's own
COLUMNS: Final = store._EVENT_COLUMNS

METRICS: Final = {
    "name": "all-kinds",
    "extractors": ["transaction_status", "transaction_amount", "channel_failure_rate"],
    "metrics": [
        {"name": "risk", "description": "d", "type": "GAUGE", "value": "risk"},
        {"name": "risk_squared", "description": "d", "type": "HISTOGRAM", "value": "risk * risk"},
        {"name": "scaled", "description": "d", "type": "GAUGE", "value": "amount * 1.5"},
        {"name": "sequence", "description": "d", "type": "COUNTER", "value": "sequence"},
        {
            "name": "share",
            "description": "d",
            "type": "RATE",
            "numerator": "amount",
            "denominator": "sequence",
        },
    ],
}
#: no other property is allowed, so that errors name properties that the producer made up
CLOSED: Final = {
    **EVERYTHING,
    "json_schema": {
        **EVERYTHING["json_schema"],  # type: ignore[dict-item]
        "additionalProperties": False,
    },
}


def bundle_of(document: Any, metrics: Any) -> CompiledBundle:
    name = document.get("name", "any")
    return compile_bundle(
        {
            "routes": [{"schema": {"name": name, "version": 1, "document": document}}],
            "metrics": {"name": "any", "version": 1, "document": metrics},
        }
    )


def shipped(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


OPEN = bundle_of(EVERYTHING, METRICS)
REFUSING = bundle_of(CLOSED, METRICS)
TRANSACTION_SCHEMA = shipped("ingestion/schemas/transaction.yaml")
METRICS_DEFAULT = shipped("metrics/rule_sets/default.yaml")
SHIPPED = bundle_of(TRANSACTION_SCHEMA, METRICS_DEFAULT)
TRANSACTION: Final = {
    "transaction_id": '"t-1"',
    "correlation_id": '"c-1"',
    "timestamp": '"2026-03-02T10:00:00Z"',
    "transaction_type": '"payment"',
    "channel": '"web"',
    "amount": "12.34",
    "currency": '"EUR"',
    "merchant_id": '"m-1"',
    "customer_id": '"k-1"',
    "status": '"success"',
    "metadata": {
        "processor": '"p"',
        "merchant_category": '"retail"',
        "country": '"DE"',
        "processing_time_ms": "12.5",
        "risk_score": "0.25",
        "card_brand": '"Visa"',
        "card_last4": '"1111"',
    },
}

# --- values, as JSON texts ------------------------------------------------------------------------

#: what COPY, JSON, PostgreSQL or a terminal give a meaning of their own
SPECIAL: Final = st.sampled_from(
    ["\\N", "\\.", "\t", "\n", "\r", "\\", "\\\\", '"', "'", "\x00", "\x7f", "\x80", "\u2028",
     "\ufeff", "\ufffe", "\uffff", "\U0010ffff", "e\u0301", "\u202e", "\b", "\f", "\v", "{", ","]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=12),
    st.lists(st.one_of(SPECIAL, st.text(max_size=2)), max_size=8).map("".join),
    st.builds(lambda char, size: char * size, st.sampled_from("xé💶\\\t"), st.integers(250, 258)),
)
TEXT_VALUES = st.builds(lambda t, a: json.dumps(t, ensure_ascii=a), TEXTS, st.booleans())
DIGITS = st.integers(0, 10**15).map(str)
DECIMALS = st.builds(
    lambda whole, part, quoted: f'"{whole}{part}"' if quoted else f"{whole}{part}",
    DIGITS,
    st.one_of(st.just(""), st.text(string.digits, min_size=1, max_size=5).map(lambda d: f".{d}")),
    st.booleans(),
)
NUMBERS = st.one_of(
    DECIMALS,
    st.integers(-(2**64), 2**64).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
TIMES = st.builds(
    lambda at, digits: f'"{at:%Y-%m-%dT%H:%M:%S}.{digits}Z"',
    st.datetimes(datetime(1999, 12, 31), datetime(2101, 1, 1)).filter(lambda at: at.year >= 1000),  # noqa: DTZ001
    st.text(string.digits, min_size=1, max_size=9),
)
#: anything where anything may stand
VALUES = st.one_of(TEXT_VALUES, DECIMALS, NUMBERS, TIMES, st.sampled_from(ODD_VALUES))
#: what the places that take no text may well hold
PLAUSIBLE: Final = {
    "at": TIMES,
    "timestamp": TIMES,
    "value": st.one_of(DIGITS, DECIMALS),
    "amount": DECIMALS,
    "seq": st.integers(-5, 2**63).map(str),
    "risk": st.floats(0, 1).map(repr),
    "risk_score": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "took": st.one_of(DECIMALS, st.floats(0, 1e15).map(repr)),
    "processing_time_ms": st.one_of(DECIMALS, st.floats(0, 1e15).map(repr)),
    "currency": st.sampled_from(['"eur"', '"JPY"', '"BHD"', '"USD"', '"CLF"']),
    "country": st.sampled_from(['"de"', '"FR"', '""', "null"]),
}


@st.composite
def events(draw: Any, base: dict[str, Any], *, name: str, others: bool = False) -> bytes:
    """The base with up to five leaves replaced; its id is new, so that events are told apart."""
    changed = json.loads(json.dumps(base))
    places = [(changed, key) for key, value in changed.items() if isinstance(value, str)]
    for inner in [value for value in changed.values() if isinstance(value, dict)]:
        places += [(inner, key) for key, value in inner.items() if isinstance(value, str)]
    changed[name] = json.dumps(f"{draw(st.integers(0, 10**9))}{draw(TEXTS)}"[:256])
    for _ in range(draw(st.integers(1, 5))):
        parent, key = draw(st.sampled_from(places))
        odd = draw(st.integers(0, 9)) == 0
        parent[key] = draw(VALUES if odd else PLAUSIBLE.get(key, TEXT_VALUES))
    if others:
        changed |= {json.dumps(key)[1:-1]: "1" for key in draw(st.lists(TEXTS, max_size=2))}
    return to_json(changed).encode("utf-8", "surrogatepass")


def judge(bodies: list[bytes], bundle: CompiledBundle) -> tuple[MessageBatch, Outcome]:
    batch = MessageBatch(
        source="any",
        partition="0",
        broker_type="file",
        batch_id="b",
        position="0",
        next_position=str(len(bodies)),
        sequence_number=0,
        received_at=ARRIVAL,
        offsets=[str(n) for n in range(len(bodies))],
        times_us=[BROKER_TIME_US] * len(bodies),
        bodies=bodies,
    )
    return batch, evaluate(batch, bundle)


# --- the property ---------------------------------------------------------------------------------


@pytest.fixture
def copies(db: None) -> None:
    """Temporary tables in front of the real ones, with all their constraints and indexes."""
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"CREATE TEMP TABLE {table} (LIKE public.{table} INCLUDING ALL)")
        cursor.execute("CREATE UNIQUE INDEX ON normalized_transactions (event_key)")


def check(bodies: list[bytes], bundle: CompiledBundle) -> int:
    """Copy a judged batch and compare what comes back; leaves the tables as they were.

    Returns how many events were accepted.
    """
    batch, outcome = judge(bodies, bundle)
    accepted = outcome.accepted.with_columns(
        NUMBERING.expression(), key_hex=pl.col("event_key").bin.encode("hex")
    )
    kept = accepted.filter(accepted["key_hex"].is_first_distinct())
    with transaction.atomic(), connection.cursor() as cursor:
        store.write_transactions(cursor, kept, first_id=NUMBERING.id_of(0), received_at=ARRIVAL)
        failed = store.failed_rows(
            batch, outcome.failed, outcome=outcome, bundle=bundle, numbering=NUMBERING, others={}
        )
        write_items(cursor, failed, origin=_ORIGIN)
        compare_transactions(cursor, kept)
        compare_metrics(cursor, kept)
        cursor.execute("SELECT position, payload, errors FROM failed_items ORDER BY id")
        stored = [(int(at), bytes(payload)) for at, payload, _ in cursor.fetchall()]
        assert stored == [(part.ordinal, bodies[part.ordinal]) for part in outcome.failed]
        transaction.set_rollback(True)
    return kept.height


_ORIGIN: Final = Origin(
    source_id=1,
    partition_name="0",
    bundle_id=1,
    archive_file="any.parquet",
    failed_at=ARRIVAL,
)


def compare_transactions(cursor: Any, kept: pl.DataFrame) -> None:
    cursor.execute(
        "SELECT encode(uuid_send(event_key), 'hex'), received_at, metadata::text,"
        f" {', '.join(name for name in COLUMNS if name != 'metadata')}"
        " FROM normalized_transactions ORDER BY id"
    )
    stored = cursor.fetchall()
    expected = kept.select(
        "key_hex",
        pl.lit(ARRIVAL).alias("received_at"),
        "metadata",
        *(name for name in COLUMNS if name != "metadata"),
    ).rows()
    assert [row[:2] + row[3:] for row in stored] == [row[:2] + row[3:] for row in expected]
    assert [exactly(row[2]) for row in stored] == [exactly(row[2]) for row in expected]
    assert all(isinstance(value, Decimal) for value in kept["amount"].to_list())


def compare_metrics(cursor: Any, kept: pl.DataFrame) -> None:
    cursor.execute(
        "SELECT event_id, metric_type, metric_data::text FROM dynamic_metrics ORDER BY 1, 2"
    )
    stored = [(identifier, kind, exactly(data)) for identifier, kind, data in cursor.fetchall()]
    rows = store.metric_rows(kept).select("event_id", "metric_type", "metric_data").rows()
    assert stored == [(identifier, kind, exactly(data)) for identifier, kind, data in rows]


def exactly(text: str) -> Any:
    """JSON with every number as a Decimal: jsonb spells them its own way."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


some = settings(
    max_examples=150,
    # the tables are left as they were after every example
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@some
@given(bodies=st.lists(events(EVENT, name="id"), min_size=4, max_size=12))
def test_every_kind_of_column_and_attribute(copies, bodies):
    """Whatever a schema with all options of a mapping accepts is stored with the same value."""
    event("accepted some" if check(bodies, OPEN) else "accepted none")


@some
@given(bodies=st.lists(events(TRANSACTION, name="transaction_id"), min_size=4, max_size=12))
def test_the_shipped_schema_and_rules(copies, bodies):
    """Whatever `transaction` accepts is stored, with the metrics of the shipped rules."""
    event("accepted some" if check(bodies, SHIPPED) else "accepted none")


@some
@given(bodies=st.lists(events(EVENT, name="id", others=True), min_size=1, max_size=6))
def test_what_is_refused_is_stored_too(copies, bodies):
    """Errors may name what the producer made up: the failed item is stored with its bytes."""
    event("accepted some" if check(bodies, REFUSING) else "accepted none")


@pytest.mark.parametrize("bundle", [OPEN, REFUSING], ids=["open", "refusing"])
def test_every_odd_value_in_every_place(copies, bundle):
    """Each odd value once in each place of a valid event, as one batch."""
    bodies: list[bytes] = []
    for place in PLACES:
        for value in ODD_VALUES:
            replaced = _replaced(place, value)
            if place != ("id",):
                replaced["id"] = f'"{len(bodies)}"'
            bodies.append(to_json(replaced).encode())

    accepted = check(bodies, bundle)

    assert accepted > 1000 or bundle is REFUSING


def test_a_path_longer_than_its_column_is_stored(copies):
    """A schema may name a path of any length; what fails there must not hold up its partition."""
    path = ".".join(["level"] * 60)
    document = copy.deepcopy(TRANSACTION_SCHEMA)
    document["columns"]["merchant_id"] = {"path": path}
    document["json_schema"]["required"].remove("merchant_id")
    inner: Any = True
    for name in reversed(path.split(".")):
        inner = {name: inner}
    body = (to_json(TRANSACTION)[:-1] + "," + json.dumps(inner)[1:]).encode()
    bundle = bundle_of(document, METRICS_DEFAULT)
    batch, outcome = judge([body], bundle)

    assert outcome.failed[0].errors[0].field == path
    assert check([body], bundle) == 0
    (row,) = store.failed_rows(
        batch, outcome.failed, outcome=outcome, bundle=bundle, numbering=NUMBERING, others={}
    )
    assert (row.field, row.errors[0].field) == (path[:256], path)
