"""Admin of rows that only the path writes: read-only, on pages of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin

from payflow.lib.pages.detail import Button, Confirmation, Detail
from payflow.lib.pages.display import list_url
from payflow.lib.pages.lists import KeysetChangeList


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """What a list says when it holds nothing at all: a fact, and what to do next."""

    title: str
    text: str
    command: str = ""
    button: Button | None = None
    icon: str = "inbox"


class PageAdmin(ModelAdmin):
    """A model with a list of Unfold's and a page of ours for each row."""

    actions = None
    list_per_page = 50
    list_filter_submit = True
    #: all that a person may sort by; none, where no index would serve it
    sortable_by = ()
    empty: ClassVar[Empty | None] = None
    page_template: ClassVar[str] = "payflow/detail.html"

    def detail(self, request: HttpRequest, row: Any) -> Detail:
        """What the page of a row shows."""
        raise NotImplementedError

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",  # noqa: ARG002  Django's signature
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            name = self.opts.verbose_name
            messages.warning(request, f"There is no {name} {unquote(object_id)} (any more).")
            return redirect(self.list_url())
        detail = self.detail(request, row)
        return self.render_page(
            request, self.page_template, row, detail=detail, **(extra_context or {})
        )

    def render_page(
        self, request: HttpRequest, template: str, row: Model, **context: Any
    ) -> TemplateResponse:
        """A page about a row, within the admin's frame."""
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            template,
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "original": row,
                "title": str(row),
                "media": self.media,
                **context,
            },
        )

    def confirm(
        self,
        request: HttpRequest,
        row: Model,
        confirmation: Confirmation,
        act: Callable[[], str],
    ) -> HttpResponse:
        """Ask by a page with the facts; on its POST act, log what `act` says and go back."""
        if request.method != "POST":
            return self.render_page(request, "payflow/confirm.html", row, confirm=confirmation)
        done = act()
        self.log_change(request, row, done)
        messages.success(request, done)
        return redirect(confirmation.back)

    def list_url(self) -> str:
        return list_url(f"{self.opts.app_label}.{self.opts.model_name}")

    def history_view(self, *_args: Any, **_kwargs: Any) -> HttpResponse:
        raise PermissionDenied


class ReadOnlyAdmin(PageAdmin):
    """Nobody adds, changes or deletes these rows here; who may view them sees all of them."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(
        self,
        request: HttpRequest,  # noqa: ARG002
        obj: Model | None = None,  # noqa: ARG002
    ) -> bool:
        return False

    def has_delete_permission(
        self,
        request: HttpRequest,  # noqa: ARG002
        obj: Model | None = None,  # noqa: ARG002
    ) -> bool:
        return False


class KeysetAdmin(ReadOnlyAdmin):
    """For tables of any size: listed by key, never counted."""

    keys: Sequence[str] = ("id",)
    show_full_result_count = False

    def list_keys(self, params: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002
        """The columns that the list descends by, the primary key last."""
        return self.keys

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:  # noqa: ARG002
        return KeysetChangeList
