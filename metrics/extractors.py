"""Metrics that are written in Python: named polars expressions per metric type.

An extractor never sees a row: it names expressions once, and the batch is evaluated in columns.
Every one gives a part of the whole (a count, an amount, numerator and denominator), never a
percentage or an average: those are computed when cells are read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import polars as pl


class MetricType(StrEnum):
    """How values of a metric add up."""

    #: adds
    COUNTER = "COUNTER"
    #: min, max and last
    GAUGE = "GAUGE"
    #: adds buckets
    HISTOGRAM = "HISTOGRAM"
    #: two counters, numerator over denominator
    RATE = "RATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One named value per transaction, as expressions over its columns.

    `value` gives a number or a boolean (1 or 0); null means that the transaction has no such
    metric. None stands for the constant 1. A RATE has a `denominator`, and `value` over it.
    """

    name: str
    metric_type: MetricType
    value: pl.Expr | None = None
    denominator: pl.Expr | None = None
    #: only transactions for which this is true have the metric
    where: pl.Expr | None = None


class MetricExtractor(ABC):
    """A named family of metrics; `@register` makes it known to rule sets."""

    #: how rule sets and failures call it
    name: ClassVar[str]

    @abstractmethod
    def metrics(self) -> Sequence[Metric]:
        """The metrics; asked once, when a rule set is compiled."""


#: name -> class of every extractor that a rule set may switch on
EXTRACTORS: dict[str, type[MetricExtractor]] = {}


def register(extractor: type[MetricExtractor]) -> type[MetricExtractor]:
    """Make an extractor known under its name; ValueError when the name is taken."""
    if extractor.name in EXTRACTORS:
        raise ValueError(f"there is already an extractor {extractor.name!r}")
    EXTRACTORS[extractor.name] = extractor
    return extractor


@register
class TransactionStatusExtractor(MetricExtractor):
    """Counts each transaction under its status."""

    name = "transaction_status"

    def metrics(self) -> Sequence[Metric]:
        status = pl.col("payment_status")
        return [
            Metric(
                name=f"status_{word}",
                metric_type=MetricType.COUNTER,
                where=status == word,
            )
            for word in ("completed", "failed", "pending", "cancelled", "refunded")
        ]


@register
class TransactionAmountExtractor(MetricExtractor):
    """The amount, in units of the transaction's own currency, exactly."""

    name = "transaction_amount"

    def metrics(self) -> Sequence[Metric]:
        amount = pl.col("amount")
        return [
            Metric(name="amount_total", metric_type=MetricType.COUNTER, value=amount),
            Metric(name="transaction_amount", metric_type=MetricType.HISTOGRAM, value=amount),
        ]


@register
class ChannelFailureRateExtractor(MetricExtractor):
    """Failed over decided transactions; the channel is the transaction's own column.

    Pending, cancelled and refunded transactions are no verdict on a channel: they count neither
    above nor below.
    """

    name = "channel_failure_rate"

    def metrics(self) -> Sequence[Metric]:
        status = pl.col("payment_status")
        return [
            Metric(
                name="channel_failure_rate",
                metric_type=MetricType.RATE,
                value=status == "failed",
                denominator=pl.lit(1),
                where=status.is_in(["completed", "failed"]),
            )
        ]
