"""The forms of the editors: what they show, and what typing into them does to the text."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from configuration import editor_fields, editor_mapping, editor_rules
from configuration.editor import COLUMNS
from configuration.editor_inputs import Form, as_lines, from_lines
from configuration.text_edits import edited
from ingestion.parsing import column_spec, document
from payflow.lib.errors import ConfigurationError, Problem

SCHEMA = """\
name: cards   # ours
nulls: ["", "-"]
columns:
  amount: {path: money.value, unit: minor}   # cents
  payment_method: {first: [method, details.method], default: unknown}
  channel: {constant: api}
attributes:
  risk: {path: risk.score, type: number}
json_schema:
  type: object
  required: [id, money]
  properties:
    id: {type: string, pattern: "^A-[0-9]{3,4}$"}
    note: true
    money:
      type: object
      required: [value]
      properties:
        value: {type: [integer, string], minimum: 0}   # never below
"""
RULES = """\
name: default
metrics:
  # the first
  - name: high_value
    description: >-
      Payments above
      10,000 units.
    type: COUNTER
    where: amount > 10000
  - {name: share, type: RATE, numerator: a > 1, denominator: 1, group_by: [channel], window: 1h}
"""
DOCUMENT: dict[str, Any] = yaml.safe_load(SCHEMA)
RULE_SET: dict[str, Any] = yaml.safe_load(RULES)


def posted(form: Form, **typed: str) -> dict[str, str]:
    """What a browser sends of a form in which just these inputs were changed."""
    values = {
        entry.name: entry.value.replace("\n", "\r\n")
        for row in form.rows
        for entry in row.inputs
        if entry.name and (entry.kind != "check" or entry.value)
    }
    values |= {name.replace("__", "."): value for name, value in typed.items()}
    return {name: value for name, value in values.items() if value != "untick"}


def fields(**typed: str) -> str:
    post = posted(editor_fields.form(DOCUMENT, None), **typed)
    return edited(SCHEMA, DOCUMENT, editor_fields.edits(DOCUMENT, post))


def mapping(**typed: str) -> str:
    post = posted(editor_mapping.form(DOCUMENT, None), **typed)
    return edited(SCHEMA, DOCUMENT, editor_mapping.edits(DOCUMENT, post, columns=COLUMNS))


def rule(number: str, **typed: str) -> str:
    form = editor_rules.form("metrics", RULE_SET, None, rule=number)
    assert form is not None
    edits = editor_rules.edits("metrics", RULE_SET, posted(form, **typed), rule=number)
    return edited(RULES, RULE_SET, edits)


def key_of(form: Form, title: str) -> str:
    return next(row.key for row in form.rows if row.title == title)


def test_a_form_that_was_not_touched_changes_nothing():
    """Not a character: opening and saving is no change."""
    assert fields() == SCHEMA
    assert mapping() == SCHEMA
    assert rule("0") == RULES
    assert rule("1") == RULES
    assert rule("new") == RULES


def test_fields_are_shown_however_deep_they_are():
    """In the order of the document, with what is asked of each."""
    form = editor_fields.form(DOCUMENT, None)

    shown = {row.title: [entry.value for entry in row.inputs] for row in form.rows[:-1]}
    assert shown == {
        "id": ["string", "on", "pattern: ^A-[0-9]{3,4}$"],
        "note": ["any", "", ""],
        "money": ["object", "on", ""],
        "money.value": ["integer or string", "on", "minimum: 0"],
    }


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ({"r0__constraints": "pattern: ^B{1,2}$"}, "id: {type: string, pattern: '^B{1,2}$'}"),
        ({"r0__constraints": ""}, "    id: {type: string}"),
        ({"r0__type": "any"}, "    id: {pattern: "),
        ({"r0__needed": "untick"}, "  required: [money]"),
        ({"r1__needed": "on"}, "  required: [id, money, note]"),
        ({"r1__type": "string"}, "    note: {type: string}"),
        ({"r3__constraints": "minimum: 5"}, "minimum: 5}   # never below"),
        ({"r3__needed": "untick"}, "    money:\n      type: object\n      properties:"),
        ({"r1__remove": "on"}, "    money:"),
        ({"new__name": "shop.id", "new__type": "string"}, "shop:"),
        ({"new__name": "/a.b", "new__type": "string", "new__needed": "on"}, "a.b: {type: string}"),
    ],
)
def test_one_field_changes_and_the_rest_stays(typed, line):
    """Comments, order and all other fields are as their author wrote them."""
    text = fields(**typed)

    assert line in text
    assert "# ours" in text
    assert "# cents" in text


def test_a_removed_field_is_needed_no_longer():
    """Else every event would fail for a field that the schema does not know."""
    document = yaml.safe_load(fields(r0__remove="on"))

    assert "id" not in document["json_schema"]["properties"]
    assert document["json_schema"]["required"] == ["money"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"r0__constraints": "minLength 3"}, "write name, colon, value"),
        ({"r0__constraints": "enum: [a"}, "cannot be read"),
        ({"r0__constraints": "minLength: 1\nminLength: 2"}, "twice"),
        ({"new__name": "id"}, "there already"),
        ({"new__name": "a..b"}, "no name of a field"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(typed, said):
    """Nothing is guessed."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        fields(**typed)

    assert refused.value.problems[0].pointer.startswith("/json_schema/properties/")


