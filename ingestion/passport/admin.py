"""Transactions as the admin shows them: metrics' list, and the passport as the page of each."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from ingestion.models import Batch
from ingestion.passport import page, values_card
from ingestion.passport.archived import Again, ArchivedRow, evaluate_again, read_archived
from ingestion.passport.body import digest, views
from ingestion.passport.counted import RuleCell, rollup_cells, rule_cells
from ingestion.passport.export import passport_json
from ingestion.passport.gather import gather
from metrics.admin import TransactionAdmin
from metrics.models import NormalizedTransaction
from payflow.lib.errors import StorageError
from payflow.lib.pages.detail import Detail
from payflow.lib.pages.display import size

logger = logging.getLogger(__name__)

_URL = "metrics_normalizedtransaction"
#: bytes are read on the archive's page under the same permission
_BYTES = "ingestion.view_archivefile"
_GONE = "Its batch is gone: retention dropped it."
_DENIED = "Your role may not read the archive."


class PassportAdmin(TransactionAdmin):
    """Registered for metrics' model here, because the passport needs the whole path."""

    page_template = "payflow/passport.html"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:event_id>/archived/", wrap(self.archived_view), name=f"{_URL}_archived"),
            path("<int:event_id>/passport.json", wrap(self.json_view), name=f"{_URL}_json"),
            *super().get_urls(),
        ]

    def detail(self, request: HttpRequest, row: NormalizedTransaction) -> Detail:
        passport = gather(row, user=request.user)
        return page.detail(passport, json_url=reverse(f"admin:{_URL}_json", args=[row.pk]))

    def render_page(
        self, request: HttpRequest, template: str, row: Any, **context: Any
    ) -> TemplateResponse:
        archived_url = reverse(f"admin:{_URL}_archived", args=[row.pk])
        rollups = page.rollups_card(row)
        return super().render_page(
            request, template, row, archived_url=archived_url, rollups=rollups, **context
        )

    def archived_view(self, request: HttpRequest, event_id: int) -> HttpResponse:
        """What comes after the page: the bytes, and what the rules say of them."""
        event = self._event(request, event_id)
        batch = _batch(event)
        archived = read_bytes(request, event, batch)
        context: dict[str, Any]
        if isinstance(archived, str) or batch is None:
            context = {"problem": "The bytes cannot be shown", "problem_text": archived}
        else:
            context = _shown(archived, evaluate_again(archived, batch))
        return render(request, "payflow/passport_archived.html", context)

    def json_view(self, request: HttpRequest, event_id: int) -> HttpResponse:
        passport = gather(self._event(request, event_id), user=request.user)
        archived = read_bytes(request, passport.event, passport.batch)
        again: Again | str = "The bytes cannot be read."
        if not isinstance(archived, str) and passport.batch is not None:
            again = evaluate_again(archived, passport.batch)
        content = passport_json(
            passport,
            archived=archived,
            again=again,
            rollups=rollup_cells(passport.event),
            rules=_rules(again),
        )
        return JsonResponse(content, json_dumps_params={"indent": 2, "ensure_ascii": False})

    def _event(self, request: HttpRequest, event_id: int) -> NormalizedTransaction:
        if not self.has_view_permission(request):
            raise PermissionDenied
        event = NormalizedTransaction.objects.filter(pk=event_id).first()
        if event is None:
            raise Http404
        return event


def read_bytes(
    request: HttpRequest, event: NormalizedTransaction, batch: Batch | None
) -> ArchivedRow | str:
    """The archived row of an event, or why it cannot be shown."""
    if not request.user.has_perm(_BYTES):
        return _DENIED
    if batch is None:
        return _GONE
    try:
        return read_archived(batch, batch.first_row + event.ordinal)
    except StorageError as exc:
        logger.warning("An archive object cannot be read: %s", exc)
        return (
            "The archive does not give the object of this event. What is stored in the database "
            "is not touched by that, and the rest of this page stands."
        )


def _batch(event: NormalizedTransaction) -> Batch | None:
    rows = Batch.objects.select_related("partition__source", "bundle")
    return rows.filter(pk=event.batch).first()


def _rules(again: Again | str) -> list[RuleCell]:
    return [] if isinstance(again, str) or not again.is_accepted else rule_cells(again)


def _shown(archived: ArchivedRow, again: Again | str) -> dict[str, Any]:
    verdict = f"verdict {archived.verdict}"
    shown: dict[str, Any] = {
        "archived": archived,
        "views": views(archived),
        "digest": digest(archived),
        "length": size(len(archived.body)),
        "sub": f"row {archived.row:,} of its archive object, {verdict}",
        "late": None,
    }
    if isinstance(again, str):
        return {
            **shown,
            "problem": "What rules gave cannot be computed again",
            "problem_text": again,
        }
    shown["sub"] += _told(again)
    if not again.is_accepted:
        return {
            **shown,
            "problem": "These bytes are not accepted any more",
            "problem_text": "Evaluating them again does not give this event. Run verify.",
        }
    return {**shown, "late": again.is_late, "cells": values_card.cells_card(_rules(again))}


def _told(again: Again) -> str:
    """What the row alone does not say: whose part it is, and which of several schemas took it."""
    told = f", one of {again.parts:,} parts of its message" if again.parts > 1 else ""
    if len(again.bundle.routes) > 1 and again.schema_version:
        told += f", read as {again.schema_version}"
    return told
