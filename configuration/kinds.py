"""How people call the three kinds of versions, and where their lists are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from configuration.models import ConfigurationVersion

Kind = ConfigurationVersion.Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOfVersion:
    """One kind, as pages and addresses name it."""

    #: sidebar and headings
    title: str
    #: within a sentence
    one: str
    #: in addresses
    slug: str
    icon: str


KINDS: Final[Mapping[str, KindOfVersion]] = {
    Kind.SCHEMA: KindOfVersion(
        title="Transaction schemas", one="transaction schema", slug="schemas", icon="schema"
    ),
    Kind.METRICS: KindOfVersion(
        title="Metric rules", one="metric rule set", slug="metric-rules", icon="functions"
    ),
    Kind.COMPLIANCE: KindOfVersion(
        title="Compliance rules", one="compliance rule set", slug="compliance-rules", icon="rule"
    ),
}
