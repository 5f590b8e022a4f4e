"""Files that nobody here wrote, and lines that nobody should have written."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from django.core.management import call_command
from django.db.models import Sum

from deadletter.models import FailedItem, FailureCount, FailureGroup
from ingestion import archive
from ingestion.ingest import IngestReport, ingest_file
from ingestion.models import Batch
from ingestion.verify import verify
from metrics.models import NormalizedTransaction, PaymentMetrics1h, PaymentMetrics5m
from tests.ingestion.broken import NAUGHTY, broken_line

pytestmark = pytest.mark.usefixtures("ready")

ROOT = Path(__file__).parents[2]
STRIPE = Path(__file__).parents[1] / "data/stripe"
#: larger sets that this repository may not carry; they lie beside it where they are
SHARED = ROOT.parent / "shared/data"
CARDS = SHARED / "fdh-card-fraud"
CENT = Decimal("0.01")

needs_cards = pytest.mark.skipif(
    not CARDS.is_dir(), reason="the card data set (shared/data/fdh-card-fraud) is not here"
)


@pytest.fixture
def cards_schema(ready: None) -> None:
    """The schema of the card data set, as its user imports it."""
    call_command(
        "configure", "import", str(ROOT / "docs/examples/fdh-card-fraud.yaml"), "--activate"
    )


def take_in(path: Path, *, schema: str) -> IngestReport:
    return ingest_file(path, schema=schema, stop=threading.Event())


def assert_clean() -> None:
    report = verify()
    assert report.listed == []
    assert report.is_clean


# --- card payments --------------------------------------------------------------------------------


def assert_cards_are_stored(rows: pl.DataFrame) -> None:
    """Every table has the sum that plain Python computes from the rows."""
    amounts = [
        Decimal(repr(amount)).quantize(CENT, ROUND_HALF_EVEN)
        for amount in rows["TX_AMOUNT"].to_list()
    ]
    transactions = NormalizedTransaction.objects.aggregate(n=Sum("amount"))["n"]
    assert transactions == sum(amounts)
    for table in (PaymentMetrics5m, PaymentMetrics1h):
        sums = table.objects.aggregate(n=Sum("transaction_count"), amount=Sum("amount_sum"))
        assert (sums["n"], sums["amount"]) == (len(amounts), sum(amounts))
    frauds = NormalizedTransaction.objects.filter(metadata__fraud=True).count()
    assert frauds == sum(rows["TX_FRAUD"].to_list())


@needs_cards
def test_a_cut_of_the_card_data_set_is_exact(cards_schema, tmp_path):
    """The last 5,000 of its payments, with amounts that went through binary floats."""
    (whole,) = CARDS.glob("*.parquet")
    rows = pl.read_parquet(whole).tail(5_000)
    path = tmp_path / "cut.parquet"
    rows.write_parquet(path)

    report = take_in(path, schema="fdh-card-fraud")

    assert (report.read, report.accepted, report.failed) == (5_000, 5_000, 0)
    assert_cards_are_stored(rows)
    row = rows.row(17, named=True)
    stored = NormalizedTransaction.objects.get(transaction_id=str(row["TRANSACTION_ID"]))
    assert stored.occurred_at.replace(tzinfo=None) == row["TX_DATETIME"]
    assert (stored.customer_id, stored.merchant_id) == (
        str(row["CUSTOMER_ID"]),
        str(row["TERMINAL_ID"]),
    )
    assert_clean()


@needs_cards
@pytest.mark.slow
def test_the_card_data_set_is_exact_and_taken_once(cards_schema):
    """134,288 accepted, sums exact to the cent; the second run reads nothing."""
    (path,) = CARDS.glob("*.parquet")

    first = take_in(path, schema="fdh-card-fraud")
    again = take_in(path, schema="fdh-card-fraud")

    assert (first.read, first.parts, first.accepted) == (134_288,) * 3
    assert (first.failed, first.ignored, first.duplicates) == (0, 0, 0)
    assert (again.read, again.parts, again.accepted) == (0, 0, 0)
    assert_cards_are_stored(pl.read_parquet(path))
    assert Batch.objects.aggregate(n=Sum("messages"))["n"] == 134_288
    assert_clean()


# --- Stripe ---------------------------------------------------------------------------------------


def stripe_objects(directory: Path) -> list[dict[str, Any]]:
    """All objects of the samples, in the order of their names."""
    found: list[dict[str, Any]] = []
    for path in sorted(directory.rglob("*.json")):
        value = json.loads(path.read_text(encoding="utf-8"))
        found += value["resources"].values() if "resources" in value else [value]
    return found


def minor(charge: dict[str, Any]) -> Decimal:
    """All charges of the samples are in US dollars, which have cents."""
    assert charge["currency"] == "usd"
    return Decimal(charge["amount"]) / 100


@pytest.mark.parametrize(
    "directory",
    [
        STRIPE,
        pytest.param(
            SHARED / "stripe",
            marks=pytest.mark.skipif(
                not (SHARED / "stripe").is_dir(), reason="shared/data/stripe is not here"
            ),
        ),
    ],
    ids=["sample", "whole"],
)
def test_stripe_charges_are_taken_and_all_other_objects_ignored(ingest, directory):
    """Amounts in minor units become exact major ones; a charge that is none is failed."""
    objects = stripe_objects(directory)
    charges = [o for o in objects if o.get("object") == "charge"]
    good = [c for c in charges if isinstance(c["amount"], int)]
    # one fixture has "10.00" where the API has cents: nobody guesses what was meant
    odd = [c for c in charges if c not in good]
    assert (len(good), len(odd)) == (2, 1)

    report = ingest(objects, schema="stripe")

    assert (report.read, report.accepted, report.failed) == (len(objects), 2, 1)
    assert report.ignored == len(objects) - 3
    stored = {t.transaction_id: t for t in NormalizedTransaction.objects.all()}
    assert {key: t.amount for key, t in stored.items()} == {c["id"]: minor(c) for c in good}
    assert {t.currency for t in stored.values()} == {"USD"}
    for charge in good:
        assert stored[charge["id"]].occurred_at.timestamp() == charge["created"]
    item = FailedItem.objects.get()
    assert (item.reason, item.field) == ("wrong_type", "amount")
    assert json.loads(bytes(item.payload or b"")) == odd[0]
    verdicts = Counter(archive.read(Batch.objects.get().file)["verdict"].to_list())
    assert verdicts["ignored"] == report.ignored
    assert_clean()


# --- broken lines ---------------------------------------------------------------------------------


def test_ten_thousand_broken_lines_fail_alone_with_their_own_bytes(ingest, event):
    """Each has its reason and its bytes; 1,000 good events between them are taken as if alone."""
    broken = [broken_line(n, event(n)) for n in range(10_000)]
    names = [t for t in NAUGHTY if t not in ("", "NONE", "NOT_SET") and len(t) <= 256]
    good = [
        event(n, transaction_id=f"{n}{names[n % len(names)]}", amount=f"{n}.{n % 97:02d}")
        for n in range(1, 1001)
    ]
    lines: list[bytes | dict[str, Any]] = [b.body for b in broken]
    for place, message in zip(
        sorted(random.Random(7).sample(range(10_000), 1000)), good, strict=True
    ):
        lines.insert(place, message)

    report = ingest(lines)

    assert (report.read, report.accepted, report.failed) == (11_000, 1_000, 10_000)
    items = list(FailedItem.objects.order_by("id"))
    assert [bytes(i.payload or b"") for i in items] == [b.body for b in broken]
    wrong = {
        (b.kind, item.reason, item.field)
        for b, item in zip(broken, items, strict=True)
        if item.reason not in b.reasons
    }
    assert wrong == set()
    assert Batch.objects.count() > 1
    groups = dict(FailureGroup.objects.values_list("id", "count"))
    assert groups == Counter(item.group_id for item in items)
    assert FailureCount.objects.aggregate(n=Sum("count"))["n"] == 10_000
    assert_good_ones_are_stored(good)
    assert_clean()


def assert_good_ones_are_stored(good: list[dict[str, Any]]) -> None:
    stored = dict(NormalizedTransaction.objects.values_list("transaction_id", "amount"))
    assert stored == {g["transaction_id"]: Decimal(g["amount"]) for g in good}
    total = sum(Decimal(g["amount"]) for g in good)
    for table in (PaymentMetrics5m, PaymentMetrics1h):
        sums = table.objects.aggregate(n=Sum("transaction_count"), amount=Sum("amount_sum"))
        assert (sums["n"], sums["amount"]) == (1_000, total)
