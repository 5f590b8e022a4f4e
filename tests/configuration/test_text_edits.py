"""Changes to a YAML text that keep what its author wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from configuration.text_edits import REMOVED, Edit, as_yaml, edited

ROOT = Path(__file__).resolve().parent.parent.parent
SHIPPED = sorted([*ROOT.glob("ingestion/schemas/*.yaml"), *ROOT.glob("metrics/rule_sets/*.yaml")])
TEXT = """\
# why this schema exists
name: cards
columns:
  amount: {path: amount, unit: major}  # in units
  channel:
    path: channel
    default: web   # most of them

  # the shop
  merchant_id: {path: shop.id}
rules:
  - name: large
    where: >-
      amount > 10
      AND currency = 'EUR'
  # the second
  - {name: small, tags: [a, b]}
"""


def change(*path: str | int, to: Any) -> str:
    return edited(TEXT, yaml.safe_load(TEXT), [Edit(path=path, value=to)])


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (
            ("columns", "amount", "unit"),
            "minor",
            "  amount: {path: amount, unit: minor}  # in units",
        ),
        (("columns", "amount", "upper"), True, "{path: amount, unit: major, upper: true}  # in u"),
        (("columns", "channel", "default"), "pos", "    default: pos   # most of them"),
        (("columns", "channel", "upper"), True, "    upper: true"),
        (("columns", "country"), {"path": "c"}, "  country: {path: c}"),
        (("columns", "country"), {"path": "yes"}, "  country: {path: 'yes'}"),
        (("rules", 0, "where"), "amount > 11", "    where: amount > 11"),
        (("rules", 1, "name"), "tiny", "  - {name: tiny, tags: [a, b]}"),
        (("rules", 1, "tags", 2), "c", "tags: [a, b, c]}"),
        (("rules", 2), {"name": "new"}, "  - {name: new}"),
        (("json_schema", "properties", "x", "minimum"), 3, "json_schema:"),
        (("name",), "a: b # c", "name: 'a: b # c'"),
    ],
)
def test_one_value_changes_in_its_place(path, value, line):
    """The comments stay, and so do all lines but the one."""
    changed = change(*path, to=value)

    assert line in changed
    for comment in ("# why this", "# in units", "# most of them", "# the shop", "# the second"):
        assert comment in changed
    place = yaml.safe_load(changed)
    for key in path:
        place = place[key]
    assert place == value


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        (("columns", "amount"), "amount:"),
        (("columns", "amount", "unit"), "unit:"),
        (("columns", "amount", "path"), "path: amount,"),
        (("columns", "channel", "default"), "default"),
        (("columns", "channel"), "channel"),
        (("rules", 0), "large"),
        (("rules", 1), "small"),
        (("rules", 1, "tags", 0), "[a,"),
    ],
)
def test_what_is_removed_leaves_the_rest(path, gone):
    """Nothing else changes its meaning, and the head of the file stays."""
    changed = change(*path, to=REMOVED)

    assert gone not in changed
    assert changed.startswith("# why this schema exists\nname: cards\n")
    wanted = yaml.safe_load(TEXT)
    place = wanted
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    assert yaml.safe_load(changed) == wanted


def test_nothing_to_do_changes_nothing():
    """The same value again, or removing what is not there."""
    assert change("columns", "amount", "unit", to="major") == TEXT
    assert change("columns", "amount", "nothing", to=REMOVED) == TEXT
    assert change("nowhere", "at", "all", to=REMOVED) == TEXT


def test_what_cannot_be_done_in_place_is_written_anew():
    """An empty mapping has no last key to stand behind; the meaning is what counts."""
    changed = edited("columns: \n", {"columns": None}, [Edit(path=("columns", "a"), value=1)])

    assert yaml.safe_load(changed) == {"columns": {"a": 1}}


def test_several_edits_build_on_each_other():
    """The second sees what the first has made."""
    edits = [Edit(path=("json_schema", "type"), value="object")]
    edits += [Edit(path=("json_schema", "required"), value=["a"])]

    changed = edited(TEXT, yaml.safe_load(TEXT), edits)

    assert yaml.safe_load(changed)["json_schema"] == {"type": "object", "required": ["a"]}
    assert "# the second" in changed


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_canonical_yaml_says_the_same(path):
    """Every shipped document survives being written anew."""
    document = yaml.safe_load(path.read_text())

    assert yaml.safe_load(as_yaml(document)) == document
