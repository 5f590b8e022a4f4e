"""How a source is, in one word and one sentence: the same on its page, in the list and the API."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from django.utils.safestring import SafeString

from configuration.models import Source
from ingestion.source_page.reading import Summary
from payflow.lib.pages.display import joined, moment, pill, span


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One word for programs, one for people, and how bad it is (ok, warn, bad, "")."""

    name: str
    text: str
    kind: str
    icon: str = ""

    @property
    def pill(self) -> SafeString:
        return pill(self.kind, self.text, self.icon)


def health_of(source: Source, summary: Summary) -> Health:
    """What is true now; the worst that stands in the way of reading comes first."""
    if source.broker_type == "file":
        return Health(name="files", text="Read by command", kind="", icon="description")
    if source.paused_at is not None:
        return Health(name="paused", text="Paused", kind="warn", icon="pause_circle")
    if source.active_bundle_id is None:
        return Health(name="no_bundle", text="No bundle", kind="bad")
    if summary.failing and not summary.connected:
        return Health(name="not_connected", text="Not connected", kind="bad", icon="link_off")
    if not summary.partitions:
        return Health(name="new", text="No partitions yet", kind="warn", icon="sensors_off")
    return _running(summary)


def _running(summary: Summary) -> Health:
    total = summary.partitions
    halted = [
        f"{number} {word}"
        for number, word in ((summary.stopped, "stopped"), (summary.paused, "paused"))
        if number
    ]
    if summary.stopped + summary.paused == total:
        kind = "bad" if summary.stopped else "warn"
        return Health(name="halted", text=_of_all(halted, total), kind=kind, icon="pause_circle")
    if not summary.leased and not summary.connected:
        return Health(name="unread", text="Nobody reads it", kind="bad", icon="link_off")
    if not halted:
        return Health(name="running", text="Running", kind="ok")
    kind = "bad" if summary.stopped else "warn"
    text = f"Running, {_of_all(halted, total)}"
    return Health(name="partly_halted", text=text, kind=kind, icon="pause_circle")


def _of_all(halted: list[str], total: int) -> str:
    first, *rest = halted
    number, word = first.split()
    noun = "partition" if total == 1 else "partitions"
    return ", ".join([f"{number} of {total:,} {noun} {word}", *rest])


def connection_text(summary: Summary) -> SafeString | str:
    """Since when it is connected, or how many of the workers are; "" when nobody says."""
    connected = summary.connected
    if not connected:
        return ""
    since = min(row.connected_since for row in connected if row.connected_since)
    if not summary.failing:
        return joined(["connected since", moment(since)])
    return f"connected by {len(connected)} of {len(summary.connections)} workers"


def next_try(retry_at: datetime | None, *, now: datetime) -> str:
    """When a connection is tried again, as the end of a sentence."""
    if retry_at is None:
        return "It is tried again."
    if retry_at <= now:
        return "It is being tried again."
    seconds = math.ceil((retry_at - now).total_seconds())
    return f"Next try in {span(seconds) if seconds >= 10 else f'{seconds} s'}."
