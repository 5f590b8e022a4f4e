"""What rules are worth: their numbers from metrics, their failures from the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from django.core.cache import cache
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from configuration.rule_worth import Worth
from metrics.explore_metrics import Kind, Metric, known_metrics
from metrics.rule_values import Day, finding_days, metric_days
from payflow.lib.event_id import first_id_at
from payflow.lib.pages.axes import value_text
from payflow.lib.pages.charts import sparkline
from payflow.lib.pages.display import DASH, list_url

#: seconds that a list of rules may be old
_KEPT_S: Final = 15
_DAY: Final = timedelta(days=1)
_ERRORS: Final = """
SELECT failed.key, sum((failed.value ->> 'count')::bigint)::bigint
FROM batches, jsonb_each(rule_failures) AS failed
WHERE id >= %(since)s AND rule_failures IS NOT NULL GROUP BY 1
"""


def worth_of(kind: str, rules: Collection[str]) -> Mapping[str, Worth]:
    """The last day of the rules; of those without any number too."""
    known: dict[str, Worth] | None = cache.get(f"rule-worth-{kind}")
    if known is None:
        now = timezone.now()
        known = _findings(now) if kind == "compliance" else _metrics(now)
        cache.set(f"rule-worth-{kind}", known, _KEPT_S)
    return {rule: known[rule] for rule in rules if rule in known}


def _metrics(now: datetime) -> dict[str, Worth]:
    metrics = [metric for metric in known_metrics().values() if metric.rule]
    days, errors = metric_days(metrics, now), _errors(now)
    return {
        metric.rule: _metric_worth(metric, days.get(metric.rule, Day()), errors[metric.rule])
        for metric in metrics
    }


def _metric_worth(metric: Metric, day: Day, errors: int) -> Worth:
    value, unit = day.now, day.currency
    if metric.kind is Kind.RATE:
        value, unit = None if value is None else value * 100, "%"
    text = value_text(value, unit)
    if metric.kind is Kind.HISTOGRAM and value is not None:
        text = f"p95 {text}"
    return Worth(
        value=text,
        spark=sparkline(day.hours),
        events=day.events,
        errors=errors,
        url=f"{reverse('explore')}?{urlencode({'metric': metric.name})}",
    )


def _findings(now: datetime) -> dict[str, Worth]:
    days, errors = finding_days(now), _errors(now)
    return {
        rule: Worth(
            value=value_text(days[rule].now) if rule in days else DASH,
            spark=sparkline(days[rule].hours if rule in days else []),
            events=days[rule].events if rule in days else 0,
            errors=errors[rule],
            url=list_url("metrics.violation", rule=rule),
        )
        for rule in {*days, *errors}
    }


def _errors(now: datetime) -> Counter[str]:
    """Rule -> events of the last day that it could not be computed for."""
    with connection.cursor() as cursor:
        cursor.execute(_ERRORS, {"since": first_id_at(now - _DAY)})
        return Counter(dict(cursor.fetchall()))
