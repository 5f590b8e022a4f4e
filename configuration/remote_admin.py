"""Pages of documents that are kept elsewhere: how each stands to what is active here."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from configuration import audit
from configuration.models import RemoteDocument
from configuration.remote.drift import Drift, drifts, places
from payflow.lib.env import BadEnvironment
from payflow.lib.pages.admin import Empty, ReadOnlyAdmin
from payflow.lib.pages.detail import Button, Card, Confirmation, Detail, Head, Notice
from payflow.lib.pages.display import joined, list_url, moment, mono, pill, row_link, text_or_dash

_PLACES: Final = {"directory": "Directory", "app_configuration": "Azure"}
_PILLS: Final = {
    "same": ("ok", "In use"),
    "waits": ("warn", "Waits for a person"),
    "refused": ("bad", "Refused"),
    "differs": ("warn", "Another is active"),
    "gone": ("warn", "No longer there"),
}


class PlaceFilter(DropdownFilter):
    title = "place"
    parameter_name = "place"
    all_option = ["", "All places"]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return list(_PLACES.items())

    def queryset(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[RemoteDocument],
    ) -> QuerySet[RemoteDocument]:
        return queryset.filter(origin=self.value()) if self.value() in _PLACES else queryset


@admin.register(RemoteDocument)
class RemoteDocumentAdmin(ReadOnlyAdmin):
    list_display = ("key", "place", "holds", "state", "says", "changed")
    list_filter = (PlaceFilter,)
    list_select_related = ("version",)
    list_before_template: Any = "payflow/remote_places.html"
    search_fields = ("key", "name")
    search_scope = "Documents are found by a part of their key or name."
    ordering = ("origin", "key")
    empty = Empty(
        title="Nothing is kept elsewhere",
        text="Schemas and rules may also be kept in a directory (PAYFLOW_CONFIG_DIR) or in Azure "
        "App Configuration (PAYFLOW_APPCONFIG): a change there is live here within seconds.",
        icon="cloud_sync",
    )

    @display(description="place")
    def place(self, row: RemoteDocument) -> str:
        return _PLACES.get(row.origin, row.origin)

    @display(description="holds")
    def holds(self, row: RemoteDocument) -> str | SafeString:
        return text_or_dash(_what(row))

    @display(description="state")
    def state(self, row: RemoteDocument) -> SafeString:
        return pill(*_PILLS[_drift(row).status])

    @display(description="why")
    def says(self, row: RemoteDocument) -> str:
        return _drift(row).text

    @display(description="changed")
    def changed(self, row: RemoteDocument) -> SafeString:
        return moment(row.changed_at)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list, each row with its drift: one query for all of them."""
        found: Any = super().get_changelist_instance(request)
        found.result_list = list(found.result_list)
        for drift in drifts(found.result_list):
            drift.document.drift = drift  # type: ignore[attr-defined]
        return found

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        context: Any = {"place_notices": _place_notices(), **(extra_context or {})}
        return super().changelist_view(request, context)

    def detail(self, request: HttpRequest, row: RemoteDocument) -> Detail:
        (drift,) = drifts([row])
        return Detail(
            title=mono(row.key),
            state=pill(*_PILLS[drift.status]),
            meta=[self.place(row), *filter(None, [_what(row)])],
            notices=[_notice(drift)],
            buttons=_buttons(request, drift),
            main=[_problems_card(row)] if row.problems else [_versions_card(drift)],
            side=[_facts_card(row), *([_versions_card(drift)] if row.problems else [])],
        )

    def get_urls(self) -> list[URLPattern]:
        forget = self.admin_site.admin_view(self.forget_view)
        name = "configuration_remotedocument_forget"
        return [path("<int:row_id>/forget/", forget, name=name), *super().get_urls()]

    def forget_view(self, request: HttpRequest, row_id: int) -> HttpResponse:
        """Take a document that is no longer there off the list."""
        if not request.user.has_perm("configuration.change_configurationversion"):
            raise PermissionDenied
        row = RemoteDocument.objects.filter(pk=row_id, checksum="").first()
        if row is None:
            raise Http404
        return self.confirm(
            request,
            row,
            Confirmation(
                title=f"Forget {row.key}",
                text="It leaves this list. What is active stays active.",
                label="Forget",
                back=self.list_url(),
                facts=[("No longer there since", moment(row.changed_at))],
            ),
            lambda: _forget(request, row),
        )


