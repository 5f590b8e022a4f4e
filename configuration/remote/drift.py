"""What is kept elsewhere beside what is active: the same, or why not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from django.conf import settings
from django.utils import timezone

from configuration.models import ConfigurationVersion, RemoteDocument, RemoteState
from configuration.remote.found import Origin
from configuration.remote.origins import configured
from payflow.lib.env import BadEnvironment

#: same: what is there is active. waits: a person has to make it live. refused: it is wrong or not
#: used. differs: another version was made active here. gone: it is not there any more.
Status = Literal["same", "waits", "refused", "differs", "gone"]

#: a place that nobody looks at for as long is not followed
_SILENT: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One document elsewhere against what is active here."""

    document: RemoteDocument
    active: ConfigurationVersion | None
    status: Status
    #: one sentence
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place that is set."""

    origin: Origin
    #: why it does not answer, in a sentence; "" when it did
    error: str
    #: that no worker looks at it, in a sentence; "" when one does
    silence: str
    answered_at: datetime | None

    @property
    def trouble(self) -> str:
        return self.silence or self.error


def drifts(documents: Iterable[RemoteDocument] | None = None) -> list[Drift]:
    """How documents stand to what is active: these, or all that were ever found."""
    if documents is None:
        documents = RemoteDocument.objects.select_related("version")
    active = {
        (version.kind, version.name): version
        for version in ConfigurationVersion.objects.filter(
            status=ConfigurationVersion.Status.ACTIVE
        )
    }
    found = []
    for row in documents:
        live = active.get((row.kind, row.name))
        status, text = _compare(row, live)
        found.append(Drift(document=row, active=live, status=status, text=text))
    return found


def places() -> list[Place]:
    """The places that are set, and how each fares. Raises BadEnvironment."""
    states = {state.origin: state for state in RemoteState.objects.all()}
    return [
        Place(
            origin=origin,
            error=_error(states.get(origin.name)),
            silence=_silence(origin, states.get(origin.name)),
            answered_at=states[origin.name].answered_at if origin.name in states else None,
        )
        for origin in configured().values()
    ]


def trouble() -> list[str]:
    """What needs a person: places that do not answer or that nobody looks at, documents that are
    not live. In sentences."""
    try:
        silent = [place.silence for place in places() if place.silence]
    except BadEnvironment as exc:
        return [str(exc)]
    return silent + noted_trouble()


def noted_trouble() -> list[str]:
    """What the workers noted when they looked last; whether they look is another question."""
    try:
        found = places()
    except BadEnvironment as exc:
        return [str(exc)]
    if not found:
        return []
    titles = {place.origin.name: place.origin.title for place in found}
    sentences = [place.error for place in found if place.error]
    for drift in drifts():
        row = drift.document
        if row.origin in titles and drift.status in ("refused", "waits"):
            verb = "is refused" if drift.status == "refused" else "waits for a person"
            sentences.append(f"{row.key} of {titles[row.origin]} {verb}: {drift.text}")
    return sentences


def _silence(origin: Origin, state: RemoteState | None) -> str:
    if state is None:
        return _sentence(
            f"{origin.title} was never looked at: does a worker read the queue default?"
        )
    often = timedelta(seconds=settings.PAYFLOW["CONFIG_INTERVAL_S"])
    if timezone.now() - state.looked_at <= max(_SILENT, often * 5):
        return ""
    when = _clock(state.looked_at)
    return _sentence(
        f"{origin.title} was not looked at since {when}: does a worker read the queue default?"
    )


def _error(state: RemoteState | None) -> str:
    if state is None or not state.error or not state.error_since:
        return ""
    since = _clock(state.error_since)
    return _sentence(f"{state.error}, since {since}; the last good configuration stays active")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _compare(row: RemoteDocument, active: ConfigurationVersion | None) -> tuple[Status, str]:
    live = f"{active} stays active" if active else "nothing of that name is active"
    if not row.checksum:
        return "gone", f"no longer there since {_clock(row.changed_at)}; {live}"
    version = row.version
    if version and active and version.checksum == active.checksum:
        return "same", f"{active} is active"
    if row.problems:
        first, more = row.problems[0], len(row.problems) - 1
        text = f"{first['pointer']}: {first['message']}" if first["pointer"] else first["message"]
        text += f" (and {more} more)" if more else ""
        is_sound = version is not None and version.is_draft and not version.problems
        return ("waits" if is_sound else "refused"), text
    given = str(version) if version else "a version that was deleted"
    return "differs", f"it gives {given}; {live}"


def _clock(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S")
