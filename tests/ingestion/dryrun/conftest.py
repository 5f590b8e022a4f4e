"""Drafts, and dry runs of them in this process."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from configuration.models import ConfigurationVersion, Job, Source
from configuration.versions import import_document
from ingestion import jobs
from ingestion.dryrun.run import new_dry_run
from ingestion.dryrun.scope import Scope
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def draft(ready: None) -> Callable[..., ConfigurationVersion]:
    """A draft of what is active, changed by a function on its document."""

    def make(kind: str, change: Change, *, name: str = "") -> ConfigurationVersion:
        name = name or ("transaction" if kind == "schema" else "default")
        active = ConfigurationVersion.objects.get(kind=kind, name=name, status="active")
        document = copy.deepcopy(active.document)
        change(document)
        return import_document(kind=kind, name=name, document=document)

    return make


@pytest.fixture
def dry_run(ready: None) -> Callable[..., dict[str, Any]]:
    """The kept result of a dry run over everything that was taken in."""

    def run(version: ConfigurationVersion, **scope: Any) -> dict[str, Any]:
        sources = tuple(Source.objects.values_list("pk", flat=True))
        job = new_dry_run(version, Scope(sources=sources, **scope))
        jobs.start(job)
        jobs.run(job)
        job.refresh_from_db()
        assert job.state == Job.State.DONE, job.error
        assert job.result is not None
        return dict(job.result)

    return run
