"""The active version and, where one was chosen, another one: both looked at, then compared."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Generic, TypeVar

from django.conf import settings

from configuration.models import Bundle, ConfigurationVersion
from ingestion.bundles import CompiledBundle, compile_bundle, load_bundle
from ingestion.dryrun.sides import draft_content
from ingestion.scrub import scrub
from ingestion.sources.base import MessageBatch
from ingestion.trybox.asked import Asked
from ingestion.trybox.judged import Judged, judge
from payflow.lib.errors import BundleMissing, ConfigurationError, Problem

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What becomes of the event under one bundle."""

    #: "Active", or the name and number of the other version
    label: str
    #: None: what is active
    version: ConfigurationVersion | None
    #: None when there is nothing to evaluate with: `problems` say why
    judged: Judged | None = None
    problems: Sequence[Problem] = ()
    #: the event with card data masked
    body: bytes = b""
    #: what was masked, of pan, cvv and track
    masked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared(Generic[_Value]):
    """One thing that the sides may have; None where a side has it not."""

    found: Sequence[_Value | None]

    @property
    def differs(self) -> bool:
        return any(one != self.found[0] for one in self.found)

    @property
    def any(self) -> _Value:
        return next(one for one in self.found if one is not None)


def look(asked: Asked, *, now: datetime) -> list[Side]:
    """The sides, what is active first; each scrubs and evaluates as its bundle says."""
    source = asked.source
    if source is None or source.active_bundle_id is None:
        problem = Problem(pointer="", message="nothing is active for this source")
        return [Side(label="Active", version=None, problems=[problem])]
    message, bundle_id = asked.message(now=now), source.active_bundle_id
    sides = [_side("Active", None, partial(load_bundle, bundle_id), message, asked.part)]
    version = asked.version
    if version is not None:
        pk, checksum = version.pk, version.checksum
        load = partial(_draft, bundle_id, pk, checksum)
        sides.append(_side(str(version), version, load, message, asked.part))
    return sides


def compare(
    sides: Iterable[Sequence[_Value]], *, key: Callable[[_Value], Hashable]
) -> list[Compared[_Value]]:
    """Things of all sides by their keys, in the order in which they are met."""
    by_key = [{key(one): one for one in side} for side in sides]
    keys = dict.fromkeys(one for side in by_key for one in side)
    return [Compared(found=[side.get(one) for side in by_key]) for one in keys]


def _side(
    label: str,
    version: ConfigurationVersion | None,
    load: Callable[[], CompiledBundle],
    message: MessageBatch,
    part: int,
) -> Side:
    try:
        bundle = load()
    except ConfigurationError as exc:
        return Side(label=label, version=version, problems=exc.problems)
    except BundleMissing as exc:
        problem = Problem(pointer="", message=str(exc))
        return Side(label=label, version=version, problems=[problem])
    key = settings.PAYFLOW["SCRUB_KEY"].encode()
    scrubbed = scrub(message.bodies, None, message.headers, rules=bundle.scrub, key=key)
    clean = message.with_bodies(scrubbed.bodies, keys=None, headers=scrubbed.headers)
    return Side(
        label=label,
        version=version,
        judged=judge(clean, bundle, part=part),
        body=clean.bodies[0],
        masked=scrubbed.hits[0].kinds if scrubbed.hits else frozenset(),
    )


@lru_cache(maxsize=16)
def _draft(bundle_id: int, version_id: int, checksum: str) -> CompiledBundle:  # noqa: ARG001
    """A bundle with a version in its place, kept while its text (`checksum`) stays the same.

    Raises ConfigurationError, which is not kept.
    """
    content = Bundle.objects.get(pk=bundle_id).content
    version = ConfigurationVersion.objects.get(pk=version_id)
    return compile_bundle(draft_content(content, version))
