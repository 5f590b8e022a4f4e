"""Where the dry run hooks in: its kind of job, and its part of a version's page."""

from __future__ import annotations

from configuration import page_parts
from ingestion import jobs
from ingestion.dryrun import card
from ingestion.dryrun.run import KIND, dry_run


def register() -> None:
    """Called once, at ready()."""
    jobs.register(KIND, dry_run)
    page_parts.add_card("main", 30, card.card)
    page_parts.add_button(20, card.button)
    page_parts.add_warning(card.warning)