def _drift(row: RemoteDocument) -> Drift:
    drift: Drift = row.drift  # type: ignore[attr-defined]  # of get_changelist_instance
    return drift


def _what(row: RemoteDocument) -> str:
    return f"{row.kind} {row.name}" if row.kind else ""


def _place_notices() -> list[Notice]:
    """One line for each place that is set."""
    try:
        found = places()
    except BadEnvironment as exc:
        return [Notice(kind="bad", icon="cloud_off", title=str(exc))]
    return [
        Notice(kind="warn", icon="cloud_off", title=place.trouble)
        if place.trouble
        else Notice(
            kind="ok",
            icon="cloud_done",
            title=f"{place.origin.title[:1].upper()}{place.origin.title[1:]} is followed",
            text=joined(["It answered at", moment(place.answered_at)]),
        )
        for place in found
    ]


def _notice(drift: Drift) -> Notice:
    texts = {
        "same": ("What is there is active here", "info"),
        "waits": ("A person has to make it live: open the draft", "how_to_reg"),
        "refused": ("It was not taken; what is active did not change", "block"),
        "differs": ("A person made another version active; the next change there is taken", "info"),
        "gone": ("It is not there any more; what is active did not change", "cloud_off"),
    }
    title, icon = texts[drift.status]
    return Notice(kind=_PILLS[drift.status][0], icon=icon, title=title, text=drift.text)


def _buttons(request: HttpRequest, drift: Drift) -> list[Button]:
    row = drift.document
    found = []
    if row.version_id is not None and request.user.has_perm(
        "configuration.view_configurationversion"
    ):
        url = reverse("admin:configuration_configurationversion_change", args=[row.version_id])
        draft = drift.status in ("waits", "refused")
        label = "Open the draft" if draft else f"Open {row.version}"
        found.append(Button(label=label, url=url, icon="schema", kind="p" if draft else ""))
    may_forget = request.user.has_perm("configuration.change_configurationversion")
    if drift.status == "gone" and may_forget:
        url = reverse("admin:configuration_remotedocument_forget", args=[row.pk])
        found.append(Button(label="Forget…", url=url, icon="delete"))
    return found


def _problems_card(row: RemoteDocument) -> Card:
    return Card(
        title="What is wrong",
        heads=[Head(label="Where"), Head(label="What")],
        rows=[
            (mono(problem["pointer"]) if problem["pointer"] else "the whole", problem["message"])
            for problem in row.problems
        ],
    )


def _versions_card(drift: Drift) -> Card:
    model = "configuration.configurationversion"
    given, active = drift.document.version, drift.active
    return Card(
        title="Versions",
        facts=[
            ("It gives", row_link(model, given.pk, str(given)) if given else text_or_dash("")),
            ("Active", row_link(model, active.pk, str(active)) if active else "nothing"),
        ],
    )


def _facts_card(row: RemoteDocument) -> Card:
    return Card(
        title="Document",
        facts=[
            ("Changed", moment(row.changed_at)),
            ("Seen", moment(row.seen_at)),
            ("SHA-256", mono(row.checksum, shorten=12) if row.checksum else text_or_dash("")),
        ],
        more=Button(label="All", url=list_url("configuration.remotedocument")),
    )


def _forget(request: HttpRequest, row: RemoteDocument) -> str:
    user: Any = request.user
    audit.record("forgot", row.key, by=user, origin=row.origin)
    RemoteDocument.objects.filter(pk=row.pk).delete()
    return f"Forgot {row.key}."
