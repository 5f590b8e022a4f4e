"""One message under one bundle: the verdict on each part, with all that rules give for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import polars as pl

from ingestion.bundles import CompiledBundle
from ingestion.evaluate import METRIC_PREFIX, METRIC_TYPES, FailedPart, Outcome, evaluate
from ingestion.parsing import ValidationError
from ingestion.parsing.document import Document
from ingestion.parsing.mapping import read_document
from ingestion.parsing.paths import label_of
from ingestion.parsing.reading import Rejected
from ingestion.routing import NOWHERE
from ingestion.sources.base import MessageBatch
from ingestion.trybox.traces import Trace, trace
from metrics.buckets import bucket_value
from metrics.extractors import MetricType
from metrics.isolation import RuleFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one rule or extractor gives for one part."""

    name: str
    kind: MetricType
    #: values of the rule's groups
    group: Mapping[str, Any]
    #: of a RATE the numerator
    value: Decimal
    #: of a RATE
    over: Decimal | None = None
    #: the value stands for its bucket
    is_about: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a compliance rule finds in one part."""

    rule: str
    severity: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The verdict on one part: accepted, failed or ignored."""

    verdict: str
    #: name and number of the schema that took it, "" when none did
    schema: str = ""
    #: the array that the schema explodes, as errors name it; "": a message is one event
    explode: str = ""
    transaction_id: str = ""
    is_late: bool = False
    #: "decode" or "validate" of a failed part
    stage: str = ""
    errors: Sequence[ValidationError] = ()
    #: what each column and attribute gets, and from where
    traces: Sequence[Trace] = ()
    given: Sequence[Given] = ()
    findings: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A message under one bundle."""

    #: verdict and transaction id of every part
    parts: Sequence[tuple[str, str]]
    #: the part that was asked for, or the last one
    number: int
    part: Part
    rule_failures: Mapping[str, RuleFailure] = field(default_factory=dict)

    def place_of(self, error: ValidationError) -> str:
        """The field of an error within the whole message: errors name the element as the array."""
        array = self.part.explode
        is_inside = array and (
            error.field == array or error.field.startswith((f"{array}.", f"{array}["))
        )
        return f"{array}[{self.number}]{error.field[len(array) :]}" if is_inside else error.field


def judge(message: MessageBatch, bundle: CompiledBundle, *, part: int) -> Judged:
    """Evaluate a scrubbed batch of one message and look at one of its parts.

    What rules give is added up as for a batch that holds this part alone.
    """
    outcome = evaluate(message, bundle)
    number = min(part, outcome.parts - 1)
    return Judged(
        parts=_parts(outcome),
        number=number,
        part=_part(message, bundle, outcome, number),
        rule_failures=outcome.rule_failures,
    )


def _parts(outcome: Outcome) -> list[tuple[str, str]]:
    parts = [("ignored", "")] * outcome.parts
    for failed in outcome.failed:
        parts[failed.ordinal] = ("failed", failed.transaction_id)
    for ordinal, name in outcome.accepted.select("ordinal", "transaction_id").iter_rows():
        parts[ordinal] = ("accepted", name)
    return parts


def _part(message: MessageBatch, bundle: CompiledBundle, outcome: Outcome, number: int) -> Part:
    accepted = outcome.accepted.filter(pl.col("ordinal") == number)
    failed = next((part for part in outcome.failed if part.ordinal == number), None)
    if failed is not None:
        return _failed(message, bundle, failed)
    if accepted.is_empty():
        return Part(verdict="ignored")
    row = accepted.row(0, named=True)
    findings = outcome.findings.filter(pl.col("ordinal") == number)
    document = _document(bundle, row["route"])
    return Part(
        verdict="accepted",
        schema=bundle.version_of(row["route"]),
        explode=label_of(document.explode or ()),
        transaction_id=row["transaction_id"],
        is_late=row["late"],
        traces=trace(_opened(message, document), document, part=number, values=row),
        given=_given(accepted, bundle),
        findings=[
            Finding(
                rule=found["rule"],
                severity=found["severity"],
                evidence=json.loads(found["evidence"]),
            )
            for found in findings.iter_rows(named=True)
        ],
    )


def _failed(message: MessageBatch, bundle: CompiledBundle, failed: FailedPart) -> Part:
    part = Part(
        verdict="failed",
        schema=bundle.version_of(failed.route),
        transaction_id=failed.transaction_id,
        stage=failed.stage,
        errors=failed.errors,
    )
    if failed.route == NOWHERE:
        return part
    document = _document(bundle, failed.route)
    return replace(
        part,
        explode=label_of(document.explode or ()),
        traces=trace(_opened(message, document), document, part=failed.part, values=None),
    )


def _opened(message: MessageBatch, document: Document) -> MessageBatch:
    """The message as the mapping reads it: with the text that carries its event opened."""
    if document.wrapping is None:
        return message
    try:
        bodies = [document.wrapping.open(message.bodies[0])]
    except Rejected:
        return message
    return message.with_bodies(bodies, keys=message.keys, headers=message.headers)


def _document(bundle: CompiledBundle, route: int) -> Document:
    schema = bundle.content["routes"][route]["schema"]
    return read_document(schema["document"], name=schema["name"])


def _given(accepted: pl.DataFrame, bundle: CompiledBundle) -> list[Given]:
    """Values of windowed rules, and those that extractors keep with the event alone."""
    engine = bundle.metrics.windows
    kinds = {rule.name: rule.metric.metric_type for rule in engine.rules}
    cells, kept = engine.cells(accepted), _kept(accepted)
    given = [
        Given(
            name=cell["rule"],
            kind=kinds[cell["rule"]],
            group=json.loads(cell["group_key"]),
            value=cell["value_sum"],
            over=cell["denominator"] if kinds[cell["rule"]] is MetricType.RATE else None,
        )
        for cell in cells.windows.iter_rows(named=True)
    ]
    given += [
        Given(
            name=cell["rule"],
            kind=MetricType.HISTOGRAM,
            group=json.loads(cell["group_key"]),
            value=kept[cell["rule"]].value
            if cell["rule"] in kept
            else bucket_value(cell["bucket"]),
            is_about=cell["rule"] not in kept,
        )
        for cell in cells.buckets.iter_rows(named=True)
    ]
    given += [one for name, one in kept.items() if name not in kinds]
    return sorted(given, key=lambda one: one.name)


def _kept(accepted: pl.DataFrame) -> dict[str, Given]:
    """What would be kept with the event: metric_data, exact."""
    found = {}
    for kind in METRIC_TYPES:
        text = accepted[METRIC_PREFIX + kind].item()
        for name, value in json.loads(text or "{}", parse_float=Decimal).items():
            is_rate = isinstance(value, dict)
            found[name] = Given(
                name=name,
                kind=MetricType(kind),
                group={},
                value=Decimal(value["n"] if is_rate else value),
                over=Decimal(value["d"]) if is_rate else None,
            )
    return found
