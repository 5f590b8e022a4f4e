"""Pages of versions: lists by kind, all versions, and the page of one (version_page.py)."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from configuration.kind_lists import list_context
from configuration.kinds import KINDS
from configuration.models import ConfigurationVersion
from configuration.new_version import begin, new_context
from configuration.version_actions import VersionActions
from configuration.version_history import author_of, state_pill
from configuration.version_page import page_context
from payflow.lib.pages.admin import Empty
from payflow.lib.pages.display import joined, moment, pill, row_url


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

    def get_urls(self) -> list[URLPattern]:
        lists = [
            path(
                f"{kind.slug}/{end}",
                self.admin_site.admin_view(partial(view, kind=name)),
                name=f"configuration_{kind.slug}{suffix}",
            )
            for name, kind in KINDS.items()
            for end, suffix, view in (("", "", self.list_view), ("new/", "_new", self.new_view))
        ]
        return [*lists, *super().get_urls()]

    def list_view(self, request: HttpRequest, *, kind: str) -> HttpResponse:
        """The list of a kind by name: what is live, and what it is worth."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._page(request, "payflow/kind_list.html", list_context(request, kind))

    def new_view(self, request: HttpRequest, *, kind: str) -> HttpResponse:
        """Begin a schema or rule set under a new name."""
        if not request.user.has_perm("configuration.add_configurationversion"):
            raise PermissionDenied
        problem = ""
        if request.method == "POST":
            draft, problem = begin(request, kind, author=request.user)
            if draft is not None:
                messages.success(request, f"{draft} is a draft: change it, then activate it.")
                return redirect(row_url("configuration.configurationversion", draft.pk))
        context = new_context(request, kind, problem=problem)
        back = reverse(f"admin:configuration_{KINDS[kind].slug}")
        response = self._page(request, "payflow/new_version.html", {**context, "back": back})
        response.status_code = 400 if problem else 200
        return response

    def _page(
        self, request: HttpRequest, template: str, context: dict[str, Any]
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, template, {**shared, **context})
