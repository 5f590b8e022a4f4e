"""Differences of versions, as people would say them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from configuration.diff import Action, Change, as_text, diff_documents
from configuration.diff.values import same

SCHEMA = yaml.safe_load(
    r"""
    name: cards
    nulls: ["", NONE]
    identity: [transaction_id, payment_status]
    route: {kind: {in: [AUTH]}}
    columns:
      merchant_category: {path: mcc}
      payment_status: {path: ok, map: {"true": completed, "false": failed}}
      channel: {first: [channel, terminal.kind]}
    attributes:
      attempt: {path: try, type: integer}
    json_schema:
      type: object
      required: [mcc]
      properties:
        mcc: {type: string, pattern: '^\d{3,4}$'}
        tags: {type: array, items: {type: string}}
        money: {type: object, properties: {value: {type: integer}}}
    """
)
METRICS = yaml.safe_load(
    """
    name: default
    extractors: [transaction_status, transaction_amount]
    metrics:
      - {name: high_value, description: Large ones., type: COUNTER, where: amount > 1000}
      - {name: refunds, description: Money back., type: COUNTER, where: transaction_type = 'refund'}
    """
)


def changes(
    change: Callable[[dict[str, Any]], object], *, kind: str = "schema", of: Any = SCHEMA
) -> list[Change]:
    """The differences that a change of a document makes."""
    new = copy.deepcopy(of)
    change(new)
    return diff_documents(kind, of, new)


def one(change: Callable[[dict[str, Any]], object], **options: Any) -> Change:
    (found,) = changes(change, **options)
    return found


def test_a_changed_pattern_is_said_of_its_field():
    """Field, keyword, before and after: not the whole document."""
    found = one(
        lambda new: new["json_schema"]["properties"]["mcc"].update(pattern=r"^\d{4}$|^\d{3}$")
    )

    assert (found.area, found.subject, found.what) == ("Event fields", "mcc", "pattern")
    assert (found.old, found.new) == ((r"^\d{3,4}$",), (r"^\d{4}$|^\d{3}$",))
    assert found.pointer == "/json_schema/properties/mcc/pattern"
    assert as_text([found]) == ("Event fields\n  mcc: pattern ^\\d{3,4}$ -> ^\\d{4}$|^\\d{3}$")


def test_a_new_field_brings_what_is_asked_of_it():
    """Added fields show all their constraints at once, removed ones what is no longer asked."""
    spec = {"type": "string", "maxLength": 8}

    found = one(lambda new: new["json_schema"]["properties"].update(terminal_id=spec))

    assert (found.action, found.what) == (Action.ADDED, "new field")
    assert found.new == ("type: string", "maxLength: 8")


@pytest.mark.parametrize(
    ("change", "subject", "what", "old", "new"),
    [
        # parents and elements are named by their path in the event
        (
            lambda s: s["properties"]["money"]["properties"]["value"].update(minimum=1),
            *("money.value", "minimum", (), ("1",)),
        ),
        (
            lambda s: s["properties"]["tags"]["items"].update(type="integer"),
            *("tags[]", "type", ("string",), ("integer",)),
        ),
        # `required` stands at the parent, but it is said of the field
        (lambda s: s["required"].clear(), "mcc", "needed", ("yes",), ("no",)),
        (lambda s: s["required"].append("id"), "id", "new field", (), ("needed: yes",)),
        (
            lambda s: s.update(additionalProperties=False),
            *("the event", "further fields", (), ("refused",)),
        ),
        (
            lambda s: s.update(additionalProperties={"type": "string"}),
            *("*", "new field", (), ("type: string",)),
        ),
        (
            lambda s: s["properties"]["mcc"].update(enum=["a", "b"]),
            *("mcc", "enum", (), ("a, b",)),
        ),
    ],
)
def test_what_is_asked_of_the_event(change, subject, what, old, new):
    """Every keyword is said of the field that it is about."""
    found = one(lambda document: change(document["json_schema"]))

    assert (found.subject, found.what, found.old, found.new) == (subject, what, old, new)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda s: s["columns"]["payment_status"]["map"].update({"true": "pending"}),
            ("Columns", "payment_status", "map true", ("completed",), ("pending",)),
        ),
        (
            lambda s: s["columns"]["payment_status"]["map"].update(paid="completed"),
            ("Columns", "payment_status", "map paid", (), ("completed",)),
        ),
        # the order of paths is what decides
        (
            lambda s: s["columns"]["channel"]["first"].reverse(),
            (
                "Columns",
                "channel",
                "first",
                ("channel, terminal.kind",),
                ("terminal.kind, channel",),
            ),
        ),
        (
            lambda s: s["columns"].pop("channel"),
            ("Columns", "channel", "removed column", ("first: channel, terminal.kind",), ()),
        ),
        (
            lambda s: s["attributes"].update(tries=s["attributes"].pop("attempt")),
            ("Attributes", "tries", "renamed", ("attempt",), ("tries",)),
        ),
        (
            lambda s: s["identity"].append("occurred_at"),
            ("Identity", "identity", "made of", (), ("occurred_at",)),
        ),
        (
            lambda s: s.update(identity="position"),
            ("Identity", "identity", "made of", ("transaction_id, payment_status",), ("position",)),
        ),
        (
            lambda s: s["route"]["kind"]["in"].append("CAPTURE"),
            ("Route", "kind", "takes", (), ("CAPTURE",)),
        ),
        (
            lambda s: s["route"].update(otherwise="ignored"),
            ("Route", "all others", "become", ("failed",), ("ignored",)),
        ),
        (lambda s: s["nulls"].remove("NONE"), ("Document", "nulls", "changed", ("NONE",), ())),
        (
            lambda s: s.update(explode="entries[]"),
            ("Document", "explode", "added", (), ("entries[]",)),
        ),
    ],
)
def test_the_mapping(change, expected):
    """Columns, attributes, identity and route, down to single words of a map."""
    found = one(change)

    assert (found.area, found.subject, found.what, found.old, found.new) == expected


@pytest.mark.parametrize(
    ("change", "what", "note"),
    [
        ({"description": "Larger ones."}, "description", "its series goes on"),
        ({"where": "amount  >  1000"}, "where", "spaced otherwise"),
        ({"where": "amount > 2000"}, "where", "Starts a new series"),
        ({"window": "1h"}, "window", "Starts a new series"),
    ],
)
def test_a_changed_rule_says_what_becomes_of_its_series(change, what, note):
    """A remark goes on in the same cells, another formula or window starts new ones."""
    found = one(lambda new: new["metrics"][0].update(change), kind="metrics", of=METRICS)

    assert (found.subject, found.what) == ("high_value", what)
    assert note in found.note


def test_spaces_within_a_text_count():
    """'a b' and 'a  b' are other words, so the formula is another one."""
    old = {"metrics": [{"name": "a", "where": "channel = 'a b'"}]}
    new = {"metrics": [{"name": "a", "where": "channel = 'a  b'"}]}

    (found,) = diff_documents("metrics", old, new)

    assert "Starts a new series" in found.note


def test_rules_are_matched_by_name():
    """Where a rule stands does not matter; one that only changed its name was renamed."""

    def change(new: dict[str, Any]) -> None:
        new["metrics"].reverse()
        new["metrics"][1]["name"] = "large"
        new["metrics"].append({"name": "new", "type": "COUNTER"})

    found = changes(change, kind="metrics", of=METRICS)

    assert [(c.subject, c.what, c.old) for c in found] == [
        ("large", "renamed", ("high_value",)),
        ("new", "new rule", ()),
    ]


def test_two_alike_are_not_renames():
    """Which of two became the third nobody can say: removed and added is the truth."""
    old = {"metrics": [{"name": "a", "type": "COUNTER"}, {"name": "b", "type": "COUNTER"}]}
    new = {"metrics": [{"name": "c", "type": "COUNTER"}]}

    found = diff_documents("metrics", old, new)

    assert {change.what for change in found} == {"new rule", "removed rule"}


def test_another_order_alone_is_said():
    """The checksums differ, so the reader learns why nothing else does."""
    found = one(lambda new: new["metrics"].reverse(), kind="metrics", of=METRICS)

    assert (found.what, found.note) == ("order", "Nothing is read or computed otherwise.")


def test_long_texts_are_shown_where_they_differ():
    """Two descriptions with a long beginning in common do not look alike."""
    old = {"description": "word " * 100 + "before"}
    new = {"description": "word " * 100 + "after"}

    (found,) = diff_documents("schema", old, new)

    assert found.old[0].endswith("before")
    assert found.new[0].endswith("after")
    assert len(found.old[0]) < 170


def test_long_lists_are_bounded():
    """A thousand words added are counted, not listed."""
    schema = {"properties": {"code": {"enum": ["a"]}}}
    new = {"properties": {"code": {"enum": ["a", *map(str, range(1_000))]}}}

    (found,) = diff_documents("schema", {"json_schema": schema}, {"json_schema": new})

    assert len(found.new) == 20
    assert found.new[-1] == "and 981 more"


def test_true_is_not_one():
    """Python's True == 1 must not hide a change."""
    (found,) = diff_documents(
        "schema", {"columns": {"a": {"default": True}}}, {"columns": {"a": {"default": 1}}}
    )

    assert (found.old, found.new) == (("true",), ("1",))


def test_equal_documents_have_no_differences():
    """However their keys are ordered."""
    turned = dict(reversed(SCHEMA.items()))

    assert diff_documents("schema", SCHEMA, turned) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "name", "text"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "columns",
                    "json_schema",
                    "properties",
                    "required",
                    "items",
                    "metrics",
                    "route",
                    "identity",
                    "in",
                    "rules",
                    "map",
                    "first",
                    "additionalProperties",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
DOCUMENT = st.dictionaries(
    st.sampled_from(["columns", "json_schema", "metrics", "rules", "route", "identity", "x"]),
    JSON,
    max_size=4,
)


@settings(max_examples=150)
@given(old=DOCUMENT, new=DOCUMENT, kind=st.sampled_from(["schema", "metrics", "compliance"]))
def test_any_drafts_can_be_compared(old, new, kind):
    """Wrong drafts never make the diff fail, and two that differ never look alike."""
    found = diff_documents(kind, old, new)

    as_text(found)
    assert bool(found) != same(old, new)
    assert diff_documents(kind, old, old) == []
