"""The list and the page of compliance findings."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion.models import Batch
from metrics.models import NormalizedTransaction, Violation
from payflow.lib.pages.display import list_url, row_url

FINDINGS = "metrics.violation"
TRANSACTIONS = "metrics.normalizedtransaction"


@pytest.fixture
def found(ingest: Any, event: Any) -> list[Violation]:
    """Two large payments, one of today and one of March, and one in parts of a yen."""
    today = (timezone.now() - timedelta(minutes=9)).isoformat()
    known = {"metadata": {"country": "DE"}}
    ingest(
        [
            event(1, **known, amount=60000, customer_id="C-7", merchant_id="M-7"),
            event(2, **known, amount=70000, timestamp=today),
            event(3, **known, currency="JPY"),
            event(4, **known),
        ]
    )
    return list(Violation.objects.order_by("id"))


def _shown(html: str) -> set[str]:
    return set(re.findall(r'<span class="pf-mono" title="(tx-\d)">', html))


def test_a_finding_names_rule_severity_and_evidence(found, look):
    """Each line leads to the finding and to the passport of its event."""
    large = next(v for v in found if v.transaction_id == "tx-1")

    page = look(list_url(FINDINGS), html=True)

    assert row_url(FINDINGS, large.pk) in page
    assert row_url(TRANSACTIONS, large.event_id) in page
    assert "amount 60000.0000" in page
    assert "tx-4" not in page


def test_filters_and_search_leave_what_was_asked_for(found, look):
    """Ids are compared as a whole."""
    asked: list[tuple[dict[str, str], set[str]]] = [
        ({"rule": "aml_large_amount"}, {"tx-1", "tx-2"}),
        ({"severity__exact": "critical"}, {"tx-1", "tx-2"}),
        ({"family__exact": "data_quality"}, {"tx-3"}),
        ({"rule": "aml_large_amount", "arrived": "24h"}, {"tx-2"}),
        ({"occurred_at_from_0": "2026-03-02", "occurred_at_to_0": "2026-03-02"}, {"tx-1", "tx-3"}),
        ({"q": "tx-1"}, {"tx-1"}),
        ({"q": "C-7"}, {"tx-1"}),
        ({"q": "M-7"}, {"tx-1"}),
        ({"q": "M"}, set()),
        ({"rule": "no_such_rule"}, set()),
    ]

    for query, transactions in asked:
        assert _shown(look(list_url(FINDINGS, **query), html=True)) == transactions, query


def test_under_a_filter_of_time_findings_are_in_its_order(ingest, event, look):
    """The index of event time serves that order and no other."""
    now = timezone.now()
    ingest(
        [
            event(n, amount=60000, timestamp=(now - timedelta(minutes=n * 7 % 50)).isoformat())
            for n in range(1, 9)
        ]
    )

    page = look(list_url(FINDINGS, rule="aml_large_amount", arrived="1h"), html=True)

    times = dict(Violation.objects.values_list("transaction_id", "occurred_at"))
    shown = [times[name] for name in re.findall(r'<span class="pf-mono" title="(tx-\d)">', page)]
    assert len(shown) == 8
    assert shown == sorted(shown, reverse=True)


def test_the_page_of_a_finding_explains_it(found, look):
    """Evidence, the rule as it was then, and ways to the payment and to what is alike."""
    large = next(v for v in found if v.transaction_id == "tx-1")

    page = look(row_url(FINDINGS, large.pk), html=True)

    assert "60000.0000" in page
    assert "amount &gt;= CASE WHEN currency" in page
    assert "A payment of 50,000 units of its currency or more." in page
    assert row_url(TRANSACTIONS, large.event_id) in page
    assert list_url(FINDINGS, q="M-7") in page
    assert list_url(FINDINGS, rule="aml_large_amount") in page


def test_a_finding_outlives_its_event(found, look):
    """Retention drops transactions and batches before findings."""
    large = found[0]
    Batch.objects.all().delete()
    assert "Its definition is gone" in look(row_url(FINDINGS, large.pk))

    NormalizedTransaction.objects.all().delete()

    page = look(row_url(FINDINGS, large.pk))
    assert large.transaction_id in page
    assert "Passport" not in page


def test_no_findings_is_good_news_in_words(ready, look):
    """Not a bare table."""
    assert "No compliance findings" in look(list_url(FINDINGS))


def test_evidence_is_never_markup(ingest, event, look):
    """Ids come from outside."""
    bad = "<script>alert(1)</script>"
    ingest([event(1, amount=60000, customer_id=bad)])

    for url in (list_url(FINDINGS), row_url(FINDINGS, Violation.objects.all()[0].pk)):
        assert bad not in look(url, html=True)
