"""What is true now, in lines: versions, sources and what is kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from configuration.models import ConfigurationVersion, Source
from configuration.remote.drift import drifts, places
from payflow.lib.env import BadEnvironment

Status = ConfigurationVersion.Status


def status_lines() -> Iterator[str]:
    """One line for each active version and draft, each source, and each place elsewhere."""
    for version in ConfigurationVersion.objects.exclude(status=Status.RETIRED):
        wrong = len(version.problems)
        problems = f", {wrong} problem{'s' * (wrong > 1)}" if wrong else ""
        origin = f", from {version.origin}" if version.origin and version.is_draft else ""
        yield f"{version.get_kind_display()} {version}: {version.status}{problems}{origin}"
    for source in Source.objects.select_related("active_bundle"):
        bundle = source.active_bundle.hash[:12] if source.active_bundle else "no bundle"
        paused = ", paused" if source.paused_at else ""
        yield f"Source {source.name}: {bundle}{paused}"
    yield from _elsewhere()


def _elsewhere() -> Iterator[str]:
    try:
        for place in places():
            yield f"Place {place.origin.name}: {place.trouble or 'answers'}"
    except BadEnvironment as exc:
        yield f"Places elsewhere: {exc}"
    for drift in drifts():
        yield f"{drift.document}: {drift.status}, {drift.text}"
