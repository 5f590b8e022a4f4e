"""Logs are JSON lines with the ids bound around them."""

from __future__ import annotations

import json
import logging

from payflow.lib.logs import JsonFormatter, bound


def _line(**extra: object) -> dict[str, object]:
    record = logging.getLogger("t").makeRecord(
        "t", logging.INFO, __file__, 1, "took %s", ("a batch",), None, extra=extra
    )
    line: dict[str, object] = json.loads(JsonFormatter().format(record))
    return line


def test_a_line_holds_sentence_action_and_bound_ids() -> None:
    """Ids are bound once, at the edge of the work, and are gone behind it."""
    with bound(source="demo", partition="3"), bound(batch="b1"):
        line = _line(action="batch_committed", accepted=7)
    after = _line(action="idle")

    assert line["message"] == "took a batch"
    assert (line["source"], line["partition"], line["batch"]) == ("demo", "3", "b1")
    assert (line["action"], line["accepted"]) == ("batch_committed", 7)
    assert "source" not in after


def test_an_exception_keeps_its_traceback_on_one_line() -> None:
    """A collector reads one object a line."""
    try:
        raise ValueError("x")  # noqa: TRY301
    except ValueError:
        import sys

        record = logging.getLogger("t").makeRecord(
            "t", logging.ERROR, __file__, 1, "failed", (), sys.exc_info()
        )

    text = JsonFormatter().format(record)

    assert "\n" not in text
    assert "ValueError" in json.loads(text)["exception"]
