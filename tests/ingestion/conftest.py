"""A database that is ready for events, and short ways to send some through the path."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from ingestion.ingest import IngestReport, ingest_file


@pytest.fixture
def ready(transactional_db: None, tmp_path: Path, settings: Any) -> None:
    """Leaves made, shipped configuration loaded, an archive of this test alone."""
    settings.STORAGES = settings.STORAGES | {
        "archive": {
            "BACKEND": "payflow.lib.storage.WriteOnceFileStorage",
            "OPTIONS": {"location": str(tmp_path / "archive")},
        }
    }
    call_command("load_defaults", verbosity=0)


@pytest.fixture
def ingest(ready: None, tmp_path: Path) -> Callable[..., IngestReport]:
    """Take messages (bytes or JSON objects) in as one file of a schema."""
    numbers = iter(range(1000))

    def take_in(
        messages: list[bytes | dict[str, Any]], *, schema: str = "transaction"
    ) -> IngestReport:
        path = tmp_path / f"{next(numbers)}.ndjson"
        lines = [m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages]
        path.write_bytes(b"\n".join(lines) + b"\n")
        return ingest_file(path, schema=schema, stop=threading.Event())

    return take_in


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    """A valid event of the schema `transaction`; keyword arguments replace its fields."""

    def make(number: int = 0, **fields: Any) -> dict[str, Any]:
        return {
            "transaction_id": f"tx-{number}",
            "timestamp": f"2026-03-02T10:{number // 60 % 60:02d}:{number % 60:02d}Z",
            "transaction_type": "payment",
            "channel": "web",
            "amount": 12.34,
            "currency": "EUR",
            "merchant_id": "M-1",
            "customer_id": "C-1",
            "status": "success",
            **fields,
        }

    return make
