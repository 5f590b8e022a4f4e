"""Values of documents, compared member by member and written for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: lines of one side of a change; of longer lists the first are shown
_MAX_LINES: Final = 20
#: characters of one line
_MAX_WIDTH: Final = 160
#: lists whose members count and not their order
_UNORDERED: Final = frozenset(
    {"enum", "extractors", "fields", "identity", "in", "nulls", "required", "type"}
)
_NOTHING: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """One difference within a subject."""

    what: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    pointer: str


def same(old: Any, new: Any) -> bool:
    """Whether two values are the same JSON; true and 1 are not, nor are 1 and 1.0."""
    return _json(old) == _json(new)


def facets(old: Any, new: Any, *, what: str, pointer: str) -> Iterator[Facet]:
    """The differences of two values, down to the members of mappings and lists."""
    if same(old, new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in union(old, new):
            yield from _member(old, new, key, what=what, pointer=pointer)
    elif isinstance(old, list) and isinstance(new, list) and _is_flat([*old, *new]):
        yield from _members(old, new, what=what, pointer=pointer)
    else:
        before, after = _pair(words(old), words(new))
        yield Facet(what=what, old=(before,), new=(after,), pointer=pointer)


def union(old: Iterable[Any], new: Iterable[Any]) -> list[Any]:
    """The keys of both: those of the newer in its order, then those that are gone."""
    return list(dict.fromkeys((*new, *old)))


def spread(value: Any) -> tuple[str, ...]:
    """A whole value as lines: "key: value" of a mapping."""
    if not isinstance(value, Mapping):
        return (words(value),)
    return _bounded(f"{key}: {words(item)}" for key, item in value.items())


def words(value: Any) -> str:
    """A value as a person would write it, on one line."""
    if isinstance(value, str):
        text = " ".join(value.rstrip("\n").split("\n"))
        return text if text and text.strip() == text else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list) and _is_flat(value):
        return ", ".join(words(item) for item in value) or "none"
    return _json(value)


def cut(text: str) -> str:
    """A text that fits a line."""
    return text if len(text) <= _MAX_WIDTH else f"{text[:_MAX_WIDTH]}…"


def below(pointer: str, name: Any) -> str:
    """The JSON pointer of a member."""
    return f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _member(
    old: Mapping[Any, Any], new: Mapping[Any, Any], key: Any, *, what: str, pointer: str
) -> Iterator[Facet]:
    before, after = old.get(key, _NOTHING), new.get(key, _NOTHING)
    what, place = f"{what} {key}".strip(), below(pointer, key)
    if before is _NOTHING or after is _NOTHING:
        yield Facet(
            what=what,
            old=() if before is _NOTHING else _whole(before),
            new=() if after is _NOTHING else _whole(after),
            pointer=place,
        )
    else:
        yield from facets(before, after, what=what, pointer=place)


def _members(old: list[Any], new: list[Any], *, what: str, pointer: str) -> Iterator[Facet]:
    before, after = ({_json(item): item for item in side} for side in (old, new))
    gone = [item for text, item in before.items() if text not in after]
    come = [item for text, item in after.items() if text not in before]
    if what.rpartition(" ")[2] not in _UNORDERED:
        yield Facet(what=what, old=(cut(words(old)),), new=(cut(words(new)),), pointer=pointer)
    elif gone or come:
        yield Facet(
            what=what,
            old=_bounded(map(words, gone)),
            new=_bounded(map(words, come)),
            pointer=pointer,
        )


def _whole(value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        return spread(value)
    return (cut(words(value)),)


def _pair(old: str, new: str) -> tuple[str, str]:
    """Two texts, cut to where they begin to differ."""
    if max(len(old), len(new)) <= _MAX_WIDTH:
        return old, new
    shared = next(
        (at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b),
        min(len(old), len(new)),
    )
    start = max(0, shared - _MAX_WIDTH // 4)
    mark = "…" if start else ""
    return mark + cut(old[start:]), mark + cut(new[start:])


def _bounded(lines: Iterable[str]) -> tuple[str, ...]:
    every = [cut(line) for line in lines]
    if len(every) <= _MAX_LINES:
        return tuple(every)
    return (*every[: _MAX_LINES - 1], f"and {len(every) - _MAX_LINES + 1:,} more")


def _is_flat(items: list[Any]) -> bool:
    return not any(isinstance(item, Mapping | list) for item in items)


def _json(value: Any) -> str:
    # A draft may hold what JSON cannot say (dates); it is compared as it is written.
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
