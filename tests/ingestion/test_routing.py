"""Several schemas behind one source: which message goes where, and what the rules make of it."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from configuration.routes import read_route_table
from ingestion.evaluate import evaluate, verdicts
from ingestion.parsing import MAX_MESSAGE
from ingestion.routing import NOWHERE, Routed, Router
from metrics.windows import merge_buckets, merge_windows
from payflow.lib.errors import ConfigurationError
from tests.ingestion.bundled import (
    CHARGE,
    METRICS,
    REFUND,
    batch_of,
    bundle_of,
    charge,
    refund,
)

_TABLE = {"by": {"field": "type"}, "in": [["charge.*"], ["refund"]]}


def router(*values: list[str], by: dict[str, str] | None = None, **more: Any) -> Router:
    """A router with one route for each list of values."""
    rows = [{"in": row, "schema": "any"} for row in values]
    return Router(read_route_table({"by": by or {"field": "type"}, "routes": rows, **more}))


def place_of(routed: Routed, row: int) -> object:
    """The route of a message, "ignored", or the reason why it failed."""
    for number, rows in enumerate(routed.rows):
        if row in rows:
            return number
    return "ignored" if row in routed.ignored else str(routed.failures[row].constraint)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"type": "pay"}', 0),
        (b'{"type": "pay.in"}', 1),
        (b'{"type": "pay.out"}', 0),
        (b'{"type": "pa\\u0079"}', 0),
        (b'{"type": 7}', 2),
        (b'{"type": true}', 2),
        (b'{"type": 7.0}', "unrouted"),
        (b'{"type": "other"}', "unrouted"),
        (b'{"type": ""}', "unrouted"),
        (b'{"type": null}', "unrouted"),
        (b'{"type": {"pay": 1}}', "unrouted"),
        (b'{"inner": {"type": "pay"}}', "unrouted"),
        (b'{"type": 1' + b"0" * 5000 + b"}", "unrouted"),
        (b"{}", "unrouted"),
        (b"", "empty"),
        (b"{", "invalid_json"),
        (b"[]", "not_an_object"),
        (b'\xef\xbb\xbf{"type": "pay"}', "bom"),
        (b'{"type": "\xff"}', "invalid_utf8"),
        (b'{"type": "pay", "x": NaN}', "non_finite"),
    ],
)
def test_a_message_goes_where_its_field_says(body, place):
    """The first route that takes the value; what cannot be read fails with its own reason."""
    routes = router(["pay", "pay.out"], ["pay.*"], ["7", "true"])

    assert place_of(routes.sort([body], None), 0) == place


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"a": {"b": "x"}}', 0),
        (b'{"a": {"b": "x", "b": "y"}}', "unrouted"),
        (b'{"a": {"c": 1}}', "unrouted"),
        (b'{"a": "x"}', "unrouted"),
        (b'{"a": ["x"]}', "unrouted"),
        (b'{"a": null}', "unrouted"),
        (b'{"a.b": "x"}', "unrouted"),
    ],
)
def test_a_field_may_lie_within_objects(body, place):
    """Names joined by dots; of a name that is there twice the last counts, as JSON readers do."""
    assert place_of(router(["x"], by={"field": "a.b"}).sort([body], None), 0) == place


@pytest.mark.parametrize(
    ("headers", "place"),
    [
        (b'{"event-type": "pay", "n": 1}', 0),
        (b'{"event-type": 7}', 1),
        (b'{"Event-Type": "pay"}', "unrouted"),
        (b"no object", "unrouted"),
        (None, "unrouted"),
    ],
)
def test_a_message_goes_where_its_header_says(headers, place):
    """The body is not looked at."""
    routes = router(["pay"], ["7"], by={"header": "event-type"})

    assert place_of(routes.sort([b"\xff"], [headers]), 0) == place


def test_a_star_alone_takes_the_rest_also_what_has_no_value():
    """But nothing that cannot be read."""
    routed = router(["pay"], ["*"]).sort([b'{"type":"pay"}', b'{"type":"x"}', b"{}", b"?"], None)

    assert routed.rows == [[0], [1, 2]]
    assert list(routed.failures) == [3]


def test_what_is_ignored_must_be_readable():
    """Else broken bytes would vanish behind a table that ignores the rest."""
    routes = router(["pay"], otherwise="ignored")
    large = b'{"type": "x", "y": "' + b"z" * MAX_MESSAGE + b'"}'
    deep = b'{"type": "x", "y": ' + b"[" * 400 + b"]" * 400 + b"}"

    routed = routes.sort([b'{"type":"x"}', b'{"type":"x","y":"\xff"}', large, deep], None)

    assert routed.ignored == [0]
    assert [error.constraint for error in routed.failures.values()] == [
        "invalid_utf8",
        "too_large",
        "too_deep",
    ]


def test_by_header_what_others_send_is_ignored_unread():
    """Their messages may be anything but JSON."""
    routes = router(["pay"], by={"header": "type"}, otherwise="ignored")

    assert routes.sort([b"\x00\xff"], [b'{"type": "avro"}']).ignored == [0]


def test_each_schema_judges_its_own_messages():
    """Verdicts by ordinal, in the order of the broker, whoever gave them."""
    bundle = bundle_of(CHARGE, REFUND, table=_TABLE)
    messages: list[bytes | dict[str, Any]] = [
        charge(1),
        refund(1),
        charge(2, amount=-1),
        b"?",
        {"type": "payout"},
        refund(2, amount="x"),
        charge(3),
    ]

    outcome = evaluate(batch_of(messages), bundle)

    assert verdicts(outcome) == ["accepted"] * 2 + ["failed"] * 4 + ["accepted"]
    assert outcome.accepted.select("ordinal", "route", "transaction_id").rows() == [
        (0, 0, "ch-1"),
        (1, 1, "re-1"),
        (6, 0, "ch-3"),
    ]
    assert outcome.accepted["amount"].cast(pl.String).to_list() == ["12.5000"] * 3
    assert [(part.ordinal, part.route, part.stage) for part in outcome.failed] == [
        (2, 0, "validate"),
        (3, NOWHERE, "decode"),
        (4, NOWHERE, "validate"),
        (5, 1, "validate"),
    ]
    assert [bundle.name_of(part.route) for part in outcome.failed] == ["charge", "", "", "refund"]
    assert outcome.failed[2].errors[0].field == "type"
    assert "payout" not in repr(outcome.failed[2])


def test_what_no_route_takes_is_ignored_where_the_table_says_so():
    """Counted and archived, and no failure."""
    bundle = bundle_of(CHARGE, REFUND, table={**_TABLE, "otherwise": "ignored"})

    outcome = evaluate(batch_of([{"type": "payout"}, charge(1)]), bundle)

    assert outcome.ignored == [0]
    assert outcome.failed == []


def test_rules_know_what_the_schema_behind_each_route_maps():
    """A rule over an attribute of one schema accuses no event of the others."""
    bundle = bundle_of(CHARGE, REFUND, table=_TABLE, metrics=METRICS)
    messages = [charge(1, risk=0.9), charge(2), refund(1, amount=200_000), charge(3, risk=0.1)]

    outcome = evaluate(batch_of(messages), bundle)
    cells = bundle.metrics.windows.cells(outcome.accepted).windows

    counted = {
        rule: (key, n)
        for rule, key, n in cells.select("rule", "group_key", "transactions").iter_rows()
        if rule in ("risky", "refund_reasons")
    }
    assert counted == {
        "risky": ('{"merchant_id":"M-1"}', 2),
        "refund_reasons": ('{"why":"broken"}', 1),
    }
    assert outcome.findings["ordinal"].to_list() == [2]
    assert outcome.accepted["metric:COUNTER"].to_list() == [None, None, '{"large":1}', None]


def test_batches_with_one_route_alone_have_the_same_columns():
    """What adds up cells needs every column, whatever came."""
    bundle = bundle_of(CHARGE, REFUND, table=_TABLE, metrics=METRICS)
    both = evaluate(batch_of([charge(1), refund(1)]), bundle).accepted

    for messages in ([charge(2)], [refund(2)], [b"?"]):
        one = evaluate(batch_of(messages), bundle).accepted
        assert one.schema == both.schema
        bundle.metrics.windows.cells(one)


def test_any_split_into_batches_gives_the_same_cells():
    """Exactly once rests on it: verify puts batches together as it likes."""
    bundle = bundle_of(CHARGE, REFUND, table=_TABLE, metrics=METRICS)
    messages = [
        maker(n, amount=n * 40, merchant=f"M-{n % 3}")
        for n in range(60)
        for maker in (charge, refund)
    ]

    whole = bundle.metrics.windows.cells(evaluate(batch_of(messages), bundle).accepted)
    pieces = [
        bundle.metrics.windows.cells(evaluate(batch_of(messages[at : at + 7]), bundle).accepted)
        for at in range(0, len(messages), 7)
    ]

    assert merge_windows([cells.windows for cells in pieces]).equals(whole.windows)
    assert merge_buckets([cells.buckets for cells in pieces]).equals(whole.buckets)


def test_a_route_table_with_one_route_judges_as_the_schema_alone():
    """The fast path without routes and the way over them agree on every column."""
    messages = [charge(n, risk=n / 10) for n in range(5)] + [charge(9, amount="x")]

    alone = evaluate(batch_of(messages), bundle_of(CHARGE, metrics=_WITHOUT_WHY))
    routed = evaluate(
        batch_of(messages),
        bundle_of(CHARGE, table={"by": {"field": "type"}, "in": [["*"]]}, metrics=_WITHOUT_WHY),
    )

    assert routed.accepted.equals(alone.accepted)
    assert routed.findings.equals(alone.findings)
    assert routed.failed == alone.failed


_WITHOUT_WHY = {**METRICS, "metrics": METRICS["metrics"][:2]}


def test_failures_of_a_rule_are_added_up_over_the_routes():
    """Each route has other events."""
    rule = {
        "name": "cube",
        "description": "It has no room for what is large.",
        "type": "GAUGE",
        "value": "amount * amount * amount",
    }
    bundle = bundle_of(CHARGE, REFUND, table=_TABLE, metrics={"name": "x", "metrics": [rule]})

    large = 10**13
    outcome = evaluate(
        batch_of([charge(1, amount=large), refund(1, amount=large * 100), refund(2)]), bundle
    )

    assert outcome.rule_failures["cube"].count == 2


def test_schemas_of_one_source_agree_on_the_types_of_attributes():
    """A rule over it must mean the same behind every route."""
    other = {**REFUND, "attributes": {"risk": {"path": "risk", "type": "string"}}}

    with pytest.raises(ConfigurationError, match="'risk' of 'refund' has another type") as refused:
        bundle_of(CHARGE, other, table=_TABLE)

    assert refused.value.problems[0].pointer == "/route_table/routes/1/schema"


def test_ids_of_every_schema_are_spared_from_masking():
    """A number that only looks like a card number must not make two events one."""
    number = "4111111111111111"
    bundle = bundle_of(CHARGE, REFUND, table=_TABLE)
    body = json.dumps(refund(1, refund={"id": number}, id=number, note=number)).encode()

    from ingestion.scrub import scrub

    (clean,) = scrub([body], None, None, rules=bundle.scrub, key=b"k").bodies

    assert json.loads(clean)["refund"]["id"] == number
    assert json.loads(clean)["id"] == number
    assert json.loads(clean)["note"] == "411111******1111"
