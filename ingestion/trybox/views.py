"""The page /try/ and what it asks for while somebody types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.admin.sites import site
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from ingestion.parsing import MAX_MESSAGE, Reason, ValidationError
from ingestion.trybox.asked import (
    MAX_HEADERS,
    Asked,
    NotToBeTried,
    asked_by_address,
    asked_by_form,
    fitting,
    offered,
    sources,
)
from ingestion.trybox.cards import result_cards
from ingestion.trybox.picked import NotToBeHad, pick
from ingestion.trybox.places import Mark, marks
from ingestion.trybox.sides import Side, look

PERMISSION: Final = "configuration.view_configurationversion"
#: errors and parts of one side that are listed
_MOST_ERRORS: Final = 50
_MOST_PARTS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownError:
    """An error, and where in the text it is marked."""

    error: ValidationError
    mark: Mark | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSide:
    """The verdict of one side as its card shows it."""

    side: Side
    errors: Sequence[ShownError]
    #: number, verdict and transaction of each part
    parts: Sequence[tuple[int, str, str]]

    @property
    def hidden_errors(self) -> int:
        judged = self.side.judged
        return len(judged.part.errors) - len(self.errors) if judged else 0

    @property
    def hidden_parts(self) -> int:
        judged = self.side.judged
        return len(judged.parts) - len(self.parts) if judged else 0


@never_cache
@require_http_methods(["GET", "POST"])
def try_box(request: HttpRequest) -> HttpResponse:
    """The page; a POST without script gives it with the answer."""
    _check(request)
    problem, status = "", 200
    try:
        if request.method == "POST":
            asked = asked_by_form(request.POST)
        else:
            asked = asked_by_address(request.GET, pick(request.GET, user=request.user))
    except (NotToBeHad, NotToBeTried) as exc:
        problem, status = str(exc), 400
        asked = asked_by_address(
            {name: request.GET.get(name, "") for name in ("source", "version")}, None
        )
    asked = fitting(asked)
    context = {
        **site.each_context(request),
        "title": "Try an event",
        "asked": asked,
        "problem": problem,
        "sources": sources(),
        "may_pick": request.user.has_perms(
            ["ingestion.view_archivefile", "metrics.view_normalizedtransaction"]
        ),
        "max_bytes": MAX_MESSAGE,
        "max_headers": MAX_HEADERS,
        **_choices(asked),
        **_result(asked),
    }
    return render(request, "payflow/try.html", context, status=status)


@never_cache
@require_POST
def try_look(request: HttpRequest) -> HttpResponse:
    """The answer alone: HTML of the result, the marks in the text, the versions to choose from."""
    _check(request)
    try:
        asked = fitting(asked_by_form(request.POST))
    except NotToBeTried as exc:
        html = render_to_string("payflow/try_result.html", {"problem": str(exc)})
        return JsonResponse({"html": html, "marks": []}, status=413)
    result = _result(asked)
    return JsonResponse(
        {
            "html": render_to_string("payflow/try_result.html", result),
            "marks": [[mark.start, mark.end] for mark in result["marks"]],
            "versions": render_to_string(
                "payflow/try_versions.html", {"asked": asked, **_choices(asked)}
            ),
        }
    )


def _check(request: HttpRequest) -> None:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied


def _choices(asked: Asked) -> dict[str, Any]:
    return {"versions": offered(asked.source) if asked.source else {}}


def _result(asked: Asked) -> dict[str, Any]:
    """What is said of the event; nothing while there is none."""
    if not asked.body.strip():
        return {"sides": [], "cards": [], "marks": []}
    sides = look(asked, now=timezone.now())
    found = marks(
        asked.text,
        [
            (judged.place_of(error), error)
            for judged in (side.judged for side in sides)
            if judged
            for error in judged.part.errors
        ],
    )
    by_field = {mark.field: mark for mark in found}
    return {
        "sides": [_shown(side, by_field) for side in sides],
        "cards": result_cards(sides),
        "marks": found,
        "part": asked.part,
    }


def _shown(side: Side, by_field: dict[str, Mark]) -> ShownSide:
    judged = side.judged
    if judged is None:
        return ShownSide(side=side, errors=[], parts=[])
    return ShownSide(
        side=side,
        errors=[
            ShownError(error=error, mark=_mark(judged.place_of(error), error, by_field))
            for error in judged.part.errors[:_MOST_ERRORS]
        ],
        parts=[
            (number, verdict, name)
            for number, (verdict, name) in enumerate(judged.parts[:_MOST_PARTS])
        ]
        if len(judged.parts) > 1
        else [],
    )


def _mark(field: str, error: ValidationError, by_field: dict[str, Mark]) -> Mark | None:
    if field or error.constraint == Reason.INVALID_JSON:
        return by_field.get(field)
    return None


try_box_view = site.admin_view(try_box)
try_look_view = site.admin_view(try_look)
