"""Drafts of rule sets on archived events: series and findings on both sides."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest

from configuration.activation import activate
from configuration.models import Job
from metrics.models import MetricWindow
from payflow.lib.errors import ConfigurationError

_SCORE = {"path": "metadata.own", "type": "number"}


def _rule(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(rule for rule in document["metrics"] if rule["name"] == name)


def _add(document: dict[str, Any], **rule: Any) -> None:
    document["metrics"].append({"description": "For this test.", "type": "COUNTER", **rule})


def test_a_changed_rule_shows_both_values_and_the_events_behind(ingest, event, draft, dry_run):
    """The active side is what is stored; the draft's what would be."""
    amounts = [5_000, 20_000, 60_000]
    ingest([event(n, amount=amount) for n, amount in enumerate(amounts)])

    result = dry_run(
        draft(
            "metrics", lambda document: _rule(document, "high_value").update(where="amount > 50000")
        )
    )

    [rule] = result["rules"]
    assert (rule["name"], rule["change"], rule["events"]) == ("high_value", "changed", 1)
    assert [change[0] for change in rule["changes"]] == ["where"]
    assert rule["series"] == {"appears": 0, "vanishes": 0, "changes": 1, "same": 0}
    [series] = result["series"]
    assert (Decimal(series["old"]), Decimal(series["new"]), series["events"]) == (2, 1, 1)
    stored = MetricWindow.objects.filter(rule="high_value")
    assert sum(window.value_sum for window in stored) == Decimal(series["old"])
    [sample] = series["samples"]
    assert (sample["transaction_id"], sample["live"], sample["draft"]) == ("tx-1", "1", None)


def test_series_that_appear_and_vanish_are_told_apart(ingest, event, draft, dry_run):
    """A group that only one side has."""
    ingest([event(n, channel=channel) for n, channel in enumerate(["web", "web", "pos"])])

    def changes(document: dict[str, Any]) -> None:
        document["metrics"].remove(_rule(document, "attempts"))
        _add(document, name="by_channel", group_by=["channel"])

    result = dry_run(draft("metrics", changes))

    rules = {rule["name"]: rule for rule in result["rules"]}
    assert rules["by_channel"]["change"] == "new"
    assert rules["by_channel"]["series"]["appears"] == 2
    assert rules["attempts"]["change"] == "removed"
    groups = {s["group"]: (s["old"], s["new"]) for s in result["series"]}
    assert groups['{"channel":"web"}'] == (None, "2.000000")


def test_an_event_that_moves_to_another_group_counts_for_both(ingest, event, draft, dry_run):
    """Its old series loses it, its new one gains it."""
    ingest([event(1, merchant_id="M-1"), event(2, merchant_id="M-2")])

    def regroups(document: dict[str, Any]) -> None:
        _rule(document, "volume_by_country")["group_by"] = ["merchant_id"]

    result = dry_run(draft("metrics", regroups))

    [rule] = result["rules"]
    assert rule["series"] == {"appears": 2, "vanishes": 1, "changes": 0, "same": 0}
    assert rule["events"] == 2


def test_every_type_of_rule_is_compared(ingest, event, draft, dry_run):
    """By its last value, its quotient, or its 95th percentile."""
    formulas: dict[str, dict[str, Any]] = {
        "GAUGE": {"value": "amount"},
        "RATE": {"numerator": "amount", "denominator": 1},
        "HISTOGRAM": {"value": "amount"},
    }
    worth = {"GAUGE": 300, "RATE": 200, "HISTOGRAM": 300}

    def adds(document: dict[str, Any], factor: str) -> None:
        for kind, keys in formulas.items():
            first, *rest = keys
            entry = {first: f"amount * {factor}", **{key: keys[key] for key in rest}}
            _add(document, name=f"a_{kind.lower()}", type=kind, **entry)

    activate(draft("metrics", lambda document: adds(document, "1")))
    ingest([event(1, amount=100), event(2, amount=300)])

    def shrinks(document: dict[str, Any]) -> None:
        document["metrics"] = document["metrics"][: -len(formulas)]
        adds(document, "0.1")

    result = dry_run(draft("metrics", shrinks))

    assert {series["type"]: series["change"] for series in result["series"]} == dict.fromkeys(
        formulas, "changes"
    )
    for series in result["series"]:
        assert float(series["old"]) == pytest.approx(worth[series["type"]], rel=0.01)
        assert float(series["new"]) == pytest.approx(worth[series["type"]] / 10, rel=0.01)


