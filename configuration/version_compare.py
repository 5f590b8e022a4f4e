"""The page that tells any two versions of a name apart."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from configuration.diff import diff_documents
from configuration.kinds import KINDS
from configuration.models import ConfigurationVersion
from configuration.version_history import state_pill, versions_of
from payflow.lib.pages.display import row_url


def compare_context(version: ConfigurationVersion, asked: str) -> dict[str, Any]:
    """What changed from the version with the key `asked` to this one.

    Without a key: from the active version, or from the one before this.
    """
    known = list(versions_of(version))
    other = next((row for row in known if str(row.pk) == asked), None) or _natural(version, known)
    changes = (
        diff_documents(version.kind, other.document, version.document) if other is not None else []
    )
    return {
        "title": f"{KINDS[version.kind].title}: {version.name}",
        "version": version,
        "other": other,
        "version_url": row_url("configuration.configurationversion", version.pk),
        "choices": [(row, state_pill(row)) for row in known],
        "areas": [
            (area, list(found)) for area, found in groupby(changes, key=lambda change: change.area)
        ],
        "count": len(changes),
    }


def _natural(
    version: ConfigurationVersion, known: list[ConfigurationVersion]
) -> ConfigurationVersion | None:
    others = [row for row in known if row.pk != version.pk]
    active = [row for row in others if row.status == ConfigurationVersion.Status.ACTIVE]
    before = [row for row in others if row.number < version.number]
    return next(iter(active or before or others), None)
