"""Pages of versions, activations and bundles.

Versions change by a new version, bundles by activation: all are only looked at here.
"""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from configuration import source_page
from configuration.bundling import USED_BY
from configuration.models import Activation, Bundle, ConfigurationVersion, Source
from payflow.lib.pages.admin import Empty, ReadOnlyAdmin
from payflow.lib.pages.detail import Card, Detail
from payflow.lib.pages.display import moment, mono, pill, pretty_json, row_link

_VERSION_KINDS = {"active": "ok", "draft": "info", "retired": ""}


@admin.register(ConfigurationVersion)
class ConfigurationVersionAdmin(ReadOnlyAdmin):
    list_display = ("version", "kind", "state", "activated", "created", "author", "note")
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
        return pill(_VERSION_KINDS[row.status], row.get_status_display())

    @display(description="activated")
    def activated(self, row: ConfigurationVersion) -> SafeString:
        return moment(row.activated_at)

    @display(description="created")
    def created(self, row: ConfigurationVersion) -> SafeString:
        return moment(row.created_at)

    def detail(self, request: HttpRequest, row: ConfigurationVersion) -> Detail:  # noqa: ARG002
        users = Source.objects.filter(**{USED_BY[row.kind]: row.name})
        return Detail(
            title=str(row),
            state=self.state(row),
            meta=[row.get_kind_display(), row.note or "no note"],
            main=[Card(title="Document", html=pretty_json(row.document))],
            side=[
                Card(
                    title="Version",
                    facts=[
                        ("Created", moment(row.created_at)),
                        ("Author", str(row.author) if row.author else "shipped"),
                        ("Activated", moment(row.activated_at)),
                        ("SHA-256", mono(row.checksum, shorten=17)),
                    ],
                ),
                Card(title="Went live", facts=[_went_live(a) for a in row.activations.all()[:10]]),
                Card(
                    title="Used by",
                    facts=[
                        (
                            row_link("configuration.source", source.pk, source.name),
                            source_page.source_pill(source),
                        )
                        for source in users
                    ],
                    empty="No source uses this name.",
                ),
            ],
        )


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

    def detail(self, request: HttpRequest, row: Activation) -> Detail:  # noqa: ARG002
        return Detail(
            title=f"{row.version} went live",
            state=pill("info", self.kind(row)),
            meta=[row.version.note or "no note"],
            main=[
                Card(
                    title="Activation",
                    facts=[
                        ("At", moment(row.activated_at)),
                        ("Version", _version_link(row.version)),
                        ("Replaced", self.previous_link(row)),
                        ("By", self.who(row)),
                    ],
                )
            ],
        )


def _version_link(version: ConfigurationVersion) -> SafeString:
    return row_link("configuration.configurationversion", version.pk, str(version))


def _went_live(activation: Activation) -> tuple[SafeString, SafeString]:
    who = activation.activated_by or "a command"
    return moment(activation.activated_at), format_html("by {}", str(who))
