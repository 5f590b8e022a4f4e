"""What evaluate() said of each part, in one table that two evaluations can be compared by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from ingestion.evaluate import FailedPart, Outcome

ACCEPTED: Final = "accepted"
FAILED: Final = "failed"
IGNORED: Final = "ignored"
#: a part that only the other side has: it takes messages apart in another way
ABSENT: Final = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An outcome, and each part's place in it."""

    outcome: Outcome
    #: message, part, verdict, ordinal: one row a part, in order
    verdicts: pl.DataFrame
    failed: dict[int, FailedPart]

    def accepted(self) -> pl.DataFrame:
        """The accepted parts; `message` is the index of the message that each comes from."""
        return self.outcome.accepted.rename({"row": "message"})


def judged(outcome: Outcome) -> Judged:
    """Each part by its message and its number within it."""
    verdicts = [ACCEPTED] * outcome.parts
    for refused in outcome.failed:
        verdicts[refused.ordinal] = FAILED
    for ordinal in outcome.ignored:
        verdicts[ordinal] = IGNORED
    ordinals = pl.int_range(outcome.parts, dtype=pl.Int64, eager=True)
    if outcome.sizes is None:
        messages, parts = ordinals, pl.repeat(0, outcome.parts, dtype=pl.Int64, eager=True)
    else:
        sizes = pl.Series("size", outcome.sizes, dtype=pl.UInt32)
        messages = pl.Series(range(len(sizes)), dtype=pl.Int64).repeat_by(sizes).explode()
        begins = (sizes.cum_sum() - sizes).repeat_by(sizes).explode()
        parts = ordinals - begins.cast(pl.Int64)
    return Judged(
        outcome=outcome,
        verdicts=pl.DataFrame(
            {
                "message": messages,
                "part": parts.cast(pl.Int32),
                "verdict": pl.Series(verdicts, dtype=pl.String),
                "ordinal": ordinals,
            }
        ),
        failed={refused.ordinal: refused for refused in outcome.failed},
    )
