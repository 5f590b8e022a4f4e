"""Real notifications of payment providers, taken in by configuration alone (docs/examples)."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from configuration.models import Source
from deadletter.models import FailedItem
from ingestion.ingest import IngestReport, ingest_file
from ingestion.verify import verify
from metrics.models import NormalizedTransaction

pytestmark = pytest.mark.usefixtures("ready")

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
PAY = Path(__file__).parents[1] / "data/pay-rails"


@pytest.fixture
def provider(ready: None, tmp_path: Path) -> Callable[..., IngestReport]:
    """Configure a provider as its page says, and take its notifications in as a file."""

    def take_in(name: str, messages: list[dict[str, Any]], *, source: str) -> IngestReport:
        directory = EXAMPLES / name
        schemas = [
            str(path) for path in sorted(directory.glob("*.yaml")) if "source" not in path.name
        ]
        call_command("configure", "import", *schemas, "--activate", verbosity=0)
        for path in sorted(directory.glob("source*.yaml")):
            call_command("sources", "apply", str(path))
        file = tmp_path / f"{source}.ndjson"
        file.write_text("".join(json.dumps(message) + "\n" for message in messages))
        return ingest_file(file, source=source, stop=threading.Event())

    return take_in


def samples(directory: str) -> dict[str, dict[str, Any]]:
    return {
        path.stem: json.loads(path.read_text()) for path in sorted((PAY / directory).glob("*.json"))
    }


def assert_taken(report: IngestReport, **counts: int) -> None:
    """The counts, nothing failed but what is said, and the database agrees with the archive."""
    found = {
        name: getattr(report, name) for name in ("accepted", "ignored", "duplicates", "failed")
    }
    reasons = list(FailedItem.objects.values_list("reason", "field"))
    assert found == {"duplicates": 0, "failed": 0, **counts}, reasons
    assert verify().is_clean


def payments(**wanted: Any) -> list[tuple[Any, ...]]:
    rows = NormalizedTransaction.objects.filter(**wanted).order_by("id")
    return list(
        rows.values_list("transaction_id", "amount", "currency", "payment_status", "payment_method")
    )


def stripe_event(kind: str, data: dict[str, Any], number: int = 1) -> dict[str, Any]:
    """An event as Stripe's envelope carries it."""
    return {
        "id": f"evt_{number}",
        "object": "event",
        "type": kind,
        "created": 1_658_982_500 + number,
        "livemode": False,
        "data": data,
    }


def test_stripe_charges_and_refunds_go_to_their_schemas_and_the_rest_is_counted(provider):
    """20 kinds of events: three about money, in minor units; nothing fails."""
    data = samples("stripe")
    del data["invoice"]  # an invoice as the API gives it, no event

    report = provider(
        "stripe",
        [stripe_event(kind, body, number) for number, (kind, body) in enumerate(data.items())],
        source="stripe-events",
    )

    assert_taken(report, accepted=3, ignored=len(data) - 3)
    assert payments(transaction_type="refund") == [
        ("re_3LQOJoKXBGcbgpbZ10i9Mg75", Decimal("5.0000"), "USD", "refunded", "card")
    ]
    assert payments(transaction_type="charge.succeeded") == [
        ("ch_chargeid", Decimal("5.0000"), "USD", "completed", "card")
    ]
    assert len(payments(transaction_type="charge.updated")) == 1


def test_a_stripe_refund_above_its_charge_fails_by_name(provider):
    """A check across fields, beside a yen that has no minor units."""
    refund = samples("stripe")["charge.refunded"]
    too_much = json.loads(json.dumps(refund))
    too_much["object"]["amount_refunded"] = 1501
    yen = {"object": {**samples("stripe")["charge.succeeded"]["object"], "currency": "jpy"}}

    report = provider(
        "stripe",
        [
            stripe_event("charge.refunded", too_much, 1),
            stripe_event("charge.succeeded", yen, 2),
        ],
        source="stripe-events",
    )

    assert_taken(report, accepted=1, ignored=0, failed=1)
    assert [amount for _, amount, *_ in payments(currency="JPY")] == [Decimal("500.0000")]
    item = FailedItem.objects.get()
    assert (item.reason, item.field) == ("check_failed", "refunds_within_charge")


