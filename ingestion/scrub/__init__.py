"""Keeps card numbers, CVV and track data out of everything payflow stores or shows.

`scrub` is step 2 of the path (see `batch`). It is pure and idempotent; what changes its results
raises the engine version.
"""

from __future__ import annotations

from ingestion.scrub.batch import Scrubbed, ScrubHit, ScrubRules, scrub

__all__ = ["ScrubHit", "ScrubRules", "Scrubbed", "scrub"]
