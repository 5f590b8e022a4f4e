"""Messages to columns: a schema document compiled once, applied to whole batches."""

from __future__ import annotations

from ingestion.parsing.document import Identity
from ingestion.parsing.reading import MAX_DEPTH, MAX_MESSAGE
from ingestion.parsing.reasons import Reason, TransactionStatus, ValidationError
from ingestion.parsing.schema import CompiledSchema, Parsed, compile_schema

__all__ = [
    "MAX_DEPTH",
    "MAX_MESSAGE",
    "CompiledSchema",
    "Identity",
    "Parsed",
    "Reason",
    "TransactionStatus",
    "ValidationError",
    "compile_schema",
]
