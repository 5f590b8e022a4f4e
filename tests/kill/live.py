"""How long activations took to be live on every worker, from the workers' own answers."""

from __future__ import annotations

from collections.abc import Sequence

from tests.kill.world import World

# of each worker that was there the first answer at or after the serial; the last of them counts
_TO_LIVE = """
SELECT v.id, max(extract(epoch FROM a.at - v.activated_at))::float
FROM configuration_activations v
CROSS JOIN LATERAL jsonb_each_text(v.serials) AS s (source, serial)
CROSS JOIN LATERAL (
    SELECT owner, min(acknowledged_at) AS at FROM configuration_acknowledgements
    WHERE source_id = s.source::bigint AND serial >= s.serial::bigint AND problem = ''
        AND owner IN (SELECT owner FROM drainers
            WHERE seen_at > now() - interval '5 s' AND started_at < v.activated_at)
    GROUP BY owner
) AS a
WHERE v.id = ANY(%s)
GROUP BY v.id ORDER BY v.id
"""


def seconds_to_live(world: World, activations: Sequence[int]) -> list[float]:
    """Of each activation that any live worker answered: seconds until the last of them had."""
    return [seconds for _, seconds in world.sql(_TO_LIVE, list(activations))]
