"""Pages of what went live and when, and of who did what to the configuration."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AllValuesCheckboxFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from configuration import page_parts
from configuration.activation import sources_of
from configuration.models import Activation, AuditEntry, ConfigurationVersion
from configuration.version_cards import changes_between, compare_url
from payflow.lib.pages.admin import Empty, ReadOnlyAdmin
from payflow.lib.pages.detail import Button, Card, Detail
from payflow.lib.pages.display import UNKNOWN, joined, moment, pill, row_link


@admin.register(Activation)
class ActivationAdmin(ReadOnlyAdmin):
    """What went live and when: the marks on time axes."""

    page_template = "payflow/activation.html"
    list_display = ("went_live", "version_link", "kind", "how", "previous_link", "who", "why")
    list_filter = (
        ("version__kind", ChoicesDropdownFilter),
        ("is_rollback", BooleanRadioFilter),
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

    @display(description="how")
    def how(self, row: Activation) -> SafeString:
        if row.is_rollback:
            return pill("warn", "Rolled back", "undo")
        if row.override_reason:
            return pill("warn", "Past the gate", "warning")
        return pill("ok", "Activated")

    @display(description="replaced")
    def previous_link(self, row: Activation) -> SafeString | str:
        return _version_link(row.previous) if row.previous else "nothing, it is the first"

    @display(description="by")
    def who(self, row: Activation) -> str:
        return str(row.activated_by) if row.activated_by else "a command"

    @display(description="why")
    def why(self, row: Activation) -> str | SafeString:
        return row.reason or row.version.note or UNKNOWN

    def detail(self, request: HttpRequest, row: Activation) -> Detail:
        main = page_parts.activation_cards(request, row)
        if row.previous is not None:
            main.append(changes_between(row.version, row.previous))
        side = [self._facts(row), _sources_card(row)]
        return Detail(
            title=f"{row.version} went live",
            state=self.how(row),
            meta=[self.kind(row), joined([moment(row.activated_at), "by", self.who(row)])],
            buttons=_back_button(request, row),
            main=main or side,
            side=side if main else (),
        )

    def _facts(self, row: Activation) -> Card:
        said = (
            ("Approved by", str(row.approved_by) if row.approved_by else ""),
            ("Why", row.reason),
            ("Past the gate because", row.override_reason),
        )
        return Card(
            title="Activation",
            facts=[
                ("At", moment(row.activated_at, ms=True)),
                ("Version", _version_link(row.version)),
                ("Replaced", self.previous_link(row)),
                ("By", self.who(row)),
                *((label, text) for label, text in said if text),
            ],
        )


def _sources_card(row: Activation) -> Card:
    return Card(
        title="Sources",
        sub="that got another bundle by it",
        facts=[
            (
                row_link("configuration.source", source.pk, source.name),
                f"serial {row.serials[str(source.pk)]}",
            )
            for source in sources_of(row)
        ],
        empty="None used it then.",
    )


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what to the configuration. Held unchangeable by the database."""

    list_display = ("when", "who", "what", "subject", "more")
    list_filter = (
        ("action", AllValuesCheckboxFilter),
        ("actor", RelatedDropdownFilter),
        ("at", RangeDateTimeFilter),
    )
    list_select_related = ("actor", "version")
    search_fields = ("target",)
    search_scope = "Entries are found by a part of what was acted on."
    empty = Empty(
        title="Nothing was changed yet",
        text="Whatever changes the configuration is kept here, for good.",
        icon="policy",
    )

    @display(description="at")
    def when(self, row: AuditEntry) -> SafeString:
        return moment(row.at)

    @display(description="by")
    def who(self, row: AuditEntry) -> str:
        return str(row.actor) if row.actor else "payflow"

    @display(description="did")
    def what(self, row: AuditEntry) -> str:
        return row.action

    @display(description="what")
    def subject(self, row: AuditEntry) -> SafeString | str:
        return _version_link(row.version, row.target) if row.version else row.target

    @display(description="more")
    def more(self, row: AuditEntry) -> str | SafeString:
        said = [
            f"{_in_words(key)} {value}"
            for key, value in row.details.items()
            if _is_said(key, value)
        ]
        return ", ".join(said) or UNKNOWN

    def detail(self, request: HttpRequest, row: AuditEntry) -> Detail:  # noqa: ARG002
        return Detail(
            title=f"{self.who(row)} {row.action} {row.target}",
            meta=[moment(row.at)],
            main=[
                Card(
                    title="Entry",
                    facts=[
                        ("At", moment(row.at, ms=True)),
                        ("By", self.who(row)),
                        ("Did", row.action),
                        ("What", self.subject(row)),
                        *(
                            (_in_words(key).capitalize(), _shown(key, value))
                            for key, value in row.details.items()
                        ),
                    ],
                )
            ],
        )


def _in_words(key: str) -> str:
    return key.replace("_", " ")


def _is_said(key: str, value: Any) -> bool:
    return bool(value) and key not in ("checksum", "activation")


def _shown(key: str, value: Any) -> Any:
    if key == "activation":
        return row_link("configuration.activation", value)
    return str(value) if value not in (None, "") else UNKNOWN


def _back_button(request: HttpRequest, row: Activation) -> list[Button]:
    """Roll back to what it replaced, while it is the one that is live."""
    buttons = []
    if row.previous is not None:
        buttons.append(
            Button(label="Compare", url=compare_url(row.version, row.previous), icon="difference")
        )
    may = request.user.has_perm("configuration.rollback_configurationversion")
    is_last = row.version.status == ConfigurationVersion.Status.ACTIVE and (
        row == row.version.activations.first()
    )
    if may and is_last and row.previous is not None and not row.is_rollback:
        url = reverse("admin:configuration_configurationversion_rollback", args=[row.previous_id])
        label = f"Roll back to v{row.previous.number}…"
        buttons.append(Button(label=label, url=url, icon="undo", kind="d"))
    return buttons


def _version_link(version: ConfigurationVersion, text: str = "") -> SafeString:
    return row_link("configuration.configurationversion", version.pk, text or str(version))
