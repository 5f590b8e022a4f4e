"""The first half of evaluate(): every part of every message is routed, validated and mapped.

Parts are numbered over the whole batch; that number is a part's `ordinal`. A message that fails or
is ignored whole is one part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Final

import polars as pl
import xxhash

from ingestion.bundles import CompiledBundle
from ingestion.parsing import CompiledSchema, Parsed, Reason, ValidationError
from ingestion.parsing.reasons import problem
from ingestion.routing import NOWHERE, Routed
from ingestion.sources.base import MessageBatch

WINDOW: Final = timedelta(minutes=5)
#: an event is late when its window had ended this long before the broker had it
LATE_AFTER: Final = timedelta(minutes=5)
#: a producer's clock may run ahead by so much; beyond it the event fails
FUTURE_TOLERANCE: Final = timedelta(minutes=5)
#: the bytes could not be read at all; every other reason is about what they say
DECODE_REASONS: Final = frozenset(
    {
        Reason.TOO_LARGE,
        Reason.EMPTY,
        Reason.INVALID_UTF8,
        Reason.BOM,
        Reason.INVALID_JSON,
        Reason.TOO_DEEP,
        Reason.NON_FINITE,
        Reason.NOT_AN_OBJECT,
        Reason.DUPLICATE_KEY,
        Reason.INVALID_ENCODING,
        Reason.INVALID_XML,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedPart:
    """A message part that is refused."""

    #: of the part within the batch
    ordinal: int
    #: index of its message
    row: int
    #: its number within the message
    part: int
    #: of the bundle; NOWHERE when no schema takes the message
    route: int
    stage: str
    errors: tuple[ValidationError, ...]
    #: "" where the event does not say or could not be read
    transaction_id: str = ""
    correlation_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """A batch that schemas have judged and rules have not."""

    parts: int
    #: parts of each message; None: each has one, and an ordinal is the index of its message
    sizes: Sequence[int] | None
    #: what each route of the bundle accepted, in the order of routes, each by ordinal
    accepted: tuple[pl.DataFrame, ...]
    #: by ordinal
    failed: list[FailedPart]
    #: ordinals that the configuration routes away, ascending
    ignored: list[int]


def read_events(batch: MessageBatch, bundle: CompiledBundle) -> Events:
    """Route, validate and map a scrubbed batch; bundles with the same routes give the same."""
    routed, parsed = _parse(batch, bundle)
    numbers = _Numbers(_sizes(parsed, messages=len(batch)))
    accepted, failed = (
        [],
        [_unrouted(row, error, numbers) for row, error in routed.failures.items()],
    )
    ignored = [numbers.of(row, 0) for row in routed.ignored]
    for one in parsed:
        columns, ahead = _split_future(_complete(one.columns(numbers), batch))
        accepted.append(columns)
        failed += ahead
        failed += one.failed(numbers)
        ignored += one.ignored(numbers)
    sizes = numbers.sizes
    return Events(
        parts=len(batch) if sizes is None else sum(sizes),
        sizes=sizes,
        accepted=tuple(accepted),
        failed=sorted(failed, key=lambda part: part.ordinal),
        ignored=sorted(ignored),
    )


def _parse(batch: MessageBatch, bundle: CompiledBundle) -> tuple[Routed, list[_OfRoute]]:
    """Each message by the schema of its route."""
    if bundle.router is None:
        parsed = bundle.schema.parse(batch.bodies, batch.headers)
        return Routed(rows=[]), [_OfRoute(route=0, rows=None, parsed=parsed)]
    routed = bundle.router.sort(batch.bodies, batch.headers)
    return routed, [
        _OfRoute(route=number, rows=rows, parsed=_parse_rows(route.schema, batch, rows))
        for number, (route, rows) in enumerate(zip(bundle.routes, routed.rows, strict=True))
    ]


def _parse_rows(schema: CompiledSchema, batch: MessageBatch, rows: Sequence[int]) -> Parsed:
    headers = [batch.headers[row] for row in rows] if batch.headers else None
    return schema.parse([batch.bodies[row] for row in rows], headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfRoute:
    """What the schema behind one route made of its messages."""

    route: int
    #: index of each of its messages in the batch; None: they are the batch
    rows: Sequence[int] | None
    parsed: Parsed

    def columns(self, numbers: _Numbers) -> pl.DataFrame:
        """What was accepted, with row, ordinal and route."""
        columns = self.parsed.columns
        if self.rows is not None:
            rows = pl.Series("row", self.rows, dtype=pl.UInt32)
            columns = columns.with_columns(rows.gather(columns["row"]))
        return columns.with_columns(numbers.expression(), route=pl.lit(self.route, pl.Int32))

    def failed(self, numbers: _Numbers) -> Iterator[FailedPart]:
        for place, errors in self.parsed.failures.items():
            names = self.parsed.names.get(place)
            row, part = self._row(place[0]), place[1]
            yield FailedPart(
                ordinal=numbers.of(row, part),
                row=row,
                part=part,
                route=self.route,
                stage=stage_of(errors[0].constraint),
                errors=errors,
                transaction_id=names.transaction_id if names else "",
                correlation_id=names.correlation_id if names else "",
            )

    def ignored(self, numbers: _Numbers) -> list[int]:
        return [numbers.of(self._row(row), part) for row, part in self.parsed.ignored]

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Index of each message that can have several parts, and how many it has."""
        for row, size in enumerate(self.parsed.parts or ()):
            yield self._row(row), size

    def _row(self, row: int) -> int:
        return row if self.rows is None else self.rows[row]


