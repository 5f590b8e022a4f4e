"""What configuration knows of a source, for its page: versions, routes, connection, bundles."""

from __future__ import annotations

from typing import Final

from django.apps import apps
from django.utils.safestring import SafeString

from configuration.bundle_parts import links_of
from configuration.models import Source
from configuration.routes import read_route_table
from configuration.sources import shown_setting
from payflow.lib.pages.detail import Button, Card, Head
from payflow.lib.pages.display import count, list_url, moment, mono, pill, row_link

_KINDS: Final = ("schema", "metrics", "compliance")


def source_pill(source: Source) -> SafeString:
    if source.paused_at:
        return pill("warn", "Paused", "pause_circle")
    if source.active_bundle_id is None:
        return pill("bad", "No bundle")
    return pill("ok", "Read")


def reads_by(row: Source) -> list[SafeString | str]:
    """The versions that judge its messages now; names alone while there is no bundle."""
    if row.active_bundle is not None:
        return list(links_of(row.active_bundle))
    names = (row.schema_name, row.metrics_name, row.compliance_name)
    return [f"{kind} {name}" for kind, name in zip(_KINDS, names, strict=True)]


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


def connection_card(row: Source, *, broker: str, edit_url: str) -> Card:
    """How it is connected, without a secret; `edit_url` is for those who may change it."""
    return Card(
        title="Connection",
        facts=[
            ("Type", broker),
            *((name, mono(_shown(value))) for name, value in row.settings.items()),
            ("Created", moment(row.created_at)),
        ],
        more=Button(label="Edit", url=edit_url) if edit_url else None,
    )


def _shown(value: object) -> str:
    """A setting on one line; a mapping as its parts."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_shown(item)}" for name, item in value.items())
    return str(shown_setting(value))


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
        sub="the largest groups",
        facts=[
            (row_link("deadletter.failuregroup", group.pk, str(group)), count(group.count))
            for group in groups.order_by("-count", "pk")[:5]
        ],
        empty="Every message was taken.",
        more=Button(label="All", url=list_url("deadletter.failuregroup", source__id__exact=row.pk)),
    )
