"""The history of a schema or rule set: its versions, and when each was live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from configuration import traffic
from configuration.bundling import sources_using
from configuration.models import Activation, ConfigurationVersion
from payflow.lib.pages.display import DASH, UNKNOWN, count, moment, pill, row_url, span

Status = ConfigurationVersion.Status
#: state -> kind of its pill, symbol
STATES: Final = {
    Status.DRAFT: ("mark", "edit_note"),
    Status.ACTIVE: ("ok", "check_circle"),
    Status.RETIRED: ("", "history"),
}
#: spans of which the events are counted; each is read from sums over five minutes
_MOST: Final = 8
#: share of rejected events from which a span is marked
_GRAVE: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One span of a version, or a draft that waits for its own."""

    version: ConfigurationVersion
    url: str
    label: str
    state: SafeString
    live: SafeString | str
    by: str
    why: str
    events: str
    rejected: SafeString | str
    #: where it can be made active again; "" where it cannot
    again_url: str = ""
    again_label: str = ""
    is_shown: bool = False


def state_pill(version: ConfigurationVersion) -> SafeString:
    kind, symbol = STATES[Status(version.status)]
    return pill(kind, version.get_status_display(), symbol)


def history(
    request: HttpRequest, version: ConfigurationVersion, *, most: int = _MOST
) -> list[HistoryRow]:
    """Drafts first, then the spans from the present one back."""
    same = ConfigurationVersion.objects.filter(kind=version.kind, name=version.name)
    drafts = same.filter(status=Status.DRAFT).select_related("author").order_by("-number")
    entries = list(
        Activation.objects.filter(version__kind=version.kind, version__name=version.name)
        .select_related("version", "activated_by")
        .order_by("-id")[: most + 1]
    )
    may = request.user.has_perm("configuration.rollback_configurationversion")
    using = {source.pk for source in sources_using(version.kind, version.name)}
    rows = [_draft(draft, version) for draft in drafts[:most]]
    until: datetime | None = None
    seen: set[int] = set()
    for position, entry in enumerate(entries[:most]):
        is_first = entry.version_id not in seen
        seen.add(entry.version_id)
        was_live_before = entry.version_id in {e.version_id for e in entries[position + 1 :]}
        is_nearest = position == 1 and not entries[0].is_rollback
        row = _span(
            entry,
            until,
            version,
            using=using,
            is_current=position == 0,
            was_live=was_live_before,
        )
        rows.append(_with_button(row, entry, may=may and is_first, nearest=is_nearest))
        until = entry.activated_at
    return rows


def _draft(draft: ConfigurationVersion, shown: ConfigurationVersion) -> HistoryRow:
    return HistoryRow(
        version=draft,
        url=row_url("configuration.configurationversion", draft.pk),
        label=f"v{draft.number}",
        state=state_pill(draft),
        live=UNKNOWN,
        by=author_of(draft),
        why=draft.note,
        events=DASH,
        rejected=UNKNOWN,
        is_shown=draft.pk == shown.pk,
    )


def _span(
    entry: Activation,
    until: datetime | None,
    shown: ConfigurationVersion,
    *,
    using: set[int],
    is_current: bool,
    was_live: bool,
) -> HistoryRow:
    end = until or timezone.now()
    sources = {int(pk) for pk in entry.serials} | using
    came = traffic.between(sources, entry.activated_at, end)
    kind, symbol = STATES[Status.ACTIVE if is_current else Status.RETIRED]
    return HistoryRow(
        version=entry.version,
        url=row_url("configuration.configurationversion", entry.version_id),
        label=f"v{entry.version.number}" + (", again" if was_live else ""),
        state=pill(kind, "Active" if is_current else "Retired", symbol),
        live=_live(entry.activated_at, until),
        by=str(entry.activated_by) if entry.activated_by else "a command",
        why=_why(entry),
        events=count(came.events),
        rejected=_share(came.rejected),
        is_shown=entry.version_id == shown.pk,
    )


def _with_button(row: HistoryRow, entry: Activation, *, may: bool, nearest: bool) -> HistoryRow:
    """The newest span of a version that is not live now offers the way back."""
    if not may or entry.version.status == Status.ACTIVE:
        return row
    values = {name: getattr(row, name) for name in row.__slots__}
    url = reverse("admin:configuration_configurationversion_rollback", args=[entry.version_id])
    label = "Roll back to this…" if nearest else "Activate again…"
    return HistoryRow(**(values | {"again_url": url, "again_label": label}))


def _why(entry: Activation) -> str:
    why = entry.reason or entry.version.note
    return (
        f"Roll back: {why}"
        if entry.is_rollback and why
        else why or ("Roll back" if entry.is_rollback else "")
    )


def _live(since: datetime, until: datetime | None) -> SafeString:
    if until is None:
        return format_html("since {}", moment(since))
    seconds = (until - since).total_seconds()
    return format_html("{} {} {}, {}", moment(since), DASH, moment(until), span(seconds))


def _share(share: float | None) -> SafeString | str:
    if share is None:
        return UNKNOWN
    if share == 0:
        return "0 %"
    text = f"{share * 100:.2f} %" if share < 0.01 else f"{share * 100:.1f} %"
    return format_html('<b class="pf-t-bad">{}</b>', text) if share >= _GRAVE else text


def author_of(version: ConfigurationVersion) -> str:
    """Who wrote a version, or where it came from."""
    return str(version.author) if version.author else version.origin or "payflow"


def versions_of(version: ConfigurationVersion) -> QuerySet[ConfigurationVersion]:
    """All versions of the same name, newest first."""
    return ConfigurationVersion.objects.filter(kind=version.kind, name=version.name).order_by(
        "-number"
    )
