"""The page that moves a partition's checkpoint: choose where to, see what that does, confirm.

Choosing is a GET, so it can be linked and repeated and changes nothing; only the confirmation is a
POST. It works without scripts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from ingestion import partition_page, seeking
from ingestion.models import Partition
from ingestion.partitions import MAX_REASON, full_name
from ingestion.seek_plan import (
    KINDS,
    SeekPlan,
    SeekRefused,
    Target,
    TargetKind,
    parse_target,
    why_not,
)
from ingestion.seek_words import effect, moved_events
from payflow.lib.errors import ConfigurationError, SourceUnavailable
from payflow.lib.pages.admin import PageAdmin
from payflow.lib.pages.display import row_url

_LABELS: Final[dict[TargetKind, str]] = {
    "earliest": "The earliest message that the broker holds",
    "latest": "The latest: only what comes from now on",
    "time": "A time, by the broker's clock",
    "position": "A position",
}


class TargetForm(forms.Form):
    """Where to go."""

    to = forms.ChoiceField(choices=[(kind, _LABELS[kind]) for kind in KINDS])
    at = forms.DateTimeField(required=False)
    position = forms.CharField(max_length=48, required=False)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        kind = cleaned.get("to", "")
        if kind == "time" and cleaned.get("at") is None and "at" not in self.errors:
            raise ValidationError({"at": "Which time?"})
        if kind == "position" and "position" not in self.errors:
            try:
                parse_target(kind, position=cleaned["position"])
            except SeekRefused as exc:
                raise ValidationError({"position": str(exc)}) from exc
        return cleaned

    def target(self) -> Target:
        """What was chosen; only of a form that is valid."""
        chosen = self.cleaned_data
        return parse_target(
            chosen["to"], position=chosen["position"].strip(), moment=chosen.get("at")
        )


class ConfirmForm(forms.Form):
    """That it is meant, and why."""

    reason = forms.CharField(max_length=MAX_REASON)
    confirm = forms.CharField(max_length=256)

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name

    def clean_confirm(self) -> str:
        typed: str = self.cleaned_data["confirm"]
        if typed != self.name:
            raise ValidationError(f"Type {self.name}, letter by letter.")
        return typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What the broker said."""

    #: by the kind of target
    choices: dict[TargetKind, SeekPlan]
    chosen: SeekPlan | None
    #: why it could not be asked, or why not to go there
    refused: str = ""


def seek_view(page: PageAdmin, request: HttpRequest, row: Partition) -> HttpResponse:
    """The form; what is chosen is planned, what is confirmed is done."""
    asked = request.POST or request.GET
    target = TargetForm(asked) if "to" in asked else None
    confirm = ConfirmForm(full_name(row), request.POST or None)
    is_chosen = target is not None and target.is_valid()
    looked = _look(row, target.target() if target is not None and is_chosen else None)
    if request.method == "POST" and looked.chosen and confirm.is_valid():
        try:
            reason = confirm.cleaned_data["reason"]
            moved = seeking.seek(looked.chosen, by=cast("User", request.user), reason=reason)
        except SeekRefused as exc:
            looked = Looked(choices=looked.choices, chosen=None, refused=str(exc))
        else:
            what = moved_events(moved.events)
            done = f"Moved {full_name(row)} to {moved.to_position}, events: {what}."
            page.log_change(request, row, done)
            messages.success(request, done)
            return redirect(row_url("ingestion.partition", row.pk))
    return _render(page, request, row, target=target, confirm=confirm, looked=looked)


def _look(row: Partition, target: Target | None) -> Looked:
    ends = [Target(kind="earliest"), Target(kind="latest")]
    try:
        made = seeking.plans(row, ends)
        choices = {plan.target.kind: plan for plan in made}
    except (SeekRefused, SourceUnavailable, ConfigurationError) as exc:
        return Looked(choices={}, chosen=None, refused=why_not(exc))
    if target is None:
        return Looked(choices=choices, chosen=None)
    try:
        chosen = choices.get(target.kind) or seeking.plan(row, target)
    except (SeekRefused, SourceUnavailable) as exc:
        return Looked(choices=choices, chosen=None, refused=why_not(exc))
    return Looked(choices=choices, chosen=chosen)


def _render(
    page: PageAdmin,
    request: HttpRequest,
    row: Partition,
    *,
    target: TargetForm | None,
    confirm: ConfirmForm,
    looked: Looked,
) -> HttpResponse:
    form = target or TargetForm()
    choices = [
        {
            "value": kind,
            "label": label,
            "is_chosen": form["to"].value() == kind,
            "effect": effect(looked.choices[kind]) if kind in looked.choices else None,
        }
        for kind, label in _LABELS.items()
    ]
    response = page.render_page(
        request,
        "payflow/seek.html",
        row,
        title=f"Seek {full_name(row)}",
        name=full_name(row),
        halted=partition_page.why_halted(row) if partition_page.is_halted(row) else "",
        is_read=partition_page.is_leased(row),
        form=form,
        choices=choices,
        bounds=next((plan.bounds for plan in looked.choices.values()), None),
        refused=looked.refused,
        chosen=looked.chosen,
        effect=effect(looked.chosen) if looked.chosen else None,
        confirm=confirm,
        zone=timezone.localtime().tzname(),
        back=row_url("ingestion.partition", row.pk),
    )
    wrong = request.method == "POST" or (target is not None and not target.is_valid())
    response.status_code = 422 if wrong else 200
    return response
