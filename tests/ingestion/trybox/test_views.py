"""The page: what it is asked, what it answers, whom it lets in."""

from __future__ import annotations

import json

from tests.pages import text_of


def test_an_event_is_accepted_with_all_that_rules_give(ask, event):
    """Verdict, mapping with the place of each value, metrics and findings."""
    answer = ask(json.dumps(event(1, amount=61000.5)))

    text = text_of(answer["html"])
    assert "Accepted by transaction v1" in text
    assert "amount 61,000.5 amount" in text
    assert "aml_large_amount" in text
    assert "high_value" in text
    assert answer["marks"] == []