def test_an_event_that_came_twice_counts_once(ingest, event, draft, dry_run):
    """As in the live series: the second delivery is no event."""
    ingest([event(1, amount=20_000)])
    ingest([event(1, amount=20_000), event(2, amount=20_000)])

    result = dry_run(
        draft("metrics", lambda document: _rule(document, "high_value").update(where="amount > 1"))
    )

    [series] = [one for one in result["series"] if one["rule"] == "high_value"] or [None]
    assert series is None, "both count the same events"
    assert result["rules"][0]["series"]["same"] == 1
    stored = MetricWindow.objects.filter(rule="high_value")
    assert sum(window.value_sum for window in stored) == 2


def test_a_draft_that_only_says_it_otherwise_has_nothing_to_compare(ingest, event, draft, dry_run):
    """Descriptions compute nothing; no event is read for them."""
    ingest([event(1)])

    result = dry_run(
        draft("metrics", lambda document: _rule(document, "high_value").update(description="Big."))
    )

    assert (result["rules"], result["events"]) == ([], 0)


def test_findings_that_only_one_side_has_are_named(ingest, event, draft, dry_run):
    """With the event of each, and how severe the rule is on both sides."""
    ingest([event(n, amount=amount) for n, amount in enumerate([100, 40_000, 60_000])])

    def tightens(document: dict[str, Any]) -> None:
        rule = next(r for r in document["rules"] if r["name"] == "aml_large_amount")
        rule["where"] = rule["where"].replace("50000", "30000")
        rule["severity"] = "high"

    result = dry_run(draft("compliance", tightens))

    [rule] = result["rules"]
    assert (rule["new"], rule["gone"], rule["both"]) == (1, 0, 1)
    assert (rule["old_severity"], rule["new_severity"]) == ("critical", "high")
    assert rule["new_samples"][0]["transaction_id"] == "tx-1"


def test_a_draft_with_too_many_differences_is_refused_in_words(ingest, event, draft, dry_run):
    """Before any event is read."""
    ingest([event(1)])

    def adds(document: dict[str, Any]) -> None:
        for number in range(3):
            _add(document, name=f"extra_{number}")

    version = draft("metrics", adds)

    with (
        patch("ingestion.dryrun.plan.MAX_DIFFERING", 2),
        pytest.raises(AssertionError, match="3 rules differ"),
    ):
        dry_run(version)


def test_a_wrong_draft_never_begins(ingest, event, draft, dry_run):
    """Its problems are said; no job is made of it."""
    ingest([event(1)])
    version = draft("schema", lambda document: document["columns"].pop("processor"))
    version.problems = [{"pointer": "/columns", "message": "is wrong"}]

    with pytest.raises(ConfigurationError, match="is wrong"):
        dry_run(version)

    assert not Job.objects.exists()


def test_a_draft_that_breaks_the_rules_beside_it_never_begins(ingest, event, draft, dry_run):
    """A schema that drops an attribute would leave a rule of the source without its column."""
    document = {"name": "own", "type": "GAUGE", "value": "own_score"}
    mapped = draft("schema", lambda d: d["attributes"].update(own_score=_SCORE))
    activate(mapped, override_reason="for this test")
    activate(draft("metrics", lambda d: _add(d, **document)))
    ingest([event(1)])

    with pytest.raises(ConfigurationError, match="own_score"):
        dry_run(draft("schema", lambda d: d["attributes"].pop("own_score")))
