"""Pages that make a source, change its settings and test its connection."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from configuration import sources
from configuration.models import Source
from ingestion.source_page.brokers import brokers, described
from ingestion.source_page.connection_check import (
    CheckedConnection,
    TooManyChecks,
    check_connection,
    wrong_settings,
)
from ingestion.source_page.forms import (
    MAX_SETTINGS,
    NewSourceForm,
    SettingsForm,
    check_settings,
    settings_text,
)
from ingestion.sources.base import ConnectionStep
from ingestion.sources.factory import CONSUMERS
from payflow.lib.errors import ConfigurationError
from payflow.lib.pages.admin import PageAdmin
from payflow.lib.pages.display import row_url

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: sent by source.js, which shows the steps in the page that it is on
_INSIDE = "fetch"


class FormViews(PageAdmin):
    """The part of the sources' admin that takes settings."""

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",  # noqa: ARG002  Django's signature
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._new_page(request, NewSourceForm(initial=_beginning()))
        form = NewSourceForm(request.POST)
        # what is wrong with the settings is said beside what else is wrong
        if check_settings_of_new(form) and form.is_valid():
            try:
                row = sources.make(form.document(), by=cast("User", request.user))
            except ConfigurationError as exc:
                form.refuse(exc)
            else:
                said = f"Made source {row.name}."
                self.log_addition(request, row, said)
                messages.success(request, f"{said} Workers find it within seconds.")
                return HttpResponseRedirect(row_url("configuration.source", row.pk))
        return self._new_page(request, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)

    def settings_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """Connect to the same log in another way."""
        row = self._changeable(request, source_id)
        if row.broker_type == "file":
            raise PermissionDenied
        if request.method != "POST":
            form = SettingsForm(
                initial={"settings": settings_text(row.settings), "serial": row.settings_serial}
            )
            return self._settings_page(request, row, form)
        form = SettingsForm(request.POST)
        if form.is_valid():
            try:
                changed = sources.change_settings(
                    row,
                    form.cleaned_data["settings"][0],
                    by=cast("User", request.user),
                    serial=form.cleaned_data["serial"],
                )
            except ConfigurationError as exc:
                form.refuse(exc)
            else:
                return self._changed(request, row, changed)
        return self._settings_page(request, row, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)

    @method_decorator(require_POST)
    def test_view(self, request: HttpRequest, source_id: int) -> HttpResponse:
        """Test a source as it is, or with the settings that stand in the form."""
        row = self._changeable(request, source_id)
        settings = row.settings
        if "settings" in request.POST:
            form = SettingsForm(request.POST)
            if not form.is_valid() or check_settings(form, row.broker_type) is None:
                return self._tested(request, row, _refused(form))
            settings = sources.unhidden(form.cleaned_data["settings"][0], row.settings)
        return self._tested(request, row, _look(request, row.broker_type, row.name, settings))

    @method_decorator(require_POST)
    def test_new_view(self, request: HttpRequest) -> HttpResponse:
        """Test what stands in the form of a new source; nothing is kept."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewSourceForm(request.POST)
        broker_type = request.POST.get("broker_type", "")
        form.is_valid()
        if broker_type not in CONSUMERS or check_settings(form, broker_type) is None:
            return self._tested(request, None, _refused(form))
        settings = form.cleaned_data["settings"][0]
        name = form.cleaned_data.get("name") or "new"
        return self._tested(request, None, _look(request, broker_type, name, settings))

    # --- pages ---

    def _viewable(self, request: HttpRequest, source_id: int) -> Source:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = Source.objects.select_related("active_bundle").filter(pk=source_id).first()
        if row is None:
            raise Http404
        return row

    def _changeable(self, request: HttpRequest, source_id: int) -> Source:
        if not request.user.has_perm("configuration.change_source"):
            raise PermissionDenied
        return self._viewable(request, source_id)

    def _changed(self, request: HttpRequest, row: Source, changed: list[str]) -> HttpResponse:
        if changed:
            said = f"Changed {', '.join(changed)} of {row.name}."
            self.log_change(request, row, said)
            messages.success(request, f"{said} Workers connect anew within a second.")
        else:
            messages.info(request, f"The settings of {row.name} are as they were.")
        return HttpResponseRedirect(row_url("configuration.source", row.pk))

    def _new_page(
        self, request: HttpRequest, form: NewSourceForm, *, status: int = HTTPStatus.OK
    ) -> HttpResponse:
        return self._framed(
            request,
            "payflow/source_new.html",
            {"form": form, "brokers": brokers(), "most": MAX_SETTINGS, "add": True},
            status=status,
        )

    def _settings_page(
        self, request: HttpRequest, row: Source, form: SettingsForm, *, status: int = HTTPStatus.OK
    ) -> HttpResponse:
        fields = sorted(CONSUMERS[row.broker_type].LOG_FIELDS)
        broker = brokers()[row.broker_type]
        context = {
            "form": form,
            "original": row,
            "described": described(row),
            "log_fields": fields,
            "example": broker.example,
            "most": MAX_SETTINGS,
        }
        return self._framed(request, "payflow/source_settings.html", context, status=status)

    def _tested(
        self, request: HttpRequest, row: Source | None, found: CheckedConnection
    ) -> HttpResponse:
        """Inside the page it was asked for on, or as a page of its own without scripts."""
        context = {"tested": found, "original": row}
        if request.headers.get("X-Requested-With") == _INSIDE:
            return render(request, "payflow/source_tested.html", context)
        return self._framed(request, "payflow/source_test.html", context)

    def _framed(
        self,
        request: HttpRequest,
        template: str,
        context: dict[str, Any],
        *,
        status: int = HTTPStatus.OK,
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        frame = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(context.get("original") or "New source"),
            "media": self.media,
        }
        return TemplateResponse(request, template, frame | context, status=int(status))


def check_settings_of_new(form: NewSourceForm) -> bool:
    """A source of files has no settings; those of every other must be good ones."""
    form.full_clean()
    broker_type = form.cleaned_data.get("broker_type", "")
    return broker_type == "file" or check_settings(form, broker_type) is not None


def _beginning() -> dict[str, str]:
    """The first broker with its example: something to change is easier than something to write."""
    name, broker = next(iter(brokers().items()))
    return {"broker_type": name, "settings": broker.example, "schema_name": "transaction"}


def _look(request: HttpRequest, broker_type: str, name: str, settings: Any) -> CheckedConnection:
    try:
        return check_connection(
            broker_type, source=name, settings=settings, by=cast("User", request.user)
        )
    except ConfigurationError as exc:
        return wrong_settings(exc)
    except TooManyChecks as exc:
        return CheckedConnection(
            steps=[ConnectionStep(name="Test", is_ok=None, detail=str(exc))], seconds=0.0
        )


def _refused(form: SettingsForm) -> CheckedConnection:
    """What is wrong with the settings, as a test that ended with its first step."""
    said = [str(error) for error in form.errors.get("settings", ())]
    said += [str(error) for error in form.errors.get("broker_type", ())]
    return CheckedConnection(
        steps=[
            ConnectionStep(name="Settings", is_ok=False, detail=text)
            for text in said or ["They cannot be read."]
        ],
        seconds=0.0,
    )
