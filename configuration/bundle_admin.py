"""Pages of bundles: what evaluation needs of one source, frozen."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from configuration.bundle_parts import links_of
from configuration.models import Bundle
from payflow.lib.pages.admin import Empty, ReadOnlyAdmin
from payflow.lib.pages.detail import Card, Detail
from payflow.lib.pages.display import moment, mono, pill, pretty_json, row_link


@admin.register(Bundle)
class BundleAdmin(ReadOnlyAdmin):
    list_display = (
        "short_hash",
        "source",
        "schema",
        "metrics",
        "compliance",
        "is_active",
        "created",
    )
    list_filter = (("source", RelatedDropdownFilter),)
    list_select_related = ("source",)
    empty = Empty(
        title="No bundle yet",
        text="A bundle is what evaluation needs for one source. It follows from what is active.",
        icon="deployed_code",
    )

    @display(description="bundle")
    def short_hash(self, row: Bundle) -> SafeString:
        return mono(row.hash[:12])

    @display(description="schema")
    def schema(self, row: Bundle) -> str:
        return f"{row.schema['name']} v{row.schema['version']}"

    @display(description="compliance")
    def compliance(self, row: Bundle) -> str:
        part = row.content.get("compliance")
        return f"{part['name']} v{part['version']}" if part else "none"

    @display(description="metrics")
    def metrics(self, row: Bundle) -> str:
        return f"{row.content['metrics']['name']} v{row.content['metrics']['version']}"

    @display(description="state")
    def is_active(self, row: Bundle) -> SafeString:
        return pill("ok", "Active") if row.source.active_bundle_id == row.pk else pill("", "Past")

    @display(description="created")
    def created(self, row: Bundle) -> SafeString:
        return moment(row.created_at)

    def detail(self, request: HttpRequest, row: Bundle) -> Detail:  # noqa: ARG002
        return Detail(
            title=format_html("Bundle {}", mono(row.hash[:12])),
            state=self.is_active(row),
            meta=[row_link("configuration.source", row.source_id, row.source), *links_of(row)],
            main=[Card(title="Content", html=pretty_json(row.content))],
            side=[
                Card(
                    title="Bundle",
                    facts=[
                        ("Source", row_link("configuration.source", row.source_id, row.source)),
                        ("Created", moment(row.created_at)),
                        ("Engine version", str(row.content["engine_version"])),
                        ("SHA-256", mono(row.hash, shorten=17)),
                    ],
                )
            ],
        )