def test_the_mapping_shows_where_columns_come_from():
    """Path, the first of several, or a constant; the rest as settings."""
    form = editor_mapping.form(DOCUMENT, None)

    shown = {row.title: [entry.value for entry in row.inputs] for row in form.rows}
    assert shown["amount"] == ["path", "money.value", "", "unit: minor"]
    assert shown["payment_method"][:2] == ["first", "method, details.method"]
    assert shown["channel"][:2] == ["constant", "api"]
    assert shown["risk"] == ["path", "risk.score", "number", ""]
    assert shown["Every message"] == ["nulls: ['', '-']"]


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ({"r0__value": "amount"}, "amount: {path: amount, unit: minor}   # cents"),
        ({"r0__options": "unit: major\nround: 2"}, "{path: money.value, unit: major, round: 2}"),
        ({"r1__value": "a, b, c"}, "{first: [a, b, c], default: unknown}"),
        ({"r2__source": "path", "r2__value": "chan"}, "channel: {path: chan}"),
        ({"r2__value": "'12'"}, "channel: {constant: '12'}"),
        ({"r3__type": "integer"}, "risk: {path: risk.score, type: integer}"),
        ({"all__options": "nulls: []\ndecoder: json"}, "decoder: json"),
        ({"new__name": "country", "new__value": "geo"}, "  country: {path: geo}"),
        ({"new__name": "shop", "new__value": "s"}, "  shop: {path: s, type: string}"),
        ({"r3__remove": "on"}, "json_schema:"),
    ],
)
def test_one_column_changes_and_the_rest_stays(typed, line):
    """A known name becomes a column, any other an attribute."""
    text = mapping(**typed)

    assert line in text
    assert "# never below" in text


def test_a_setting_of_another_place_is_refused():
    """Columns are not typed among the settings of every message."""
    with pytest.raises(ConfigurationError, match="its own place"):
        mapping(all__options="columns: {}")


@pytest.mark.parametrize(
    ("number", "typed", "line"),
    [
        ("0", {"where": "amount > 5\r\nAND channel = 'web'"}, "where: amount > 5 AND channel"),
        ("0", {"group_by": "channel, country", "window": "5m"}, "group_by: [channel, country]"),
        ("1", {"window": ""}, "group_by: [channel]}"),
        ("1", {"denominator": "2"}, "denominator: '2'"),
        ("1", {"other": "extra: 1"}, "extra: 1}"),
        ("new", {"name": "third", "type": "COUNTER"}, "  - {name: third, type: COUNTER}"),
        ("1", {"remove": "1"}, "where: amount > 10000"),
    ],
)
def test_one_rule_changes_and_the_rest_stays(number, typed, line):
    """What was not touched keeps its lines, its folds and its comments."""
    text = rule(number, **typed)

    assert line in text
    assert "  # the first\n" in text
    assert "Payments above\n      10,000 units." in text


def test_there_is_no_form_of_a_rule_that_is_not_there():
    """Whatever the address says."""
    for number in ("2", "-1", "x", "99999999999", ""):
        assert editor_rules.form("metrics", RULE_SET, None, rule=number) is None
        assert editor_rules.edits("metrics", RULE_SET, {"name": "x"}, rule=number) == []


def test_what_differs_from_the_active_version_is_marked():
    """New, changed, or neither."""
    active = yaml.safe_load(SCHEMA)
    active["json_schema"]["properties"]["id"]["pattern"] = "^A"
    del active["json_schema"]["properties"]["note"]

    form = editor_fields.form(DOCUMENT, active)

    assert {row.title: row.mark for row in form.rows[:-1]} == {
        "id": "changed",
        "note": "new",
        "money": "",
        "money.value": "",
    }


def test_another_order_is_no_change():
    """The database keeps the keys of mappings in its own order."""
    turned = yaml.safe_load(SCHEMA)
    field = turned["json_schema"]["properties"]["id"]
    turned["json_schema"]["properties"]["id"] = dict(reversed(field.items()))
    turned["columns"]["amount"] = dict(reversed(turned["columns"]["amount"].items()))

    for form in (editor_fields.form(DOCUMENT, turned), editor_mapping.form(DOCUMENT, turned)):
        assert not any(row.mark for row in form.rows)


def test_a_problem_stands_at_the_deepest_row_that_it_is_about():
    """Of a field within a field, the inner one."""
    form = editor_fields.form(DOCUMENT, None)
    inner = Problem(pointer="/json_schema/properties/money/properties/value/minimum", message="m")
    outer = Problem(pointer="/columns/amount", message="elsewhere")

    rows = {row.title: row.problems for row in form.with_problems([inner, outer]).rows}

    assert list(rows["money.value"]) == [inner]
    assert not rows["money"]
    assert not rows["id"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"json_schema": True},
        {"json_schema": {"properties": {"a": 3, "b": {"properties": []}}, "required": "a"}},
        {"columns": [1], "attributes": {"a": None, "b": "x"}},
        {"metrics": {"a": 1}},
        {"metrics": [None, "x", {"name": 3, "group_by": "y", "where": ["z"]}]},
    ],
)
def test_wrong_drafts_have_forms_too(wrong):
    """A draft may hold anything; the page of it must open."""
    assert editor_fields.form(wrong, DOCUMENT).rows
    assert editor_mapping.form(wrong, DOCUMENT).rows
    for number in range(len(editor_rules.rules_of("metrics", wrong))):
        assert editor_rules.form("metrics", wrong, RULE_SET, rule=str(number))


def test_the_forms_know_what_schemas_know():
    """Configuration cannot read it from the parser: a new column belongs in COLUMNS, too."""
    assert set(document.COLUMNS) == COLUMNS
    assert set(column_spec._ORIGINS) == set(editor_mapping.SOURCES)


def test_settings_survive_being_typed():
    """Whatever a document can hold is read back as it was."""
    settings = {
        "enum": ["a, b", "yes", "1", None, 1.5],
        "pattern": "^[a-z]: #{1,3}$",
        "items": {"type": "string", "maxLength": 3},
        "const": "on",
        "default": "two\nlines: here\n",
        "minimum": -1,
    }

    assert from_lines(as_lines(settings), at="") == settings
