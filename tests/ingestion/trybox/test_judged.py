"""One message looked at closely: where its values are from."""

from __future__ import annotations

import base64
import json

from ingestion.trybox.judged import judge
from tests.ingestion.bundled import CHARGE, batch_of, bundle_of, charge


def test_values_within_a_text_are_traced_to_their_places():
    """What an envelope carries is no less in the event than what stands beside it."""
    columns = {
        name: {**column, "path": f"payload.{column['path']}"} if "path" in column else column
        for name, column in CHARGE["columns"].items()
    }
    document = {
        "name": "charge",
        "decoder": {"inside": "payload", "encoding": "base64"},
        "columns": columns,
    }
    carried = base64.b64encode(json.dumps(charge(1)).encode()).decode()

    found = judge(batch_of([{"payload": carried}]), bundle_of(document), part=0).part

    assert found.verdict == "accepted"
    traces = {one.column: one for one in found.traces}
    assert traces["transaction_id"].path == "payload.id"
    assert traces["amount"].path == "payload.amount"
    assert traces["transaction_id"].otherwise == ""
