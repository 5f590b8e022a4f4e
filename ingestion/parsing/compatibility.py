"""Whether events that pass one version of a schema pass another, with the same columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configuration.compatibility import Compatibility, Effect, Reason, Verdict


def compare_schemas(old: Mapping[str, Any], new: Mapping[str, Any]) -> Compatibility:
    """Compare two schema documents; never raises: what is not understood is "cannot tell"."""
    if old == new:
        return Compatibility(backward=Verdict(), forward=Verdict())
    reason = Reason(pointer="", field="", message="the documents differ", effect=Effect.UNKNOWN)
    return Compatibility(backward=Verdict(reasons=(reason,)), forward=Verdict(reasons=(reason,)))
