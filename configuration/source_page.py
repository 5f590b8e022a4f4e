"""What the page of a source shows."""

from __future__ import annotations

import re
from typing import Any, Final

from django.apps import apps
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from configuration.bundle_parts import links_of
from configuration.models import Source
from configuration.routes import read_route_table
from payflow.lib.pages.detail import Button, Card, Head, Notice
from payflow.lib.pages.display import count, list_url, moment, mono, pill, row_link, span

_KINDS: Final = ("schema", "metrics", "compliance")
#: what stands between :// and @ in an address: a user and a password
_CREDENTIALS = re.compile(r"://[^@/\s]*@")


def source_pill(source: Source) -> SafeString:
    if source.paused_at:
        return pill("warn", "Paused", "pause_circle")
    if source.active_bundle_id is None:
        return pill("bad", "No bundle")
    return pill("ok", "Read")


def notices(row: Source) -> list[Notice]:
    if not row.paused_at:
        return []
    return [
        Notice(
            kind="warn",
            icon="pause_circle",
            title="Paused by a person",
            text=row.paused_reason or "No reason was given. Its messages wait at the broker.",
        )
    ]


def buttons(request: HttpRequest, row: Source) -> list[Button]:
    if not request.user.has_perm("configuration.change_source"):
        return []
    routes = Button(label="Routes…", url=_url("routes", row), icon="alt_route")
    if row.broker_type == "file":
        return [routes]
    if row.paused_at:
        return [
            routes,
            Button(label="Resume…", url=_url("resume", row), icon="play_arrow", kind="p"),
        ]
    return [routes, Button(label="Pause…", url=_url("pause", row), icon="pause")]


def _url(action: str, row: Source) -> str:
    return reverse(f"admin:configuration_source_{action}", args=[row.pk])


def reads_by(row: Source) -> list[SafeString | str]:
    """The versions that judge its messages now; names alone while there is no bundle."""
    if row.active_bundle is not None:
        return list(links_of(row.active_bundle))
    names = (row.schema_name, row.metrics_name, row.compliance_name)
    return [f"{kind} {name}" for kind, name in zip(_KINDS, names, strict=True)]


def waiting(row: Source) -> list[tuple[str, Any]]:
    partitions = list(_active(row))
    events = sum(partition.lag_events or 0 for partition in partitions)
    return [("Partitions", count(len(partitions))), ("Events waiting", count(events))]


def _active(row: Source) -> QuerySet[Any]:
    return apps.get_model("ingestion.Partition").objects.filter(source=row, state="active")


def routes_cards(row: Source) -> list[Card]:
    """The route table, where there is one."""
    if not row.route_table:
        return []
    table = read_route_table(row.route_table)
    return [
        Card(
            title="Routes",
            sub=f"by {table.label}, the first that takes a message",
            heads=[Head(label="Values"), Head(label="Schema")],
            rows=[
                *((mono(", ".join(route.values)), route.schema) for route in table.rows),
                ("all others", "ignored" if table.ignores_others else "failed as unrouted"),
            ],
        )
    ]


def partitions_card(row: Source) -> Card:
    partitions = apps.get_model("ingestion.Partition").objects.filter(source=row)
    kinds = {"active": "ok", "stopped": "bad", "finished": ""}
    is_file = row.broker_type == "file"
    order = ("-committed_at", "pk") if is_file else (Length("label"), "label", "pk")
    return Card(
        title="Partitions",
        heads=[
            Head(label="Partition"),
            Head(label="State"),
            Head(label="Messages taken", is_number=True),
            Head(label="Lag, events", is_number=True),
            Head(label="Lag, time", is_number=True),
            Head(label="Last commit"),
        ],
        rows=[
            (
                row_link("ingestion.partition", item.pk, item.label or item.name),
                pill(kinds[item.state], item.get_state_display()),
                count(item.sequence_number),
                count(item.lag_events),
                span(item.lag_seconds),
                moment(item.committed_at),
            )
            for item in partitions.order_by("-state", *order)[:100]
        ],
        empty="None yet: a worker adds them once it has reached the broker.",
        more=Button(label="All", url=list_url("ingestion.partition", source__id__exact=row.pk)),
    )


def connection_card(row: Source) -> Card:
    return Card(
        title="Connection",
        facts=[
            ("Type", row.broker_type),
            *(
                (name, mono(_CREDENTIALS.sub("://***@", str(value))))
                for name, value in row.settings.items()
            ),
            ("Created", moment(row.created_at)),
        ],
    )


def bundles_card(row: Source) -> Card:
    return Card(
        title="Bundles",
        sub="what its messages are evaluated under",
        facts=[
            (
                row_link("configuration.bundle", bundle.pk, mono(bundle.hash[:12])),
                pill("ok", "Active")
                if bundle.pk == row.active_bundle_id
                else moment(bundle.created_at),
            )
            for bundle in row.bundles.all()[:5]
        ],
        empty="None: no active schema and rule set fit it.",
    )


def failures_card(row: Source) -> Card:
    groups = apps.get_model("deadletter.FailureGroup").objects.filter(source=row)
    return Card(
        title="Failures",
        facts=[
            (row_link("deadletter.failuregroup", group.pk, str(group)), count(group.count))
            for group in groups.order_by("-last_seen")[:5]
        ],
        empty="Every message was taken.",
        more=Button(label="All", url=list_url("deadletter.failuregroup", source__id__exact=row.pk)),
    )
