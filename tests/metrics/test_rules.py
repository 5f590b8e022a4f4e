from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from metrics.reading import MAX_RULES
from metrics.rules import compile_metrics
from payflow.lib.errors import ConfigurationError
from tests.metrics.tables import ATTRIBUTES, with_attributes

GOOD = {"name": "good", "description": "A good rule.", "type": "COUNTER"}
RATE = {"name": "r", "description": "A rate.", "type": "RATE", "denominator": 1}


def problems(document: Mapping[str, Any]) -> dict[str, str]:
    """pointer -> message of everything that is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        compile_metrics(document, attributes=ATTRIBUTES)
    return {problem.pointer: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("change", "pointer", "message"),
    [
        ({"value": "amuont"}, "/metrics/0/value", "unknown column 'amuont'"),
        ({"value": "correlation_id"}, "/metrics/0/value", "unknown column"),
        ({"value": "channel"}, "/metrics/0/value", "must be a number, not text"),
        ({"value": "occurred_at"}, "/metrics/0/value", "must be a number, not time"),
        ({"value": ["amount"]}, "/metrics/0/value", "must be an expression"),
        ({"value": "SUM(amount)"}, "/metrics/0/value", "SUM is an aggregate"),
        ({"value": "ROW_NUMBER() OVER ()"}, "/metrics/0/value", "not allowed"),
        ({"value": "+".join(["1"] * 400)}, "/metrics/0/value", "at most 300"),
        ({"where": "amount"}, "/metrics/0/where", "must be true or false, not decimal"),
        ({"where": "amount > channel"}, "/metrics/0/where", "mixes"),
        ({"where": None}, "/metrics/0/where", "must be an expression"),
        ({"group_by": "channel"}, "/metrics/0/group_by", "a list of 1 to 4"),
        ({"group_by": []}, "/metrics/0/group_by", "a list of 1 to 4"),
        ({"group_by": ["nope"]}, "/metrics/0/group_by/0", "no column or attribute 'nope'"),
        ({"group_by": ["amount"]}, "/metrics/0/group_by/0", "amount is decimal, not text"),
        ({"group_by": ["channel"] * 2}, "/metrics/0/group_by/1", "named twice"),
        ({"window": "7m"}, "/metrics/0/window", "must be 1m, 5m, 15m, 1h, 6h, 1d or 7d"),
        ({"window": 300}, "/metrics/0/window", "must be 1m, 5m"),
        ({"name": "payment_failures"}, "/metrics/0/name", "already used by payflow itself"),
        ({"name": "violations"}, "/metrics/0/name", "already used by payflow itself"),
        ({"a/b~c": 1}, "/metrics/0/a~1b~0c", "unknown key"),
        ({"type": "AVERAGE"}, "/metrics/0/type", "must be one of COUNTER, GAUGE, HISTOGRAM, RATE"),
        ({"type": ["RATE"]}, "/metrics/0/type", "must be one of"),
        ({"type": "GAUGE"}, "/metrics/0/value", "a GAUGE needs a value"),
        ({"type": "HISTOGRAM"}, "/metrics/0/value", "a HISTOGRAM needs a value"),
        ({"numerator": "1"}, "/metrics/0/numerator", "a COUNTER has no numerator"),
        ({"name": "Bad Name"}, "/metrics/0/name", "lower_snake_case"),
        ({"name": 7}, "/metrics/0/name", "lower_snake_case"),
        ({"name": "x" * 64}, "/metrics/0/name", "at most 63"),
        ({"description": " "}, "/metrics/0/description", "what the rule watches"),
        ({"value": "1000000 * amount * 1e17 * 1e17"}, "/metrics/0", "fails on an ordinary"),
        ({"value": "amount * 1e-10 * 1e-10 * 1e-10 * 1e-10"}, "/metrics/0", "cannot be computed"),
    ],
)
def test_a_wrong_rule_is_refused_with_the_place(change, pointer, message):
    """Each mistake in a rule has one problem with the JSON pointer to it."""
    found = problems({"metrics": [{**GOOD, **change}]})

    assert list(found) == [pointer]
    assert message in found[pointer]


@pytest.mark.parametrize(
    ("document", "pointer", "message"),
    [
        (
            {"metrcs": []},
            "/metrcs",
            "unknown key 'metrcs'; known are extractors, metrics, name; did you mean 'metrics'?",
        ),
        ({"metrics": {}}, "/metrics", "must be a list"),
        ({"metrics": ["x"]}, "/metrics/0", "must be an object"),
        ({"metrics": [{}] * (MAX_RULES + 1)}, "/metrics", "at most 500"),
        ({"extractors": "transaction_status"}, "/extractors", "must be a list"),
        ({"extractors": ["nope"]}, "/extractors/0", "unknown extractor 'nope'; known are channel_"),
        ({"extractors": [3]}, "/extractors/0", "unknown extractor"),
        ({"metrics": [GOOD, GOOD]}, "/metrics/1/name", "already used by /metrics/0"),
        (
            {
                "extractors": ["transaction_status"],
                "metrics": [{**GOOD, "name": "status_failed"}],
            },
            "/metrics/0/name",
            "already used by /extractors/0",
        ),
        ({"extractors": ["transaction_status"] * 2}, "/extractors/1", "used by /extractors/0"),
        (
            {"metrics": [{k: v for k, v in RATE.items() if k != "denominator"} | {"numerator": 1}]},
            "/metrics/0/denominator",
            "a RATE needs a denominator",
        ),
        ({"metrics": [RATE]}, "/metrics/0/numerator", "a RATE needs a numerator"),
        ({"metrics": [{**RATE, "numerator": 1, "value": 1}]}, "/metrics/0/value", "has no value"),
    ],
)
def test_a_wrong_document_is_refused_with_the_place(document, pointer, message):
    """Mistakes around the rules are found the same way; two metrics never share a name."""
    found = problems(document)

    assert list(found) == [pointer]
    assert message in found[pointer]


def test_every_problem_is_named_at_once():
    """A person who writes rules sees all mistakes, not one per attempt."""
    found = problems(
        {
            "extra": 1,
            "extractors": ["nope"],
            "metrics": [
                {**GOOD, "where": "nope > 1", "value": "channel"},
                {"name": "second", "type": "RATE", "description": ""},
            ],
        }
    )

    assert list(found) == [
        "/extra",
        "/extractors/0",
        "/metrics/0/where",
        "/metrics/0/value",
        "/metrics/1/description",
        "/metrics/1/numerator",
        "/metrics/1/denominator",
    ]


def test_a_rule_may_read_the_attributes_of_its_schema_only():
    """An attribute is a column for schemas that have it, an unknown one for others."""
    document = {"metrics": [{**GOOD, "where": "retries > 5"}]}

    metrics = compile_metrics(document, attributes={"retries": pl.Int64()})

    assert metrics.rules[0].where == '("retries" > 5)'
    with pytest.raises(ConfigurationError, match="retries"):
        compile_metrics(document, attributes={})


@pytest.mark.parametrize(
    "change",
    [{"where": "attempt > 1"}, {"value": "attempt"}, {"group_by": ["attempt"]}],
    ids=["where", "value", "group_by"],
)
def test_a_rule_about_a_common_attribute_is_left_out_where_a_schema_lacks_it(change):
    """The same rule set serves schemas with and without: no null is taken for a missing field."""
    document = {"metrics": [{**GOOD, **change}, {**GOOD, "name": "other"}]}

    with_it = compile_metrics(document, attributes={"attempt": pl.Int64()})
    without = compile_metrics(document, attributes={})

    assert [rule.name for rule in with_it.rules] == ["good", "other"]
    assert [rule.name for rule in without.rules] == ["other"]


def test_a_rule_that_is_left_out_is_checked_all_the_same():
    """A mistake in it is found whatever the schema has."""
    found = problems({"metrics": [{**GOOD, "where": "attempt > channel"}]})

    assert list(found) == ["/metrics/0/where"]


def test_an_attribute_never_replaces_a_column():
    """A schema whose attribute is called like a column does not change what rules read."""
    document = {"metrics": [{**GOOD, "where": "amount > 10"}]}

    metrics = compile_metrics(document, attributes={"amount": pl.String()})

    assert metrics.extract(with_attributes({})).data["COUNTER"].to_list() == ['{"good":1}']


def test_an_attribute_may_be_called_like_a_word_of_sql():
    """Quoted names reach any attribute."""
    attributes = {"end": pl.Int64(), "a b": pl.Int64(), 'a"b': pl.Int64()}
    document = {"metrics": [{**GOOD, "value": '"end" + "a b" + "a""b"'}]}
    columns = with_attributes({}).with_columns(
        pl.lit(1).alias("end"), pl.lit(2).alias("a b"), pl.lit(3).alias('a"b')
    )

    data = compile_metrics(document, attributes=attributes).extract(columns).data

    assert data["COUNTER"].to_list() == ['{"good":6}']


def test_numbers_in_a_document_need_no_quotes():
    """YAML gives numbers and booleans as such: they are formulas too."""
    document = {
        "metrics": [
            {**GOOD, "where": True, "value": 2.5},
            {**RATE, "numerator": False, "denominator": 3},
        ]
    }

    data = compile_metrics(document, attributes=ATTRIBUTES).extract(with_attributes({})).data

    assert data["COUNTER"].to_list() == ['{"good":2.5}']
    assert data["RATE"].to_list() == ['{"r":{"n":0,"d":3}}']


def test_a_percentage_is_not_computed_per_event():
    """A RATE gives its two parts, so that 1 of 3 is a third and not the mean of 100 and 0s."""
    rate = {**RATE, "name": "failed_percentage", "numerator": "payment_status = 'failed'"}
    metrics = compile_metrics({"metrics": [rate]}, attributes=ATTRIBUTES)
    columns = with_attributes({"payment_status": "failed"}, {}, {})

    result = metrics.extract(columns)

    parts = [result.metrics_of(row)[0].metric_data["failed_percentage"] for row in range(3)]
    assert parts == [{"n": 1, "d": 1}, {"n": 0, "d": 1}, {"n": 0, "d": 1}]
    assert (sum(p["n"] for p in parts), sum(p["d"] for p in parts)) == (1, 3)


def test_money_in_a_rule_is_never_a_float():
    """A sum over amounts of a rule is exact to the last digit."""
    metrics = compile_metrics({"metrics": [{**GOOD, "value": "amount"}]}, attributes=ATTRIBUTES)
    columns = with_attributes(*({"amount": Decimal("0.1000")} for _ in range(10)))

    result = metrics.extract(columns)

    values = [result.metrics_of(row)[0].metric_data["good"] for row in range(10)]
    assert sum(values) == 1
    assert all(isinstance(value, Decimal) for value in values)


def test_an_attribute_of_a_type_that_no_rule_can_read_is_refused():
    """An attribute of a type outside the schema compiler's is refused by name."""
    with pytest.raises(TypeError, match="List"):
        compile_metrics({}, attributes={"tags": pl.List(pl.String())})


