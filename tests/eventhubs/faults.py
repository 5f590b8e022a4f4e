"""What a test makes go wrong, and what has happened since."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Rule:
    """An error that a stage answers with, so many times (-1: until it is lifted)."""

    condition: str
    text: str
    times: int


@dataclass(slots=True)
class Faults:
    """The faults in force."""

    #: stage ("connect", "cbs", "management", "attach") -> rule
    rules: dict[str, Rule] = field(default_factory=dict)
    #: hubs whose producers hear that the server is busy, in lower case
    throttled: set[str] = field(default_factory=set)
    #: deliveries that will be kept, and the connection cut before the answer
    lost_answers: int = 0
    #: how many more events readers get before their connection is cut mid-frame; -1: no limit
    events_until_cut: int = -1
    #: at most so many events at a time, with 20 ms in between; 0: no limit
    trickle: int = 0

    def take(self, stage: str) -> Rule | None:
        """The rule of a stage, used once."""
        rule = self.rules.get(stage)
        if rule is None or rule.times == 0:
            return None
        rule.times -= 1
        return rule


@dataclass(slots=True)
class Stats:
    """Counts since the server started."""

    connections: int = 0
    attached: int = 0
    stolen: int = 0
    refused: int = 0
    throttled: int = 0
    events_in: int = 0
    events_out: int = 0
    heartbeats_in: int = 0
    management: int = 0
