"""What a seek would do, or did, as a person is told."""

from __future__ import annotations

from dataclasses import dataclass

from ingestion.seek_plan import SeekPlan
from payflow.lib.pages.display import count


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A plan in words: a headline and what it means."""

    kind: str
    icon: str
    title: str
    text: str


def effect(plan: SeekPlan) -> Effect:
    """What a person should know before it is done."""
    if plan.began_anew:
        return Effect(
            kind="warn",
            icon="warning",
            title="How many events that skips or repeats cannot be told",
            text="The broker's log ends before the checkpoint: it was made again or lost its end. "
            "What it holds from there on is read; what is stored already is recognised.",
        )
    if plan.kind == "none":
        return Effect(
            kind="ok",
            icon="check_circle",
            title="Nothing would be skipped or read again",
            text="The partition stands there already." if plan.changes_nothing else "",
        )
    events = _events(plan.events)
    if plan.kind == "repeat":
        return Effect(
            kind="info",
            icon="replay",
            title=f"{events} would be read again",
            text="Those already stored are recognised and not counted twice. Messages that failed "
            "fail again and become new failed items.",
        )
    return Effect(
        kind="warn",
        icon="fast_forward",
        title=f"{events} would be skipped",
        text=_loss(plan),
    )


def _events(number: int | None) -> str:
    if number is None:
        return "An unknown number of events"
    return f"{count(abs(number))} {'event' if abs(number) == 1 else 'events'}"


def _loss(plan: SeekPlan) -> str:
    if plan.lost is None:
        return "How many of them the broker no longer holds cannot be told."
    if plan.lost == 0:
        return "They stay at the broker for as long as it keeps them, and are not stored here."
    if plan.lost == plan.events:
        return "The broker no longer holds any of them: they are lost wherever reading goes on."
    return (
        f"The broker no longer holds {count(plan.lost)} of them: these are lost wherever reading "
        "goes on. The others could still be read."
    )


def moved_events(events: int | None) -> str:
    """What a seek did to how many events, in words."""
    if events is None:
        return "not known"
    if events == 0:
        return "none"
    return f"{count(abs(events))} {'skipped' if events > 0 else 'read again'}"
