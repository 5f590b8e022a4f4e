"""What changed when: activations and new releases, as marks on the axes of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from configuration.models import Activation, Deployment
from payflow.lib.pages.display import list_url, row_url
from payflow.lib.pages.line_charts import Mark

#: marks nearer than this share of the axis are one: their labels would lie on each other
_APART: Final = 0.12
_KINDS: Final = {"schema": "Schema", "metrics": "Metric rules", "compliance": "Compliance"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change: what a mark says, and the page about it."""

    at: datetime
    label: str
    url: str
    is_activation: bool = False


def changes_between(since: datetime, until: datetime) -> list[Change]:
    """Everything that changed in a span, oldest first.

    The first release of all is the installation, and no change.
    """
    activations = Activation.objects.filter(activated_at__gte=since, activated_at__lt=until)
    changes = [_went_live(row) for row in activations.select_related("version")]
    releases = list(Deployment.objects.filter(first_seen_at__lt=until).order_by("first_seen_at"))
    changes += [_deployed(row) for row in releases[1:] if row.first_seen_at >= since]
    return sorted(changes, key=lambda change: change.at)


def marks_of(
    changes: Iterable[Change],
    *,
    since: datetime,
    until: datetime,
    more: str = "",
    apart: float = _APART,
) -> list[Mark]:
    """Marks on an axis; what lies too near is one, whose label counts and leads to `more`.

    `apart`: the share of the axis between two of them, at least; more of it on a narrow chart.
    """
    length = until - since
    heaps: list[list[Change]] = []
    for change in sorted(changes, key=lambda change: change.at):
        if heaps and (change.at - heaps[-1][0].at) / length < apart:
            heaps[-1].append(change)
        else:
            heaps.append([change])
    return [_mark(heap, (heap[0].at - since) / length, more) for heap in heaps]


def _mark(heap: list[Change], at: float, more: str) -> Mark:
    first, *rest = heap
    if not rest:
        return Mark(at, first.label, first.url)
    word = "activations" if all(change.is_activation for change in heap) else "changes"
    return Mark(at, f"{len(heap)} {word}", more or list_url("configuration.activation"))


def _went_live(row: Activation) -> Change:
    return Change(
        at=row.activated_at,
        label=f"{_KINDS[row.version.kind]} v{row.version.number}",
        url=row_url("configuration.configurationversion", row.version_id),
        is_activation=True,
    )


def _deployed(row: Deployment) -> Change:
    return Change(
        at=row.first_seen_at, label=str(row)[:24], url=list_url("configuration.activation")
    )
