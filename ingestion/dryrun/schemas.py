"""What a draft schema would change: verdicts and columns of archived events, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from ingestion.dryrun.unit import Unit, add_counts
from ingestion.dryrun.verdicts import ABSENT, ACCEPTED, FAILED, Judged
from ingestion.evaluate import METRIC_PREFIX, FailedPart
from metrics.windows import PREFIX as RULE_PREFIX

#: kept of each cause and of each column
SAMPLES: Final = 5
#: merchants that are told apart for one cause
MAX_MERCHANTS: Final = 1_000
#: causes that are told apart
MAX_CAUSES: Final = 200
#: characters of a value in a sample
MAX_VALUE: Final = 80
_MINUTE_US: Final = 60_000_000
_MINUTE_S: Final = 60
#: columns that no person sees: what they are made of is compared itself
_NOT_COMPARED: Final = frozenset(
    {"ordinal", "part", "message", "route", "late", "key_hex", "payload_hash", "metadata"}
)
_OTHERS: Final = ("", "other causes", "", "")


@dataclass(slots=True, kw_only=True)
class Cause:
    """Parts that fail, or pass, for one reason."""

    events: int = 0
    #: of those that fail newly; "" where the event says none
    merchants: Counter[str] = field(default_factory=Counter)
    #: of merchants beyond MAX_MERCHANTS
    other_merchants: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)

    def count(self, merchant: str | None, number: int = 1) -> None:
        if merchant is None:
            return
        if merchant in self.merchants or len(self.merchants) < MAX_MERCHANTS:
            self.merchants[merchant] += number
        else:
            self.other_merchants += number

    def add(self, merchant: str | None) -> bool:
        """Count a part; whether one more sample is wanted."""
        self.events += 1
        self.count(merchant)
        return len(self.samples) < SAMPLES

    def keep(self, place: Mapping[str, Any], **said: Any) -> None:
        """A sample: where it is kept, and what both sides say of it."""
        self.samples.append({**place, **said})

    def merge(self, other: Cause) -> None:
        self.events += other.events
        for merchant, number in other.merchants.items():
            self.count(merchant, number)
        self.other_merchants += other.other_merchants
        self.samples += other.samples[: SAMPLES - len(self.samples)]


#: field, reason, what was expected, source
CauseKey = tuple[str, str, str, str]


@dataclass(slots=True, kw_only=True)
class SchemaTally:
    """What was found so far; parts of it are added up over processes."""

    #: (verdict under the live bundle, under the draft) -> parts
    verdicts: dict[tuple[str, str], int] = field(default_factory=dict)
    failing: dict[CauseKey, Cause] = field(default_factory=dict)
    passing: dict[CauseKey, Cause] = field(default_factory=dict)
    #: column or attribute -> events accepted on both sides whose value differs
    columns: dict[str, Cause] = field(default_factory=dict)
    #: events accepted on both sides with any value that differs
    changed: int = 0
    #: minute of the broker's time (seconds since 1970) -> accepted parts on each side
    live_minutes: dict[int, int] = field(default_factory=dict)
    draft_minutes: dict[int, int] = field(default_factory=dict)

    def merge(self, other: SchemaTally) -> None:
        add_counts(self.verdicts, other.verdicts)
        add_counts(self.live_minutes, other.live_minutes)
        add_counts(self.draft_minutes, other.draft_minutes)
        self.changed += other.changed
        for mine, theirs in ((self.failing, other.failing), (self.passing, other.passing)):
            for key, cause in theirs.items():
                _cause(mine, key).merge(cause)
        for name, cause in other.columns.items():
            self.columns.setdefault(name, Cause()).merge(cause)


def compare_schemas(unit: Unit, live: Judged, draft: Judged) -> SchemaTally:
    """Both verdicts of every part, and the columns of those that pass under both."""
    tally = SchemaTally()
    pairs = _pairs(live, draft)
    for old, new, number in pairs.group_by("old", "new").len().iter_rows():
        tally.verdicts[old, new] = number
    moved = pairs.filter(pl.col("old") != pl.col("new"))
    _note_failing(tally, unit, moved, live, draft)
    _note_passing(tally, unit, moved, live, draft)
    _note_columns(tally, unit, live, draft)
    tally.live_minutes = _minutes(unit, live)
    tally.draft_minutes = _minutes(unit, draft)
    return tally


def _pairs(live: Judged, draft: Judged) -> pl.DataFrame:
    """message, part, verdict and ordinal on both sides (old, new, ordinal, ordinal_new)."""
    old = live.verdicts.rename({"verdict": "old"})
    new = draft.verdicts.rename({"verdict": "new"})
    if old.height == new.height and old.select("message", "part").equals(
        new.select("message", "part")
    ):
        return old.with_columns(new["new"], ordinal_new=new["ordinal"])
    both = old.join(new, on=["message", "part"], how="full", coalesce=True, suffix="_new")
    return both.with_columns(pl.col("old", "new").fill_null(ABSENT)).sort("message", "part")


def _note_failing(
    tally: SchemaTally, unit: Unit, moved: pl.DataFrame, live: Judged, draft: Judged
) -> None:
    failing = moved.filter(new=FAILED)
    if failing.is_empty():
        return
    events = live.accepted().select("ordinal", "transaction_id", "merchant_id")
    known = {ordinal: (id_, merchant) for ordinal, id_, merchant in events.iter_rows()}
    for message, part, _, ordinal, _, at in failing.iter_rows():
        refused = draft.failed[at]
        transaction_id, merchant = known.get(ordinal, (refused.transaction_id, ""))
        cause = _cause(tally.failing, _key(refused, unit))
        if cause.add(merchant):
            place = unit.place(message, part)
            sides = {"old": _side(live, ordinal), "new": _side(draft, at)}
            cause.keep(place, transaction_id=transaction_id, merchant_id=merchant, **sides)


def _note_passing(
    tally: SchemaTally, unit: Unit, moved: pl.DataFrame, live: Judged, draft: Judged
) -> None:
    passing = moved.filter(old=FAILED, new=ACCEPTED)
    if passing.is_empty():
        return
    events = draft.accepted().select("ordinal", "transaction_id", "merchant_id")
    known = {ordinal: (id_, merchant) for ordinal, id_, merchant in events.iter_rows()}
    for message, part, _, ordinal, _, at in passing.iter_rows():
        cause = _cause(tally.passing, _key(live.failed[ordinal], unit))
        transaction_id, merchant = known[at]
        if cause.add(merchant):
            place = unit.place(message, part)
            sides = {"old": _side(live, ordinal), "new": _side(draft, at)}
            cause.keep(place, transaction_id=transaction_id, merchant_id=merchant, **sides)


def _note_columns(tally: SchemaTally, unit: Unit, live: Judged, draft: Judged) -> None:
    """Events that pass under both, column by column; one that a side lacks is null there."""
    old, new = _values(live), _values(draft)
    both = old.join(new, on=["message", "part"], how="inner", suffix=":new")
    names = sorted({*old.columns, *new.columns} - {"message", "part"})
    differs = both.select(_differs(name, old, new).alias(name) for name in names)
    tally.changed = int(differs.select(pl.any_horizontal(pl.all()).sum()).item()) if names else 0
    for name, number in differs.sum().row(0, named=True).items() if tally.changed else ():
        if not number:
            continue
        rows = both.filter(differs[name]).head(SAMPLES)
        samples = [_column_sample(unit, row, name) for row in rows.iter_rows(named=True)]
        tally.columns[name] = Cause(events=number, samples=samples)


def _values(side: Judged) -> pl.DataFrame:
    events = side.accepted()
    names = [
        name
        for name in events.columns
        if name not in _NOT_COMPARED and not name.startswith((RULE_PREFIX, METRIC_PREFIX))
    ]
    return events.select("message", "part", *names)


def _differs(name: str, old: pl.DataFrame, new: pl.DataFrame) -> pl.Expr:
    if name not in old.columns or name not in new.columns:
        return pl.col(name).is_not_null()
    before, after = pl.col(name), pl.col(f"{name}:new")
    if old.schema[name] != new.schema[name]:
        before, after = before.cast(pl.String), after.cast(pl.String)
    return before.ne_missing(after)


def _column_sample(unit: Unit, row: Mapping[str, Any], name: str) -> dict[str, Any]:
    is_new = f"{name}:new" not in row and name not in row
    old = None if is_new else row.get(name)
    new = row.get(f"{name}:new")
    return {
        **unit.place(row["message"], row["part"]),
        "transaction_id": row["transaction_id"],
        "old": _text(old),
        "new": _text(new),
    }


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def _side(side: Judged, ordinal: int | None) -> dict[str, Any]:
    """A verdict as JSON: no payload, only what was expected and the type or size found."""
    if ordinal is None:
        return {"verdict": ABSENT, "errors": []}
    refused = side.failed.get(ordinal)
    return {
        "verdict": side.verdicts["verdict"][ordinal],
        "errors": [
            {
                "field": error.field,
                "reason": str(error.constraint),
                "expected": error.expected,
                "actual": error.actual,
            }
            for error in (refused.errors[:SAMPLES] if refused else ())
        ],
    }


def _key(refused: FailedPart, unit: Unit) -> CauseKey:
    error = refused.errors[0]
    return error.field, str(error.constraint), error.expected, unit.messages.source


def _cause(causes: dict[CauseKey, Cause], key: CauseKey) -> Cause:
    if key not in causes and len(causes) >= MAX_CAUSES:
        key = _OTHERS
    return causes.setdefault(key, Cause())


def _minutes(unit: Unit, side: Judged) -> dict[int, int]:
    """Accepted parts by minute of the broker's time."""
    times = pl.Series("time", unit.messages.times_us, dtype=pl.Int64) // _MINUTE_US * _MINUTE_S
    accepted = side.verdicts.filter(verdict=ACCEPTED)["message"]
    counted = times.gather(accepted).value_counts(name="events")
    return dict(counted.iter_rows())
