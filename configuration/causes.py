"""The likely cause of a kind of failure: what changed for its source shortly before the first."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from django.db import connection

from configuration.models import Activation, ConfigurationVersion, Source
from payflow.lib.pages.display import list_url, row_url, span

#: a change longer before the first failure explains nothing
NEAR: Final = timedelta(minutes=10)
#: the first failure is dated by the arrival of its batch, which may have been read just before
#: the activation under which it was then evaluated
_SLACK: Final = timedelta(seconds=1)
# only schemas and payflow itself refuse events: rules never do
_NEAREST: Final = """
SELECT m.n, c.activation, c.release, c.at
FROM unnest(%(numbers)s::int[], %(after)s::timestamptz[], %(until)s::timestamptz[],
    %(sources)s::text[]) AS m (n, after, until, source)
CROSS JOIN LATERAL (
    SELECT a.id AS activation, '' AS release, a.activated_at AS at
    FROM configuration_activations a JOIN configuration_versions v ON v.id = a.version_id
    WHERE a.activated_at > m.after AND a.activated_at <= m.until
        AND a.previous_id IS NOT NULL AND v.kind = 'schema'
        AND jsonb_exists(a.serials, m.source)
    UNION ALL
    SELECT NULL, d.release, d.first_seen_at FROM deployments d
    WHERE d.first_seen_at > m.after AND d.first_seen_at <= m.until
        AND EXISTS (SELECT FROM deployments e WHERE e.first_seen_at < d.first_seen_at)
    ORDER BY at DESC LIMIT 1
) AS c
"""
_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What changed, and how long before the first failure."""

    at: datetime
    seconds: float
    #: None when a release of payflow is the cause
    activation: Activation | None = None
    release: str = ""

    @property
    def name(self) -> str:
        """Of the version or the release: "transaction v7"."""
        return str(self.activation.version) if self.activation else f"payflow {self.release}"

    @property
    def verb(self) -> str:
        """What became of it, as `after` ends."""
        if self.activation is None:
            return "was deployed"
        return "went active again" if self.activation.is_rollback else "went active"

    @property
    def after(self) -> str:
        """`14 s after transaction v7 went active`; below a second the digits would pretend."""
        how_long = "right" if self.seconds < 1 else span(self.seconds)
        return f"{how_long} after {self.name} {self.verb}"

    @property
    def url(self) -> str:
        """The page about it."""
        if self.activation is None:
            return list_url("configuration.activation")
        return row_url("configuration.configurationversion", self.activation.version_id)

    def is_of(self, version: ConfigurationVersion) -> bool:
        """Whether it is an activation of this version."""
        return self.activation is not None and self.activation.version_id == version.pk

    @property
    def can_be_undone(self) -> bool:
        """Whether the version is still the active one, so that rolling back would end it."""
        return self.activation is not None and self.activation.version.status == "active"


def cause_near(first_seen: datetime, source: Source) -> Cause | None:
    """The nearest activation or release within 10 minutes before; None when nothing changed."""
    return causes_near({source.pk: (first_seen, source.pk)}).get(source.pk)


def causes_near(moments: Mapping[_Key, tuple[datetime, int]]) -> dict[_Key, Cause]:
    """The causes of many at once; each is (first seen, id of its source)."""
    keys = list(moments)
    with connection.cursor() as cursor:
        cursor.execute(
            _NEAREST,
            {
                "numbers": list(range(len(keys))),
                "after": [moments[key][0] - NEAR for key in keys],
                "until": [moments[key][0] + _SLACK for key in keys],
                "sources": [str(moments[key][1]) for key in keys],
            },
        )
        found = cursor.fetchall()
    ids = {activation for _, activation, _, _ in found if activation}
    activations = Activation.objects.select_related("version", "previous").in_bulk(ids)
    return {
        keys[number]: Cause(
            at=at,
            seconds=max(0.0, (moments[keys[number]][0] - at).total_seconds()),
            activation=activations.get(activation),
            release=release,
        )
        for number, activation, release, at in found
    }
