"""Pages of who may push events over HTTP."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.decorators import display

from configuration.models import Source
from ingestion.push import page
from ingestion.push.forms import AccessForm, possible_senders
from ingestion.push.models import PushAccess
from ingestion.push.opening import close_source, open_source
from payflow.lib.pages.admin import Empty, ReadOnlyAdmin
from payflow.lib.pages.detail import Button, Card, Confirmation, Detail
from payflow.lib.pages.display import moment, row_link, row_url


@admin.register(PushAccess)
class PushAccessAdmin(ReadOnlyAdmin):
    """Sources that are open for HTTP. They are opened and changed on pages of their own."""

    list_display = ("of_source", "proof", "sender_count", "since")
    list_select_related = ("source",)
    search_fields = ("source__name",)
    search_scope = "They are found by a part of the source's name."
    empty = Empty(
        title="No source is open for HTTP",
        text="Services without a broker can push events to a source: open it on its page.",
        icon="upload",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).annotate(people=Count("senders"))
        return rows

    def get_urls(self) -> list[URLPattern]:
        views = (("edit", self.edit_view), ("close", self.close_view))
        return [
            *(
                path(
                    f"source/<int:source_id>/{name}/",
                    self.admin_site.admin_view(view),
                    name=f"ingestion_pushaccess_{name}",
                )
                for name, view in views
            ),
            *super().get_urls(),
        ]

    @display(description="source")
    def of_source(self, row: PushAccess) -> str:
        return row.source.name

    @display(description="proof")
    def proof(self, row: PushAccess) -> str:
        return row.get_signature_display()

    @display(description="senders")
    def sender_count(self, row: Any) -> int:
        return int(row.people)

    @display(description="open since")
    def since(self, row: PushAccess) -> SafeString:
        return moment(row.created_at)

    def detail(self, request: HttpRequest, row: PushAccess) -> Detail:
        source = row.source
        buttons = []
        if request.user.has_perm(page.CHANGE):
            close = reverse("admin:ingestion_pushaccess_close", args=[source.pk])
            buttons = [
                Button(label="Change…", url=page.edit_url(source), icon="edit"),
                Button(label="Close…", url=close, icon="block"),
            ]
        return Detail(
            title=str(row),
            meta=[row_link("configuration.source", source.pk, source.name)],
            buttons=buttons,
            main=[Card(title="A request", html=page.example(request, source, row))],
            side=[Card(title="Access", facts=page.access_facts(row))],
        )

    def edit_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """Open a source, or change who may push to it."""
        user = _user(request)
        source = _source(source_id)
        access = PushAccess.objects.filter(source=source).first()
        if not user.has_perm(page.OPEN if access is None else page.CHANGE):
            raise PermissionDenied
        form = AccessForm(request.POST) if request.method == "POST" else None
        if form is not None and form.is_valid():
            open_source(source, by=user, **form.cleaned_data)
            messages.success(request, f"{source.name} takes events over HTTP.")
            return HttpResponseRedirect(row_url("configuration.source", source.pk))
        response = self.render_page(
            request,
            "payflow/push_access.html",
            source,
            form=form,
            access=access,
            chosen=_chosen(form, access),
            senders=possible_senders(),
            signatures=PushAccess.Signature.choices,
            example=page.example(request, source, access),
        )
        response.status_code = 200 if form is None else 422
        return response

    def close_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """Refuse every push, after a question."""
        user = _user(request)
        if not user.has_perm(page.CHANGE):
            raise PermissionDenied
        source = _source(source_id)
        access = PushAccess.objects.filter(source=source).first()
        if access is None:
            raise Http404

        def close() -> str:
            close_source(source, by=user)
            return f"Closed {source.name} for HTTP."

        return self.confirm(
            request,
            access,
            Confirmation(
                title=f"Close {source.name} for HTTP",
                text="Every push is refused from the next request on. What was pushed stays, and "
                "the source goes on being read.",
                label="Close",
                back=row_url("configuration.source", source.pk),
                facts=page.access_facts(access),
            ),
            close,
        )


def _user(request: HttpRequest) -> User:
    if not isinstance(request.user, User):  # the admin's own view has seen to it
        raise PermissionDenied
    return request.user


def _source(source_id: int) -> Source:
    """Files are taken in by a command, so there is no page to open one."""
    source = Source.objects.exclude(broker_type="file").filter(pk=source_id).first()
    if source is None:
        raise Http404
    return source


def _chosen(form: AccessForm | None, access: PushAccess | None) -> dict[str, Any]:
    """What the fields show: what was sent, else what is kept, else the simplest."""
    if form is not None:
        sent = {name: form[name].value() for name in ("signature", "senders", "secrets")}
        return {name: value or "" for name, value in sent.items()}
    if access is None:
        return {"signature": PushAccess.Signature.OFF, "senders": [], "secrets": ""}
    return {
        "signature": access.signature,
        "senders": [str(pk) for pk in access.senders.values_list("pk", flat=True)],
        "secrets": "\n".join(access.secrets),
    }
