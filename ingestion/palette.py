"""The search box on every page: any id leads to what it names.

Ids are compared as a whole, each kind through the index that knows it. Only what no index knows
is looked for in the archive, for a bounded time, and only when nothing else was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.http import HttpRequest
from django.utils import timezone

from configuration.models import ConfigurationVersion
from deadletter.models import FailedItem
from ingestion.archive_search import ArchiveSearch, search_archive
from metrics.models import NormalizedTransaction
from metrics.search import FOUND, find_customer, find_merchant, find_transaction
from payflow.lib.pages.display import count, decimal_text, list_url, row_url

_TRANSACTIONS: Final = "metrics.normalizedtransaction"
#: shorter terms are words, not ids
_SHORTEST_ID: Final = 3
#: shorter ones would match every page of the archive that somebody is still typing for
_SHORTEST_IN_ARCHIVE: Final = 6
_LONGEST: Final = 256
_RULES: Final = 8
_DAY: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the list: what it is, what is known of it, and its page."""

    title: str
    description: str
    link: str
    icon: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The lines, and one sentence that says what was searched."""

    results: list[Result]
    note: str


def search(request: HttpRequest, term: str) -> Found:
    """Everything that `term` names and the user may view."""
    term = term.strip()
    if not _is_searched(term):
        return Found(results=[], note="Ids have 3 characters or more.")
    results: list[Result] = []
    note = (
        "Searched: transactions, customers, merchants of 24 h, failed items, rules. Whole ids only."
    )
    if request.user.has_perm("metrics.view_normalizedtransaction"):
        results += [*_transactions(term), *_customer(term), *_merchant(term)]
    if request.user.has_perm("deadletter.view_faileditem"):
        results += _failed(term)
    has_ids = bool(results)
    if request.user.has_perm("configuration.view_configurationversion"):
        results += _rules(term)
    if (
        not has_ids
        and len(term) >= _SHORTEST_IN_ARCHIVE
        and any(character.isdigit() for character in term)
        and request.user.has_perm("ingestion.view_archivefile")
    ):
        looked = search_archive(term)
        results += _archived(looked)
        note = f"{note} {_said(looked)}"
    return Found(results=results, note=note)


def _is_searched(term: str) -> bool:
    return _SHORTEST_ID <= len(term) <= _LONGEST and "\x00" not in term


def _transactions(term: str) -> Iterator[Result]:
    ids = find_transaction(term)
    if not ids and term.isdecimal() and int(term) < 2**63:
        ids = [int(term)]
    # sorted here: ORDER BY .. LIMIT would let PostgreSQL walk an index of all events instead
    events = NormalizedTransaction.objects.filter(pk__in=ids).order_by()
    latest = max(events, key=lambda event: (event.occurred_at, event.pk), default=None)
    if latest is None:
        return
    more = f", the latest of {count(len(ids))} events" if len(ids) > 1 else ""
    yield Result(
        title=f"{decimal_text(latest.amount, latest.currency)} {latest.currency} "
        f"{latest.payment_status}",
        description=f"transaction {latest.transaction_id}{more}",
        link=row_url(_TRANSACTIONS, latest.pk),
        icon="receipt_long",
    )


def _customer(term: str) -> Iterator[Result]:
    events = len(find_customer(term))
    if events:
        number = f"the latest {FOUND} events" if events == FOUND else _events(events)
        yield Result(
            title=f"Customer {term}",
            description=number,
            link=list_url(_TRANSACTIONS, customer_id=term),
            icon="person",
        )


def _merchant(term: str) -> Iterator[Result]:
    latest = find_merchant(term, since=timezone.now() - _DAY)
    if latest is not None:
        local = timezone.localtime(latest)
        yield Result(
            title=f"Merchant {term}",
            description=f"events of the last 24 hours, the latest after {local:%H:%M}",
            link=list_url(_TRANSACTIONS, merchant_id=term, arrived="24h"),
            icon="storefront",
        )


def _failed(term: str) -> Iterator[Result]:
    items = list(FailedItem.objects.filter(transaction_id=term).defer("payload").order_by()[:FOUND])
    if not items and term.isdecimal() and int(term) < 2**63:
        items = list(FailedItem.objects.filter(pk=int(term)))
    if not items:
        return
    one = len(items) == 1
    yield Result(
        title=f"Failed item, {items[0].reason}" if one else f"{count(len(items))} failed items",
        description=f"of transaction {term}",
        link=row_url("deadletter.faileditem", items[0].pk)
        if one
        else list_url("deadletter.faileditem", q=term),
        icon="error",
    )


def _rules(term: str) -> list[Result]:
    """Live rules whose name holds the term; those of compliance lead to their findings."""
    wanted, found = term.lower().replace(" ", "_"), []
    live = ConfigurationVersion.objects.filter(status="active", kind__in=["metrics", "compliance"])
    for version in live.order_by("kind", "name"):
        is_compliance = version.kind == ConfigurationVersion.Kind.COMPLIANCE
        for rule in version.document.get("rules" if is_compliance else "metrics", []):
            if wanted not in rule["name"]:
                continue
            url = row_url("configuration.configurationversion", version.pk)
            found.append(
                Result(
                    title=f"Rule {rule['name']}",
                    description=rule["description"],
                    link=list_url("metrics.violation", rule=rule["name"]) if is_compliance else url,
                    icon="gavel" if is_compliance else "functions",
                )
            )
    return found[:_RULES]


def _archived(looked: ArchiveSearch) -> Iterator[Result]:
    stored = set(
        NormalizedTransaction.objects.filter(
            pk__in=[hit.event_id for hit in looked.hits if hit.verdict == "accepted"]
        ).values_list("pk", flat=True)
    )
    for hit in looked.hits:
        is_stored = hit.event_id in stored
        yield Result(
            title=f"Message at offset {hit.offset}, {hit.verdict}",
            description=f"transaction {hit.transaction_id}" if hit.transaction_id else "archived",
            link=row_url(_TRANSACTIONS, hit.event_id)
            if is_stored
            else f"{row_url('ingestion.archivefile', hit.file)}?row={hit.row}",
            icon="receipt_long" if is_stored else "inventory_2",
        )


def _said(looked: ArchiveSearch) -> str:
    """How far the archive was searched: a bounded search that finds nothing proves nothing."""
    back = timezone.localtime(looked.back_to)
    unread = f"; {count(looked.unread)} could not be read" if looked.unread else ""
    extent = f"{count(looked.objects)} {'object' if looked.objects == 1 else 'objects'}{unread}"
    if looked.is_whole:
        return f"Archive of the last 24 h by correlation and message id: {extent}."
    why = "enough was found" if looked.hits else "the time for one search was up"
    until = f"back to {back:%d %b %H:%M:%S}, then {why}"
    return f"Archive by correlation and message id {until}: {extent}."


def _events(number: int) -> str:
    return f"{count(number)} {'event' if number == 1 else 'events'}"
