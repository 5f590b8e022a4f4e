"""The bundles that the batches were evaluated under, each checked and compiled once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from configuration.bundling import checksum
from configuration.models import Bundle
from ingestion import archive
from ingestion.bundles import CompiledBundle, compile_bundle
from ingestion.verify.report import Difference, Kind, Report
from payflow.lib.errors import ConfigurationError, StorageError
from payflow.lib.version import ENGINE_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A bundle ready to evaluate with, and the engine that its batches were evaluated by."""

    compiled: CompiledBundle
    engine: int

    @property
    def is_of_this_engine(self) -> bool:
        return self.engine == ENGINE_VERSION


class Bundles:
    """Bundles by id. What is wrong with one is reported when it is first asked for."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._known: dict[int, Known | None] = {}

    def get(self, bundle_id: int) -> Known | None:
        """None when its batches cannot be evaluated again."""
        if bundle_id not in self._known:
            self._known[bundle_id] = self._load(bundle_id)
        return self._known[bundle_id]

    def _load(self, bundle_id: int) -> Known | None:
        row = Bundle.objects.filter(pk=bundle_id).first()
        if row is None:
            self._add(f"bundle {bundle_id}", "", "no row", "a row")
            return None
        name = f"bundle {row.hash[:12]}"
        if (digest := checksum(row.content)) != row.hash:
            self._add(name, "hash", row.hash, digest)
            return None
        self._check_archived(row, name)
        engine = row.content["engine_version"]
        try:
            compiled = compile_bundle(row.content, bundle_id=row.pk, digest=row.hash)
        except ConfigurationError as exc:
            if engine == ENGINE_VERSION:
                self._add(name, "content", str(exc), "a bundle that compiles")
            return None
        return Known(compiled=compiled, engine=engine)

    def _check_archived(self, row: Bundle, name: str) -> None:
        """The archive explains itself: it holds the bundle's content too."""
        path = f"bundles/{row.hash}.json"
        try:
            archived: Any = json.loads(archive.read_bytes(path))
        except StorageError:
            self._add(name, path, "no object", "an object")
        except ValueError:
            self._add(name, path, "no JSON", "the bundle's content")
        else:
            if archived != row.content:
                self._add(name, path, "other content", "the bundle's content")

    def _add(self, row: str, column: str, stored: str, recomputed: str) -> None:
        self._report.add(
            Difference(
                kind=Kind.BUNDLE, row=row, column=column, stored=stored, recomputed=recomputed
            )
        )
