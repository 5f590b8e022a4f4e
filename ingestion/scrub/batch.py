"""Scrubs one batch: find candidates in the columns, mask those, keep a keyed hash of each original.

0. What messages carry as a text is masked by itself, where a schema opens it (`wrapped`).
1. Two column scans name the messages that may hold card data (`candidates`).
2. A candidate is masked token by token when it is JSON (`document`), as text otherwise (`text`).
3. What was changed gets a hit: the kinds found and the HMAC of the body as it came.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TypeVar

from ingestion.parsing.wrapping import Wrapping
from ingestion.scrub.candidates import find_candidates
from ingestion.scrub.document import NotJsonError, mask_document
from ingestion.scrub.text import mask_runs, mask_text
from ingestion.scrub.wrapped import mask_inside

_Value = TypeVar("_Value", bytes, bytes | None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubRules:
    """What a source's bundle says about scrubbing."""

    #: dotted paths of the body whose values are never masked (ids, identity); arrays do not count
    spared: tuple[str, ...] = ()
    #: what opens bodies in which an encoding could hide card data
    wrappings: tuple[Wrapping, ...] = ()
    #: names of headers whose values are never masked
    spared_headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubHit:
    """A message in which something was masked."""

    kinds: frozenset[str]  #: of pan, cvv, track
    original_hmac: bytes  #: 32 bytes, HMAC-SHA256 of the body as it came


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubbed:
    """A batch without card data; each list is the one given where nothing in it was masked."""

    bodies: list[bytes]
    keys: list[bytes | None] | None
    headers: list[bytes | None] | None
    hits: dict[int, ScrubHit]  #: by message index


def scrub(
    bodies: list[bytes],
    keys: list[bytes | None] | None,
    headers: list[bytes | None] | None,
    *,
    rules: ScrubRules,
    key: bytes,
) -> Scrubbed:
    """Masks card numbers, CVV and track data in a batch; pure and idempotent.

    Digits between BIN and last four become `*` (in JSON numbers `0`), CVV and track values `***`
    (or 0); every other byte stays and JSON stays JSON. `key` is the secret of the HMAC.
    """
    spared = frozenset(path.replace("[]", "").encode() for path in rules.spared)
    changes: dict[int, set[str]] = {}
    clean_bodies, carried = bodies, _Carried()
    for wrapping in rules.wrappings:
        clean_bodies = _scrub_inside(clean_bodies, wrapping, spared, changes, carried)
    clean_bodies = _scrub_column(clean_bodies, spared, changes, carried)
    clean_keys = _scrub_column(keys, None, changes) if keys else keys
    spared_headers = frozenset(name.encode() for name in rules.spared_headers)
    clean_headers = _scrub_column(headers, spared_headers, changes) if headers else headers
    hits = {
        index: ScrubHit(
            kinds=frozenset(changes[index]),
            original_hmac=hmac.digest(key, bodies[index], "sha256"),
        )
        for index in sorted(changes)
    }
    return Scrubbed(bodies=clean_bodies, keys=clean_keys, headers=clean_headers, hits=hits)


@dataclass(slots=True)
class _Carried:
    """Which messages carry texts that were masked by themselves, at which paths."""

    #: paths by message index
    done: dict[int, set[bytes]] = field(default_factory=dict)

    def spared(self, index: int, spared: frozenset[bytes]) -> frozenset[bytes]:
        return spared | self.done[index] if index in self.done else spared


def _scrub_inside(
    bodies: list[bytes],
    wrapping: Wrapping,
    spared: frozenset[bytes],
    changes: dict[int, set[str]],
    carried: _Carried,
) -> list[bytes]:
    """Bodies with what they carry masked; the same list where nothing was."""
    path = b".".join(name.encode() for name in wrapping.path)
    result = bodies
    for index, body in enumerate(bodies):
        inside = mask_inside(body, wrapping, spared)
        if inside.is_read:
            carried.done.setdefault(index, set()).add(path)
        if inside.kinds:
            result = list(bodies) if result is bodies else result
            result[index] = inside.body
            changes.setdefault(index, set()).update(inside.kinds)
    return result


def _scrub_column(
    column: list[_Value],
    spared: frozenset[bytes] | None,
    changes: dict[int, set[str]],
    carried: _Carried | None = None,
) -> list[_Value]:
    """The masked column, or the same object; adds the kinds found to `changes`.

    Without `spared` the values are text even where they look like JSON (a broker key).
    """
    candidates = find_candidates(column)
    masked: dict[int, bytes] = {}
    for index in candidates.indexes:
        value = column[index]
        if value is None:
            continue
        if index in candidates.runs_only and mask_runs(value) is value:
            continue  # an id or a time: most candidates end here, without being walked
        paths = spared if spared is None or carried is None else carried.spared(index, spared)
        result, kinds = _mask(value, None if index in candidates.broken else paths)
        if kinds:
            masked[index] = result
            changes.setdefault(index, set()).update(kinds)
    if not masked:
        return column
    return [masked.get(index, value) for index, value in enumerate(column)]


def _mask(value: bytes, spared: frozenset[bytes] | None) -> tuple[bytes, set[str]]:
    if spared is None:
        return mask_text(value)
    try:
        return mask_document(value, spared)
    except NotJsonError:
        return mask_text(value)
