"""Where the dry run hooks in: its kind of job, and its part of a version's page."""

from __future__ import annotations

from ingestion import jobs
from ingestion.dryrun.run import KIND, dry_run


def register() -> None:
    """Called once, at ready()."""
    jobs.register(KIND, dry_run)
