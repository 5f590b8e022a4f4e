from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from metrics.columns import TRANSACTION_COLUMNS
from metrics.extraction import MetricGroup, MetricsExtractor
from metrics.extractors import (
    EXTRACTORS,
    ChannelFailureRateExtractor,
    MetricExtractor,
    MetricType,
    TransactionAmountExtractor,
    TransactionStatusExtractor,
    register,
)
from tests.metrics.tables import transactions


def extract(
    extractor: MetricExtractor, *rows: Mapping[str, Any]
) -> list[dict[MetricType, Mapping[str, Any]]]:
    """metric type -> metric_data of each transaction."""
    group = MetricGroup(owner=extractor.name, metrics=extractor.metrics())
    engine = MetricsExtractor([group], schema=TRANSACTION_COLUMNS)
    result = engine.extract(transactions(*rows))
    assert result.errors == {}
    return [
        {metric.metric_type: metric.metric_data for metric in result.metrics_of(row)}
        for row in range(len(rows))
    ]


@pytest.mark.parametrize("status", ["completed", "failed", "pending", "cancelled", "refunded"])
def test_no_status_has_a_count_that_can_never_match(status):
    """Each status a transaction can have, failed among them, is counted under its own name."""
    [found] = extract(TransactionStatusExtractor(), {"payment_status": status})

    assert found == {MetricType.COUNTER: {f"status_{status}": 1}}


def test_the_amount_is_never_a_float():
    """0.1 + 0.2 and 15 digits before the point arrive with every digit."""
    rows = [{"amount": Decimal("0.3000")}, {"amount": Decimal("999999999999999.9999")}]

    found = extract(TransactionAmountExtractor(), *rows)

    for row, metrics in zip(rows, found, strict=True):
        assert metrics[MetricType.COUNTER] == {"amount_total": row["amount"]}
        assert metrics[MetricType.HISTOGRAM] == {"transaction_amount": row["amount"]}
        assert isinstance(metrics[MetricType.COUNTER]["amount_total"], Decimal)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("failed", {"channel_failure_rate": {"n": 1, "d": 1}}),
        ("completed", {"channel_failure_rate": {"n": 0, "d": 1}}),
        ("pending", None),
        ("cancelled", None),
        ("refunded", None),
    ],
)
def test_the_failure_rate_is_not_a_percentage_of_a_single_event(status, expected):
    """An event gives a numerator and a denominator; undecided ones give neither."""
    [found] = extract(ChannelFailureRateExtractor(), {"payment_status": status})

    assert found.get(MetricType.RATE) == expected


def test_the_named_extractors_are_registered():
    """Rule sets switch the three extractors on by name."""
    assert set(EXTRACTORS) >= {"transaction_status", "transaction_amount", "channel_failure_rate"}


def test_a_name_is_registered_once():
    """A second extractor of the same name would silently replace the first: it is refused."""

    class Impostor(TransactionStatusExtractor):
        pass

    with pytest.raises(ValueError, match="transaction_status"):
        register(Impostor)


def test_an_extractor_says_which_metrics_it_gives():
    """The base class cannot be used by itself."""
    with pytest.raises(TypeError, match="metrics"):
        MetricExtractor()  # type: ignore[abstract]


def test_the_table_knows_the_same_metric_types():
    """What the extractors call a type is what the column metric_type takes."""
    from metrics.models import DynamicMetric

    assert list(MetricType) == DynamicMetric.MetricType.values
