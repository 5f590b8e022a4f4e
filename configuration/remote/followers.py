"""One follower for each place that is set, for as long as the process lives."""

from __future__ import annotations

from functools import lru_cache

from configuration.remote.follow import Follower
from configuration.remote.found import Origin
from configuration.remote.origins import configured


def follower(name: str) -> Follower | None:
    """That of a place; None when it is not set in this process. Raises BadEnvironment."""
    origins = configured()
    if name not in origins:
        return None
    names = list(origins)
    return _follower(origins[name], tuple(names[: names.index(name)]))


@lru_cache(maxsize=8)
def _follower(origin: Origin, before: tuple[str, ...]) -> Follower:
    return Follower(origin, before=before)
