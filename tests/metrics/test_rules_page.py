"""docs/rules.md lists what is shipped, as it is shipped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

import metrics
from metrics import trial
from metrics.builtin import BUILTIN, VIOLATIONS
from metrics.columns import COMMON_ATTRIBUTES, TRANSACTION_COLUMNS
from metrics.compliance import FAMILIES, MAX_EVIDENCE, SEVERITIES, compile_compliance
from metrics.expressions import kind_of
from metrics.expressions.grammar import MAX_DEPTH, MAX_WRITTEN
from metrics.expressions.tokens import MAX_LENGTH, MAX_TOKENS
from metrics.reading import MAX_RULES
from metrics.rules import MAX_GROUPS, WINDOWS_S

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
#: kind of a column -> the type that schemas call it
TYPES = {"text": "string", "integer": "integer", "float": "number", "boolean": "boolean"}


def shipped(name: str) -> Any:
    path = Path(metrics.__file__).parent / "rule_sets" / f"{name}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def table(after: str) -> list[list[str]]:
    """The cells of the first table behind a text, without backticks."""
    lines = PAGE.split(after, 1)[1].splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return rows


def described(rule: dict[str, Any]) -> list[str]:
    return [
        rule["name"],
        rule["type"],
        ", ".join(rule.get("group_by", [])),
        rule.get("window", ""),
    ]


def test_every_shipped_metric_rule_is_listed():
    """Name, type, groups and window of each, in the order of the file."""
    rows = table("<!-- metric rules:")

    assert [row[:4] for row in rows] == [described(rule) for rule in shipped("default")["metrics"]]
    assert all(row[4] for row in rows)


def test_every_shipped_compliance_rule_is_listed():
    """Name and severity of each, in the order of the file."""
    rows = table("<!-- compliance rules:")

    rules = shipped("compliance")["rules"]
    assert [row[:2] for row in rows] == [[rule["name"], rule["severity"]] for rule in rules]


def test_every_built_in_metric_is_listed():
    """They are there whatever the rule set, so a person must know their names."""
    rows = [row[:4] for row in table("### Built in")]

    assert rows[:-1] == [described(rule) for rule in BUILTIN["metrics"]]
    assert rows[-1] == [VIOLATIONS, "COUNTER", "rule, severity", "5m"]


def test_every_common_attribute_is_listed():
    """With the type that a schema must give it."""
    rows = table("<!-- common attributes:")

    assert {row[0]: row[1] for row in rows} == {
        name: TYPES[kind_of(dtype)] for name, dtype in COMMON_ATTRIBUTES.items()
    }


def test_the_shipped_schemas_give_common_attributes_their_type():
    """One rule set fits them all."""
    for path in sorted((ROOT / "ingestion" / "schemas").glob("*.yaml")):
        attributes = yaml.safe_load(path.read_text(encoding="utf-8"))["attributes"]
        for name in attributes.keys() & COMMON_ATTRIBUTES.keys():
            assert attributes[name]["type"] == TYPES[kind_of(COMMON_ATTRIBUTES[name])], path.name


def test_the_limits_are_those_of_the_code():
    """Numbers on the page are the ones that are applied."""
    text = " ".join(PAGE.split())
    units = {"m": 60, "h": 3_600, "d": 86_400}
    windows = re.search(r"\| `window` \| (.*?); default", text)

    assert windows
    lengths = re.findall(r"`(\d+)([mhd])`", windows[1])
    assert tuple(int(n) * units[unit] for n, unit in lengths) == WINDOWS_S
    assert f"1 to {MAX_GROUPS} columns" in text
    assert f"1 to {MAX_EVIDENCE} columns" in text
    assert f"at most {MAX_RULES} rules" in text
    assert f"{MAX_LENGTH:,} characters, {MAX_TOKENS} parts and {MAX_DEPTH} levels" in text
    assert f"{MAX_WRITTEN:,} characters of what polars" in text
    assert f"for {trial.ROWS:,} transactions" in text
    assert f"more than {trial.LIMIT_S} s of processor time" in text


def test_columns_families_and_severities_are_listed():
    """What a rule may say is on the page."""
    for word in (*TRANSACTION_COLUMNS, *FAMILIES, *SEVERITIES):
        assert f"`{word}`" in PAGE


def test_the_compliance_example_compiles():
    """The second example is accepted as it stands."""
    block = PAGE.split("```yaml\n")[2].split("```", 1)[0]

    (rule,) = compile_compliance(yaml.safe_load(block), attributes={}).rules

    assert rule.name == "aml_large_amount"