def _sizes(parsed: Sequence[_OfRoute], *, messages: int) -> list[int] | None:
    """Parts of each message, None when all have one."""
    if all(one.parsed.parts is None for one in parsed):
        return None
    sizes = [1] * messages
    for one in parsed:
        for row, size in one.sizes():
            sizes[row] = size
    return sizes


class _Numbers:
    """Ordinals of parts by row and part."""

    def __init__(self, sizes: Sequence[int] | None) -> None:
        self.sizes = sizes
        self._first = None if sizes is None else list(accumulate(sizes, initial=0))

    def of(self, row: int, part: int) -> int:
        return row if self._first is None else self._first[row] + part

    def expression(self) -> pl.Expr:
        """The same for the columns `row` and `part`."""
        ordinal = pl.col("row")
        if self._first is not None:
            first = pl.lit(pl.Series(self._first, dtype=pl.UInt32))
            ordinal = first.gather(ordinal) + pl.col("part").cast(pl.UInt32)
        return ordinal.alias("ordinal")


def _unrouted(row: int, error: ValidationError, numbers: _Numbers) -> FailedPart:
    return FailedPart(
        ordinal=numbers.of(row, 0),
        row=row,
        part=0,
        route=NOWHERE,
        stage=stage_of(error.constraint),
        errors=(error,),
    )


def stage_of(reason: Reason) -> str:
    """Whether the bytes could not be read or their content was refused."""
    return "decode" if reason in DECODE_REASONS else "validate"


def _complete(columns: pl.DataFrame, batch: MessageBatch) -> pl.DataFrame:
    """Add what the event itself does not say: its coordinates' names, broker time, lateness."""
    rows = columns["row"]
    prefix = f"{batch.source}/{batch.partition}/"
    offsets = pl.Series("offset", batch.offsets, dtype=pl.String).gather(rows)
    times = pl.Series("broker_time", batch.times_us, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    coordinates = prefix + offsets
    columns = columns.with_columns(
        times.gather(rows),
        correlation_id=pl.when(pl.col("correlation_id") == "")
        .then(coordinates)
        .otherwise(pl.col("correlation_id")),
    )
    if columns["event_key"].null_count():
        columns = _identify_by_position(columns, coordinates)
    window_end = pl.col("occurred_at").dt.truncate("5m") + WINDOW
    return columns.with_columns(
        key_hex=pl.col("event_key").bin.encode("hex"),
        late=window_end + LATE_AFTER < pl.col("broker_time"),
    )


def _identify_by_position(columns: pl.DataFrame, coordinates: pl.Series) -> pl.DataFrame:
    """`identity: position`: the coordinates are the event's only identity.

    Those of a message are its first part's; the others have their number behind.
    """
    part = columns["part"]
    if part.any():
        numbered = coordinates + "#" + part.cast(pl.String)
        coordinates = numbered.zip_with(part > 0, coordinates)
    digests = [xxhash.xxh3_128_digest(name.encode()) for name in coordinates]
    keys = pl.Series("event_key", digests, dtype=pl.Binary)
    return columns.with_columns(
        keys,
        transaction_id=pl.when(pl.col("transaction_id") == "")
        .then(coordinates)
        .otherwise(pl.col("transaction_id")),
    )


def _split_future(columns: pl.DataFrame) -> tuple[pl.DataFrame, list[FailedPart]]:
    """Refuse events that lie further ahead of the broker's time than clocks may differ."""
    ahead = columns["occurred_at"] > columns["broker_time"] + FUTURE_TOLERANCE
    if not ahead.any():
        return columns, []
    refused = columns.filter(ahead).with_columns(
        by=(pl.col("occurred_at") - pl.col("broker_time")).dt.total_seconds()
    )
    names = ("ordinal", "row", "part", "route", "transaction_id", "correlation_id")
    failed = [
        FailedPart(
            **{name: part[name] for name in names},
            stage="validate",
            errors=(_in_the_future(seconds=part["by"]),),
        )
        for part in refused.select(*names, "by").iter_rows(named=True)
    ]
    return columns.filter(~ahead), failed


def _in_the_future(*, seconds: int) -> ValidationError:
    minutes = FUTURE_TOLERANCE.seconds // 60
    return problem(
        "occurred_at",
        Reason.IN_THE_FUTURE,
        f"at most {minutes} minutes after the broker's time",
        f"{seconds:,} seconds after it",
    )
