"""What differs between two versions, said of fields and rules and never as blobs of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configuration.diff.change import Action, Change, as_text
from configuration.diff.rules import diff_rules
from configuration.diff.schemas import diff_schemas
from configuration.diff.values import same

__all__ = ["Action", "Change", "as_text", "diff_documents"]


def diff_documents(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """The differences of two documents of a kind (schema, metrics, compliance), by area.

    Empty when both say the same. Never raises: drafts may be wrong, then what can be made out of
    them is compared as it stands.
    """
    changes = diff_schemas(old, new) if kind == "schema" else diff_rules(kind, old, new)
    if not changes and not same(old, new):
        note = "Nothing is read or computed otherwise."
        changes = [
            Change(area="Document", subject="", what="order", action=Action.CHANGED, note=note)
        ]
    return changes
