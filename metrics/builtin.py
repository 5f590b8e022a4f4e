"""Windowed metrics that every source has, whatever its rule set: the overview stands on them.

They are written as rules are, so that they are added up, verified and explored in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: findings of compliance rules by rule and severity; counted from the findings, not by a formula
VIOLATIONS: Final = "violations"

BUILTIN: Final[Mapping[str, Any]] = {
    "metrics": [
        {
            "name": "payment_failures",
            "description": "Failed payments by error code: why payments fail.",
            "type": "COUNTER",
            "where": "transaction_type <> 'refund' AND payment_status = 'failed'",
            "group_by": ["error_code"],
            "window": "5m",
        },
        {
            "name": "processor_success",
            "description": "Completed over decided payments by processor: which one is failing.",
            "type": "RATE",
            "where": "transaction_type <> 'refund' AND payment_status IN ('completed', 'failed')",
            "numerator": "payment_status = 'completed'",
            "denominator": 1,
            "group_by": ["processor"],
            "window": "5m",
        },
        {
            "name": "payment_amount",
            "description": "Amounts of payments by currency: median, 95th and 99th percentile.",
            "type": "HISTOGRAM",
            "where": "transaction_type <> 'refund'",
            "value": "amount",
            "group_by": ["currency"],
            "window": "1h",
        },
        {
            "name": "payment_latency_ms",
            "description": "Processing time that events state, in milliseconds, by channel.",
            "type": "HISTOGRAM",
            "value": "latency_us / 1000",
            "group_by": ["channel"],
            "window": "1h",
        },
    ]
}
