"""What a person may do to a source: stop reading it for a while, and go on."""

from __future__ import annotations

from django.utils import timezone

from configuration.models import Source


def pause(source: Source, *, reason: str) -> None:
    """Drainers give its partitions back within a second; the broker keeps the messages."""
    Source.objects.filter(pk=source.pk, paused_at=None).update(
        paused_at=timezone.now(), paused_reason=reason[:256]
    )


def resume(source: Source) -> None:
    """Drainers take its partitions again, from where each stands."""
    Source.objects.filter(pk=source.pk).update(paused_at=None, paused_reason="")
