"""From a group or a step to the list of what is behind it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from django.utils import timezone

from metrics.builtin import VIOLATIONS
from metrics.explore_metrics import Metric
from payflow.lib.pages.display import list_url

#: dimension -> filter of the transactions' list
_TRANSACTIONS: Final = {
    "payment_status": "payment_status",
    "currency": "currency",
    "payment_method": "payment_method",
    "channel": "channel",
    "processor": "processor",
    "error_code": "error_code",
    "merchant_id": "merchant_id",
    "customer_id": "customer_id",
}
#: dimension of the built-in metric "violations" -> filter of the findings' list
_FINDINGS: Final = {"severity": "severity__exact", "rule": "rule"}


def events_url(
    metric: Metric, values: Mapping[str, str], *, since: datetime, until: datetime
) -> str:
    """The transactions (of "violations": the findings) of a range of event time and a group.

    The list has no filter for some dimensions, and none for a rule's formula: it then shows more
    than the metric counts, never less. A time of hours is in the local zone, the end excluded.
    """
    is_finding = metric.rule == VIOLATIONS
    names = _FINDINGS if is_finding else _TRANSACTIONS
    low, high = timezone.localtime(since), timezone.localtime(until)
    query = {
        "occurred_at_from_0": f"{low:%Y-%m-%d}",
        "occurred_at_from_1": f"{low:%H:%M:%S}",
        "occurred_at_to_0": f"{high:%Y-%m-%d}",
        "occurred_at_to_1": f"{high:%H:%M:%S}",
        **{names[name]: value for name, value in values.items() if name in names and value},
    }
    model = "metrics.violation" if is_finding else "metrics.normalizedtransaction"
    return list_url(model, **query)
