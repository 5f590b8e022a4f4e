"""What the compatibility of two versions of a schema is: a verdict each way, with its reasons.

Which way a change goes is decided where schemas are understood (`configuration.validators`); here
are the words that gates, pages and the command line share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What a difference between two schemas does to events that pass one of them."""

    #: some of them would fail under the other, or give other columns
    BREAKING = "breaking"
    #: payflow cannot tell, so it does not say that it is safe
    UNKNOWN = "unknown"
    #: none of them is touched
    HARMLESS = "harmless"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One difference and what follows from it."""

    #: JSON pointer into the newer document, or into the older one where the newer has no such place
    pointer: str
    #: the event's field ("money.value"), the column or the part of the schema that it is about
    field: str
    #: a sentence without the field's name
    message: str
    effect: Effect

    @property
    def is_breaking(self) -> bool:
        return self.effect is Effect.BREAKING

    def __str__(self) -> str:
        doubt = "cannot tell: " if self.effect is Effect.UNKNOWN else ""
        return f"{self.field or 'schema'}: {doubt}{self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One direction."""

    reasons: tuple[Reason, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no event can tell the two schemas apart; false where payflow cannot tell."""
        return all(reason.effect is Effect.HARMLESS for reason in self.reasons)

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known to break, but something is not understood."""
        return not self.ok and not any(reason.is_breaking for reason in self.reasons)

    @property
    def against(self) -> tuple[Reason, ...]:
        """The reasons why it is not ok: what breaks first, then what is not understood."""
        found = [reason for reason in self.reasons if reason.effect is not Effect.HARMLESS]
        return tuple(sorted(found, key=lambda reason: not reason.is_breaking))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compatibility:
    """Both directions of an older and a newer schema.

    `backward`: every event that passed the older one passes the newer one with the same columns.
    `forward`: every event that passes the newer one passed the older one with the same columns.
    """

    backward: Verdict
    forward: Verdict

    def refusals(self, mode: str) -> tuple[Reason, ...]:
        """Why a gate (none, backward, forward or full) stays closed; empty when it opens."""
        asked: Sequence[Verdict] = {
            "none": (),
            "backward": (self.backward,),
            "forward": (self.forward,),
            "full": (self.backward, self.forward),
        }[mode]
        return tuple(dict.fromkeys(reason for verdict in asked for reason in verdict.against))
