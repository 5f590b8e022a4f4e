"""What can be done with a version from its page: each step is one call, asked for by a POST.

Views answer 403 without the permission, 404 without the version; what is refused is said on the
page that it was asked from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path

from configuration import activation, editor, versions
from configuration.models import CompatibilityGate, ConfigurationVersion
from configuration.version_compare import compare_context
from configuration.version_page import active_of, page_context
from payflow.lib.errors import ConfigurationError, PayflowError, Problem
from payflow.lib.pages.admin import ReadOnlyAdmin
from payflow.lib.pages.detail import Confirmation
from payflow.lib.pages.display import moment, row_url

_APP: Final = "configuration"
#: characters of a posted text; a version holds a megabyte
_MOST: Final = 2**20


class VersionActions(ReadOnlyAdmin):
    """The views below /configuration/configurationversion/ID/."""

    def get_urls(self) -> list[URLPattern]:
        views: dict[str, Callable[..., HttpResponse]] = {
            "draft": self.draft_view,
            "save": self.save_view,
            "check": self.check_view,
            "discard": self.discard_view,
            "ask": self.ask_view,
            "activate": self.activate_view,
            "rollback": self.rollback_view,
            "gate": self.gate_view,
            "export": self.export_view,
            "compare": self.compare_view,
        }
        return [
            *(
                path(
                    f"<int:version_id>/{name}/",
                    self.admin_site.admin_view(view),
                    name=f"configuration_configurationversion_{name}",
                )
                for name, view in views.items()
            ),
            *super().get_urls(),
        ]

    # --- the draft -------------------------------------------------------------------------------

    def draft_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = self._version(request, version_id, "add")
        if request.method != "POST":
            return redirect(_page(version))
        draft = versions.new_draft_from(version, author=_person(request))
        messages.success(request, f"{draft} is a draft with the text of v{version.number}.")
        return redirect(_page(draft))

    def save_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = self._version(request, version_id, "change")
        if request.method != "POST":
            return redirect(_page(version))
        try:
            text = editor.typed_text(request, version)
            _refuse_long(text)
            saved = versions.save_draft(
                version,
                text,
                by=_person(request),
                note=request.POST.get("note"),
                expected=request.POST.get("expected"),
            )
        except ConfigurationError as exc:
            return self._refused(request, version, exc.problems)
        except (versions.StaleDraft, versions.NotADraft) as exc:
            return self._refused(request, version, [Problem(pointer="", message=str(exc))])
        wrong = len(saved.problems)
        if wrong:
            said = "one thing is" if wrong == 1 else f"{wrong} things are"
            messages.warning(request, f"Saved {saved}; {said} wrong with it still.")
        else:
            messages.success(request, f"Saved {saved}. It is valid.")
        query = request.GET.urlencode()
        return redirect(f"{_page(saved)}?{query}" if query else _page(saved))

    def _refused(
        self, request: HttpRequest, version: ConfigurationVersion, problems: list[Problem]
    ) -> HttpResponse:
        """The page again, with everything that was typed."""
        context = page_context(request, version, refused=problems)
        response = self.render_page(request, "payflow/version.html", version, **context)
        response.status_code = 409
        return response

    def check_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = self._version(request, version_id, "change")
        if request.method != "POST":
            return JsonResponse({"problems": []}, status=405)
        if len(request.POST.get("text", "")) > _MOST:
            return JsonResponse({"problems": []}, status=413)
        return JsonResponse(editor.check(request, version))

    def discard_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = self._version(request, version_id, "change")
        if not editor.can_edit(request, version):
            messages.error(request, str(versions.NotADraft()))
            return redirect(_page(version))
        active = active_of(version)
        question = Confirmation(
            title=f"Discard {version}",
            text="The draft is deleted; the audit trail keeps that it was there. "
            "What is active stays active.",
            label="Discard",
            back=_page(active) if active else self.list_url(),
            facts=[("Saved", moment(version.saved_at)), ("Note", version.note or "none")],
        )
        return self._confirmed(
            request,
            version,
            question,
            lambda: versions.discard_draft(version, by=_person(request)),
            f"Discarded {version}.",
        )

    # --- going live and back ---------------------------------------------------------------------

    def ask_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = self._version(request, version_id, "change")

        def ask() -> str:
            reason = request.POST.get("reason", "").strip()
            activation.ask_approval(version, by=_person(request), reason=reason)
            return f"Asked for approval of {version}. An approver sees it on this page."

        return self._posted(request, version, ask)

    def activate_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = self._version(request, version_id, "activate")

        def go_live() -> str:
            if request.POST.get("checksum", version.checksum) != version.checksum:
                message = f"{version} was saved again meanwhile: look at it once more"
                raise ConfigurationError(Problem(pointer="", message=message))
            activation.activate(
                version,
                by=_person(request),
                reason=request.POST.get("reason", "").strip(),
                override_reason=request.POST.get("override", "").strip(),
            )
            return f"{version} is active. Workers take it within a second."

        return self._posted(request, version, go_live)

    def rollback_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = self._version(request, version_id, "rollback")
        active = active_of(version)
        if version.activated_at is None or active is None or active.pk == version.pk:
            messages.error(
                request, f"There is nothing to roll back: {version} " + _why_not(version)
            )
            return redirect(_page(version))
        question = Confirmation(
            title=f"Roll back to {version}",
            text=f"{version} becomes active in the place of {active}, for all sources that use it. "
            "What is stored stays as it is; events from then on are judged by it.",
            label=f"Roll back to v{version.number}",
            back=_page(version),
            facts=[
                ("Active now", f"v{active.number}, {active.note or 'no note'}"),
                ("Active then", f"v{version.number}, {version.note or 'no note'}"),
                ("Last made active", moment(version.activated_at)),
            ],
            asks_reason=True,
            reason_label="Why (kept in the audit trail)",
        )

        def roll_back() -> None:
            activation.roll_back(
                version.kind,
                version.name,
                by=_person(request),
                reason=request.POST.get("reason", "").strip(),
                to=version,
            )

        said = f"Rolled back to {version}. Workers take it within a second."
        return self._confirmed(request, version, question, roll_back, said)

    def gate_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = self._version(request, version_id, "view")
        if not request.user.has_perm(f"{_APP}.change_compatibilitygate"):
            raise PermissionDenied
        mode = request.POST.get("mode", "")

        def choose() -> str:
            if mode not in CompatibilityGate.Mode.values:
                raise ConfigurationError(Problem(pointer="", message=f"{mode!r} is no gate"))
            activation.set_gate(version.name, mode, by=_person(request))
            return f"The gate of {version.name} is {mode} now."

        return self._posted(request, version, choose)

    # --- looking ---------------------------------------------------------------------------------

    def export_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = self._version(request, version_id, "view")
        text = versions.text_of(version)
        response = HttpResponse(text, content_type="application/yaml; charset=utf-8")
        name = f"{version.kind}-{version.name}-v{version.number}.yaml"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    def compare_view(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = self._version(request, version_id, "view")
        context = compare_context(version, request.GET.get("with", ""))
        return self.render_page(request, "payflow/version_compare.html", version, **context)

    # --- the steps -------------------------------------------------------------------------------

    def _version(self, request: HttpRequest, version_id: int, verb: str) -> ConfigurationVersion:
        if not request.user.has_perm(f"{_APP}.{verb}_configurationversion"):
            raise PermissionDenied
        version = (
            ConfigurationVersion.objects.select_related("author", "base", "approval_asked_by")
            .filter(pk=version_id)
            .first()
        )
        if version is None:
            raise Http404
        return version

    def _posted(
        self, request: HttpRequest, version: ConfigurationVersion, act: Callable[[], str]
    ) -> HttpResponse:
        """Do it and say so on the version's page, or say there why not."""
        if request.method == "POST":
            try:
                messages.success(request, act())
            except PayflowError as exc:
                messages.error(request, f"Nothing was changed. {_in_words(exc)}")
        return redirect(_page(version))

    def _confirmed(
        self,
        request: HttpRequest,
        version: ConfigurationVersion,
        question: Confirmation,
        act: Callable[[], object],
        said: str,
    ) -> HttpResponse:
        if request.method != "POST":
            return self.render_page(request, "payflow/confirm.html", version, confirm=question)
        try:
            act()
        except PayflowError as exc:
            messages.error(request, f"Nothing was changed. {_in_words(exc)}")
            return redirect(_page(version))
        messages.success(request, said)
        return redirect(question.back)


def _person(request: HttpRequest) -> Any:
    return request.user


def _page(version: ConfigurationVersion) -> str:
    return row_url("configuration.configurationversion", version.pk)


def _why_not(version: ConfigurationVersion) -> str:
    return "never was active." if version.activated_at is None else "is active already."


def _in_words(error: PayflowError) -> str:
    if isinstance(error, ConfigurationError):
        is_gate = isinstance(error, activation.GateClosed)
        said = [
            f"{p.pointer}: {p.message}." if p.pointer and not is_gate else f"{p.message}."
            for p in error.problems
        ]
        why = ["The gate refuses this; say why it may pass nevertheless, or change the draft."]
        return " ".join([*why, *said] if is_gate else said)
    return str(error)


def _refuse_long(text: str) -> None:
    if len(text) > _MOST:
        raise ConfigurationError(
            Problem(pointer="", message=f"a document has at most {_MOST:,} characters")
        )
