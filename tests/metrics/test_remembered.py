"""Compiled rule sets are kept, apart by document and attributes."""

from __future__ import annotations

import polars as pl
import pytest

from metrics.remembered import MAX_KEPT
from metrics.rules import compile_metrics
from payflow.lib.errors import ConfigurationError


def rules(value: str) -> dict[str, object]:
    return {
        "name": "r",
        "metrics": [{"name": "m", "description": "d", "type": "GAUGE", "value": value}],
    }


def test_the_same_rules_for_the_same_attributes_are_compiled_once():
    """Equal content is enough; another attribute or another formula is another result."""
    first = compile_metrics(rules("amount"), attributes={})

    assert compile_metrics(rules("amount"), attributes={}) is first
    assert compile_metrics(rules("amount + 1"), attributes={}) is not first
    assert compile_metrics(rules("amount"), attributes={"x": pl.Int64()}) is not first


def test_what_is_refused_is_refused_again():
    """A problem is found each time that it is there."""
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="amout"):
            compile_metrics(rules("amout"), attributes={})


def test_the_oldest_are_forgotten():
    """A process that sees many drafts does not keep them all."""
    first = compile_metrics(rules("amount * 2"), attributes={})
    for number in range(MAX_KEPT):
        compile_metrics(rules(f"amount + {number}"), attributes={})

    assert compile_metrics(rules("amount * 2"), attributes={}) is not first