def test_paddle_classic_says_money_in_decimal_text(provider):
    """Payments and refunds are taken; what is only about subscriptions is ignored."""
    report = provider("paddle", list(samples("paddle_classic").values()), source="paddle-classic")

    assert_taken(report, accepted=2, ignored=3)
    assert payments() == [
        ("4", Decimal("671.8700"), "USD", "refunded", "unknown"),
        ("2", Decimal("215.1600"), "USD", "completed", "visa"),
    ]


def test_paddle_billing_is_one_event_per_item_with_a_computed_amount(provider):
    """Ten seats at 32.40 and an addon at 108.00, told apart by their prices."""
    report = provider("paddle", list(samples("paddle_billing").values()), source="paddle-billing")

    assert report.read == 1
    assert_taken(report, accepted=2, ignored=0)
    assert [(amount, status) for _, amount, _, status, _ in payments()] == [
        (Decimal("324.0000"), "completed"),
        (Decimal("108.0000"), "completed"),
    ]


def test_braintree_xml_in_base64_is_one_event_per_transaction(provider):
    """Three notifications: ten transactions, three, and none; a redelivery adds nothing."""
    messages = list(samples("braintree").values())

    report = provider("braintree", [*messages, messages[0], messages[1]], source="braintree")

    assert report.read == 5
    assert_taken(report, accepted=13, ignored=1, duplicates=13)
    assert payments(transaction_id="17jt85d2") == [
        ("17jt85d2", Decimal("10.0000"), "USD", "pending", "credit_card")
    ]
    assert len(payments(payment_status="completed")) == 12


def test_a_broken_braintree_payload_fails_with_its_bytes(provider):
    """The form is kept as it came; the reason names the text that carries the event."""
    good = samples("braintree")["subscription_cancelled"]
    bomb = base64.b64encode(b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>').decode()
    messages = [{**good, "bt_payload": "%%%"}, {**good, "bt_payload": bomb}, good]

    report = provider("braintree", messages, source="braintree")

    assert_taken(report, accepted=3, ignored=0, failed=2)
    items = FailedItem.objects.order_by("id")
    assert [(item.reason, item.field) for item in items] == [
        ("invalid_encoding", "bt_payload"),
        ("invalid_xml", "bt_payload"),
    ]
    assert json.loads(bytes(items[0].payload or b""))["bt_payload"] == "%%%"


def test_lemon_squeezy_orders_and_invoices_with_one_id_are_two_payments(provider):
    """JSON:API: the type is part of what is one event; a refund is a third one."""
    report = provider(
        "lemon-squeezy", list(samples("lemon_squeezy").values()), source="lemon-squeezy"
    )

    assert_taken(report, accepted=3, ignored=2)
    assert payments() == [
        ("1", Decimal("58.9900"), "USD", "completed", "unknown"),
        ("1", Decimal("9.9900"), "USD", "refunded", "visa"),
        ("1", Decimal("9.9900"), "USD", "completed", "visa"),
    ]


def test_what_no_route_takes_may_fail_instead(provider, tmp_path: Path):
    """One word of the source's file, applied again: from the next batch on."""
    strict = (EXAMPLES / "lemon-squeezy/source.yaml").read_text().replace("ignored", "failed")
    provider("lemon-squeezy", [], source="lemon-squeezy")
    serial = Source.objects.get(name="lemon-squeezy").bundle_serial
    (tmp_path / "strict.yaml").write_text(strict)
    call_command("sources", "apply", str(tmp_path / "strict.yaml"))
    file = tmp_path / "more.ndjson"
    file.write_text(json.dumps(samples("lemon_squeezy")["subscription_created"]) + "\n")

    report = ingest_file(file, source="lemon-squeezy", stop=threading.Event())

    assert_taken(report, accepted=0, ignored=0, failed=1)
    assert FailedItem.objects.get().reason == "unrouted"
    assert Source.objects.get(name="lemon-squeezy").bundle_serial == serial + 1
