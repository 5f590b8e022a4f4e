"""Proves that the database holds exactly what the archive gives: nothing lost, nothing twice.

See `run` for the steps.
"""

from __future__ import annotations

from ingestion.verify.report import Difference, Kind, Report
from ingestion.verify.run import verify
from ingestion.verify.scope import Scope

__all__ = ["Difference", "Kind", "Report", "Scope", "verify"]