def test_what_is_wrong_is_said_of_the_rule_by_name():
    """A pointer counts rules, a person knows them by name; what was meant is guessed."""
    rules = [RATE | {"group_by": ["chanel"]}, RATE | {"name": "other", "were": "amount > 1"}]

    found = problems({"metrics": rules})

    assert found["/metrics/0/group_by/0"].startswith(f"{RATE['name']}: there is no column")
    assert found["/metrics/0/group_by/0"].endswith("; did you mean 'channel'?")
    assert found["/metrics/1/were"].startswith("other: unknown key 'were'")


@pytest.mark.parametrize("group_by", [[[]], [{}], ["channel", []]])
def test_columns_that_are_no_text_are_refused(group_by):
    """A slip in YAML makes lists of lists."""
    found = problems({"metrics": [RATE | {"numerator": "1", "group_by": group_by}]})

    assert "there is no column or attribute" in next(iter(found.values()))


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ('channel = "web"', "texts stand in single quotes: 'web'"),
        ("amount > 1 && amount < 3", "write AND"),
        ("channel = 'web", "the text has no closing quote"),
        ("amout > 1", "did you mean 'amount'?"),
        ("occurred_at > NOW()", "NOW is a clock"),
    ],
)
def test_other_languages_are_met_with_a_hint(where, hint):
    """What people write who know Python, C or another SQL."""
    rule = {"name": "a", "description": "d", "type": "COUNTER", "where": where}

    assert hint in problems({"metrics": [rule]})["/metrics/0/where"]
