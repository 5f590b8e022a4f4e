"""The proof that a version has arrived: a card with each live worker, that renews itself."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from configuration.models import Activation, ConfigurationVersion
from ingestion.propagation import (
    Propagation,
    Worker,
    answers_to,
    is_in_force,
    propagation_of,
)
from payflow.lib.pages.detail import Card, Head
from payflow.lib.pages.display import joined, moment, mono, pill, row_link

_PERMISSION: Final = "configuration.view_configurationversion"
#: seconds between two looks while workers have yet to answer, and while only batches are awaited
_WAITING_S: Final = 1
_QUIET_S: Final = 5
#: a card goes on looking for so long after the activation: a partition may stay empty for hours
_FOLLOWED_S: Final = 600


def version_card(request: HttpRequest, version: ConfigurationVersion) -> Card | None:
    """For the page of the active version."""
    if version.status != ConfigurationVersion.Status.ACTIVE:
        return None
    activation = version.activations.select_related("activated_by", "approved_by").first()
    return None if activation is None else activation_card(request, activation)


def activation_card(request: HttpRequest, activation: Activation) -> Card | None:
    """For the page of an activation; None when no source was given another bundle."""
    if not activation.serials or not request.user.has_perm(_PERMISSION):
        return None
    if not is_in_force(activation):
        return _past_card(activation)
    return _card(propagation_of(activation), now=timezone.now())


def _card(found: Propagation, *, now: datetime) -> Card:
    version, total = found.activation.version, len(found.workers)
    if found.refused:
        title, tone, state = f"{len(found.refused)} of {total} workers refuse {version}", "bad", ""
    elif not total:
        title, tone, state = f"No worker is alive to run {version}", "warn", "Waiting"
    elif found.is_everywhere:
        title, tone, state = f"Every worker runs {version}", "ok", "Live"
    else:
        title, tone, state = f"{found.running} of {total} workers run {version}", "warn", "Arriving"
    return Card(
        title=title,
        sub=_summary(found),
        tone=tone,
        corner=pill(tone, state or "Refused"),
        html=_workers(found, now=now),
        foot=_foot(found.activation),
    )


def _summary(found: Propagation) -> str:
    """`7 of 7 in 0.84 s, slowest worker 6; no batch mixed two versions`."""
    slowest = found.slowest
    if slowest is None or slowest.seconds is None:
        return ", ".join(found.sources)
    took = f"{found.running} of {len(found.workers)} in {slowest.seconds:.2f} s"
    name = f", slowest worker {slowest.slot}" if found.running > 1 else ""
    return f"{took}{name}; each batch is of one version"


def _workers(found: Propagation, *, now: datetime) -> SafeString:
    age = (now - found.activation.activated_at).total_seconds()
    every = 0
    if not found.is_everywhere:
        every = _WAITING_S if age < _FOLLOWED_S else _QUIET_S
    elif not found.is_told and age < _FOLLOWED_S:
        every = _QUIET_S
    slowest = found.slowest
    scale = max(1.0, (slowest.seconds or 0.0) if slowest else 0.0)
    return SafeString(
        render_to_string(
            "payflow/propagation.html",
            {
                "workers": [_shown(worker, scale, len(found.sources)) for worker in found.workers],
                "version": found.activation.version,
                "url": reverse("propagation-live", args=[found.activation.pk]),
                "every": every,
                "sources": found.sources,
            },
        )
    )


def _shown(worker: Worker, scale: float, sources: int) -> dict[str, object]:
    """What the template shows of a worker; `scale` is the length of a full bar in seconds."""
    return {
        "slot": worker.slot,
        "link": row_link("ingestion.drainer", worker.slot, f"worker {worker.slot}"),
        "owner": worker.owner,
        "state": "bad" if worker.problem else "ok" if worker.has_answered else "wait",
        "seconds": f"{worker.seconds:.2f}" if worker.seconds is not None else "",
        "share": f"{min(100.0, 100 * worker.seconds / scale):.1f}" if worker.seconds else "",
        "problem": worker.problem,
        "partitions": [
            {
                "name": f"{first.source} {first.partition}" if sources > 1 else first.partition,
                "link": row_link(
                    "ingestion.batch", first.batch_id, mono(first.position, shorten=18)
                )
                if first.batch_id
                else "",
            }
            for first in worker.partitions
        ],
    }


def _foot(activation: Activation) -> SafeString:
    parts: list[object] = [
        format_html(
            "{} {}{}.",
            "Rolled back" if activation.is_rollback else "Activated",
            moment(activation.activated_at, ms=True),
            f" by {activation.activated_by}" if activation.activated_by else "",
        )
    ]
    if activation.reason:
        parts.append(f"Reason: \N{LEFT DOUBLE QUOTATION MARK}{activation.reason}\u201d.")
    if activation.approved_by:
        parts.append(f"Approved by {activation.approved_by}.")
    return format_html(
        '<span>{}</span><span class="r">{}</span>',
        joined(parts),
        row_link("configuration.activation", activation.pk, f"Activation {activation.pk}"),
    )


def _past_card(activation: Activation) -> Card:
    """Of an activation that another has replaced: what workers answered then."""
    return Card(
        title="What workers answered",
        sub=f"{activation.version} has been replaced since",
        heads=[
            Head(label="Worker"),
            Head(label="Source"),
            Head(label="Took", is_number=True),
            Head(label="Problem"),
        ],
        rows=[
            (
                mono(answer.owner, shorten=32),
                answer.source.name,
                f"{(answer.acknowledged_at - activation.activated_at).total_seconds():.2f} s",
                answer.problem or "none",
            )
            for answer in answers_to(activation)
        ],
        empty="No worker was alive, or the next activation came before any had looked.",
        fold=10,
    )
