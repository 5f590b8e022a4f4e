"""The dashboard and the alerts ask for metrics and labels that `/metrics` really has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import promql_parser
import pytest
import yaml

from payflow.lib.telemetry import METRICS, Metric
from tests.test_docs import ROOT

BOARD: dict[str, Any] = json.loads((ROOT / "grafana" / "payflow.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((ROOT / "grafana" / "alerts.yaml").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]

BY_SERIES: dict[str, Metric] = {name: metric for metric in METRICS for name in metric.series}
#: where a counter's value means something: its own start is the first of the month
_OVER_COUNTERS = {"rate", "increase"}


def queries() -> Iterator[tuple[str, str]]:
    """Every query with what asks it."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")
    for annotation in BOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for rule in RULES:
        yield rule["alert"], rule["expr"]


QUERIES = list(queries())


class Reader:
    """Walks a query and keeps what it names."""

    def __init__(self, query: str) -> None:
        #: series, and the function that is applied to a range of it, or ""
        self.selected: list[tuple[str, str]] = []
        self.labels: dict[str, set[str]] = {}
        self._inside: list[Any] = []
        promql_parser.walk(promql_parser.parse(query), self._enter, self._leave)

    def _enter(self, node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector) and node.name:
            self.selected.append((node.name, self._function_over_range()))
            named = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', str(node.matchers)))
            self.labels.setdefault(node.name, set()).update(named)
        self._inside.append(node)

    def _leave(self, node: Any) -> None:
        self._inside.pop()

    def _function_over_range(self) -> str:
        call, over = [None, None, *self._inside][-2:]
        is_range = isinstance(over, promql_parser.MatrixSelector)
        return str(call.func.name) if call and is_range else ""


def kept_labels(query: str) -> set[str]:
    """The labels that a query's result has."""
    grouped = re.findall(r"\bby \(([^)]*)\)", query)
    if grouped:
        return set(re.findall(r"\w+", " ".join(grouped)))
    return {label for series, _ in Reader(query).selected for label in BY_SERIES[series].labels}


@pytest.mark.parametrize(("asked_by", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_queries_name_what_there_is(asked_by, query):
    """They parse, each series exists, has the labels asked for, and counters are only rates."""
    reader = Reader(query)
    matched = set(re.findall(r"\w+", " ".join(re.findall(r"\bon \(([^)]*)\)", query))))
    everything = {label for series, _ in reader.selected for label in BY_SERIES[series].labels}

    assert reader.selected
    assert matched | kept_labels(query) <= everything | {"le"}
    for series, function in reader.selected:
        metric = BY_SERIES[series]
        has = {*metric.labels, "le"} if series.endswith("_bucket") else set(metric.labels)
        assert reader.labels[series] <= has, series
        assert (function in _OVER_COUNTERS) == (metric.kind != "gauge"), series


def test_every_metric_of_work_is_shown():
    """What is measured can be seen: only the facts about the figures themselves are left out."""
    shown = {BY_SERIES[s].name for _, query in QUERIES for s, _ in Reader(query).selected}

    assert {metric.name for metric in METRICS} - shown == {
        "payflow_build_info",
        "payflow_counters_start_timestamp_seconds",
        "payflow_figures_read_seconds",
    }


def test_legends_and_texts_use_labels_that_are_there():
    """A `{{label}}` that the query does not keep would stay empty."""
    for panel in PANELS:
        for target in panel["targets"]:
            wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert wanted <= kept_labels(target["expr"].replace("$__rate_interval", "5m"))
    for rule in RULES:
        wanted = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert wanted <= kept_labels(rule["expr"]), rule["alert"]


def test_the_dashboard_can_be_provisioned():
    """One data source variable for all, unique ids, a sentence for each panel, no overlap."""
    ids = [panel["id"] for panel in BOARD["panels"]]
    cells = [
        {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        for at in (panel["gridPos"] for panel in BOARD["panels"])
    ]

    assert len(ids) == len(set(ids)) > 20
    assert all(max(x for x, _ in places) < 24 for places in cells)
    assert not any(a & b for a, b in combinations(cells, 2))
    assert all(panel["description"].endswith(".") for panel in PANELS)
    sources = set(re.findall(r'"uid": "(\$[^"]*)"', json.dumps(BOARD)))
    assert sources == {"${datasource}"}
    assert {v["name"] for v in BOARD["templating"]["list"]} == {"datasource", "source"}
    assert BOARD["uid"] == "payflow"
    assert "id" not in BOARD


def test_alerts_say_what_is_wrong_and_how_bad():
    """Each has a name of its own, a severity and words for a person."""
    names = [rule["alert"] for rule in RULES]

    assert len(names) == len(set(names)) == 12
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert re.fullmatch(r"\d+m", rule.get("for", "1m"))
