"""Shadows at work: a task that beat starts again and again looks at what has arrived.

    1. claim   one worker at a time; no one before the shadow has rested
    2. skip    batches that wait for too long already, counted
    3. look    the next batches under both sides (sides.py)
    4. add     what they gave, and how far the shadow has come, in one transaction
    5. rest    for as long as the CPU time of this step is more than the share of the time since

A step that dies leaves nothing behind; its batches are looked at by the next one. What a step
costs is the CPU time of the whole process meanwhile: polars works in threads of its own. Other
tasks of the worker may be counted in, so a shadow uses its share or less, never more.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any, Final

from django.db import DatabaseError
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from ingestion.shadow.batches import next_batches, settled_until, to_skip
from ingestion.shadow.lifecycle import end, sources_of
from ingestion.shadow.models import Shadow, ShadowCell, ShadowFinding
from ingestion.shadow.sides import look_at
from ingestion.shadow.store import add, skip
from payflow.lib.errors import PayflowError, Retryable

logger = logging.getLogger(__name__)

State = Shadow.State

#: a task looks for so long; the next one comes by itself
SLICE_S: Final = 1.5
#: a worker that died holds its claim for so long
_CLAIM: Final = timedelta(seconds=30)
#: rest after the archive did not answer
_AWAY: Final = timedelta(seconds=5)
#: windows and groups of both sides that one shadow keeps, and events with findings
MOST_CELLS: Final = 200_000
MOST_FINDINGS: Final = 200_000
#: seconds over which the present share is measured
LATELY_S: Final = 60


def follow_all(*, slice_s: float = SLICE_S) -> None:
    """Let each running shadow that has rested look at what has arrived."""
    deadline = time.monotonic() + slice_s
    running = Shadow.objects.filter(state=State.RUNNING).order_by("rests_until", "pk")
    for pk in list(running.values_list("pk", flat=True)):
        while time.monotonic() < deadline and follow(pk):
            pass


def follow(pk: int) -> bool:
    """One step of a shadow; whether it looked at anything."""
    shadow = _claim(pk)
    if shadow is None:
        return False
    clock, cpu = time.monotonic(), time.process_time()
    rest, looked = timedelta(0), False
    try:
        looked = not _end_if_due(shadow) and _step(shadow)
    except Retryable as exc:
        rest = _AWAY
        said = f"{str(exc)[:480]} It is tried again."
        Shadow.objects.filter(pk=pk).update(error=said)
    except DatabaseError:
        raise  # a bad world: the claim runs out, and the step is taken again
    except PayflowError as exc:
        end(shadow, State.FAILED, error=str(exc))
    except Exception as exc:
        # the text of an unknown error may quote payload: its class has to do
        end(shadow, State.FAILED, error=f"It failed: {type(exc).__name__}.")
        raise
    spent, took = time.process_time() - cpu, time.monotonic() - clock
    owed = timedelta(seconds=max(0.0, spent * 100 / shadow.share - took))
    _rest(shadow, spent_ms=round(spent * 1000), until=max(rest, owed))
    return looked


def _claim(pk: int) -> Shadow | None:
    """The shadow, if it runs, has rested, and no other worker is at it."""
    rested = Q(rests_until=None) | Q(rests_until__lte=Now())
    claimed = Shadow.objects.filter(rested, pk=pk, state=State.RUNNING).update(
        rests_until=Now() + _CLAIM
    )
    if not claimed:
        return None
    return Shadow.objects.select_related("version").filter(pk=pk).first()


def _end_if_due(shadow: Shadow) -> bool:
    """End a shadow whose time is over or whose draft has gone live, or has too much to keep."""
    if shadow.until <= timezone.now() or not shadow.version.is_draft:
        return end(shadow, State.ENDED)
    if ShadowCell.objects.filter(shadow=shadow).count() > MOST_CELLS:
        error = f"It has more than {MOST_CELLS:,} windows and groups: what it saw until then stays."
        return end(shadow, State.STOPPED, error=error)
    if ShadowFinding.objects.filter(shadow=shadow).count() > MOST_FINDINGS:
        error = f"It has more than {MOST_FINDINGS:,} findings: what it saw until then stays."
        return end(shadow, State.STOPPED, error=error)
    return False


def _step(shadow: Shadow) -> bool:
    sources = [source.pk for source in sources_of(shadow.version)]
    before = settled_until()
    skipped = to_skip(sources, after=shadow.last_batch, now=timezone.now())
    if skipped is not None and not skip(shadow, to=skipped.last_id, events=skipped.events):
        return False
    batches = next_batches(sources, after=shadow.last_batch, before=before)
    if not batches:
        # nothing of its sources lies before: what comes is looked for from here on
        skip(shadow, to=max(shadow.last_batch, before - 1), events=0)
        return False
    return add(shadow, look_at(batches, shadow), to=batches[-1].pk)


def _rest(shadow: Shadow, *, spent_ms: int, until: timedelta) -> None:
    """Note what a step cost, and let go of the claim; the claim kept all others away."""
    second = int(time.time())
    lately: list[list[int]] = [
        [at, ms] for at, ms in shadow.lately if at > second - LATELY_S and at != second
    ]
    same = sum(ms for at, ms in shadow.lately if at == second)
    values: dict[str, Any] = {
        "cpu_ms": shadow.cpu_ms + spent_ms,
        "lately": [*lately, [second, same + spent_ms]],
        "rests_until": Now() + until,
    }
    Shadow.objects.filter(pk=shadow.pk).update(**values)
