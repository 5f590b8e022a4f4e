"""Pages of versions, activations and bundles.

Versions change by a new version, bundles by activation: all are only looked at here.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from configuration import page_parts
from configuration.models import Activation, Bundle, ConfigurationVersion
from configuration.version_actions import VersionActions
from configuration.version_history import author_of, state_pill
from configuration.version_page import page_context
from payflow.lib.pages.admin import Empty, ReadOnlyAdmin
from payflow.lib.pages.detail import Card, Detail
from payflow.lib.pages.display import joined, moment, mono, pill, pretty_json, row_link


@admin.register(ConfigurationVersion)
class ConfigurationVersionAdmin(VersionActions):
    list_display = ("version", "kind", "state", "activated", "saved", "by", "note")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("status", ChoicesDropdownFilter),
    )
    list_select_related = ("author",)
    search_fields = ("name",)
    search_scope = "Versions are found by a part of their name."
    empty = Empty(
        title="No version yet",
        text="The shipped schemas and rules become the first ones with:",
        command="manage.py load_defaults",
        icon="schema",
    )

    @display(description="version")
    def version(self, row: ConfigurationVersion) -> str:
        return str(row)

    @display(description="state")
    def state(self, row: ConfigurationVersion) -> SafeString:
        if row.is_draft and row.problems:
            return joined([state_pill(row), pill("bad", "Wrong")])
        return state_pill(row)

    @display(description="activated")
    def activated(self, row: ConfigurationVersion) -> SafeString:
        return moment(row.activated_at)

    @display(description="saved")
    def saved(self, row: ConfigurationVersion) -> SafeString:
        return moment(row.saved_at)

    @display(description="by")
    def by(self, row: ConfigurationVersion) -> str:
        return author_of(row)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None or not self.has_view_permission(request, row):
            return super().change_view(request, object_id, form_url, extra_context)
        context = page_context(request, row)
        return self.render_page(request, "payflow/version.html", row, **context)


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
            title=mono(row.hash[:12]),
            state=self.is_active(row),
            meta=[self.schema(row), self.metrics(row), f"compliance {self.compliance(row)}"],
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


@admin.register(Activation)
class ActivationAdmin(ReadOnlyAdmin):
    """What went live and when: the marks on time axes."""

    list_display = ("went_live", "version_link", "kind", "previous_link", "who")
    list_filter = (
        ("version__kind", ChoicesDropdownFilter),
        ("activated_at", RangeDateTimeFilter),
    )
    list_select_related = ("version", "previous", "activated_by")
    search_fields = ("version__name",)
    search_scope = "Activations are found by a part of the version's name."
    empty = Empty(
        title="Nothing went live yet",
        text="Activating a version of a schema or rule set is kept here.",
        command="manage.py configure import FILE --activate",
        icon="history",
    )

    @display(description="went live")
    def went_live(self, row: Activation) -> SafeString:
        return moment(row.activated_at)

    @display(description="version")
    def version_link(self, row: Activation) -> SafeString:
        return _version_link(row.version)

    @display(description="kind")
    def kind(self, row: Activation) -> str:
        return row.version.get_kind_display()

    @display(description="replaced")
    def previous_link(self, row: Activation) -> SafeString | str:
        return _version_link(row.previous) if row.previous else "nothing, it is the first"

    @display(description="by")
    def who(self, row: Activation) -> str:
        return str(row.activated_by) if row.activated_by else "a command"

    def detail(self, request: HttpRequest, row: Activation) -> Detail:
        return Detail(
            title=f"{row.version} went live",
            state=pill("info", self.kind(row)),
            meta=[row.version.note or "no note"],
            main=[
                *page_parts.activation_cards(request, row),
                Card(
                    title="Activation",
                    facts=[
                        ("At", moment(row.activated_at)),
                        ("Version", _version_link(row.version)),
                        ("Replaced", self.previous_link(row)),
                        ("By", self.who(row)),
                    ],
                ),
            ],
        )


def _version_link(version: ConfigurationVersion) -> SafeString:
    return row_link("configuration.configurationversion", version.pk, str(version))


def _went_live(activation: Activation) -> tuple[SafeString, SafeString]:
    who = activation.activated_by or "a command"
    return moment(activation.activated_at), format_html("by {}", str(who))
