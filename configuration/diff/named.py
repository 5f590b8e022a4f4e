"""Members that have a name: columns, attributes, rules. Matched by it, renames found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from configuration.diff.change import Action, Change
from configuration.diff.values import Facet, below, facets, same, spread, union

#: (old spec, new spec, facet) -> what follows from the facet
Note = Callable[[Any, Any, Facet], str]


def diff_named(
    area: str,
    noun: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    key: str,
    note: Note = lambda _old, _new, _facet: "",
    renamed_note: str = "",
) -> Iterator[Change]:
    """The differences of the members under a key: a mapping by name, or a list of named objects."""
    before, after = (_members(side.get(key), f"/{key}") for side in (old, new))
    renamed = _renamed(before, after)
    for name in union(before, after):
        if name in renamed.values():
            continue
        if name in renamed:
            yield Change(
                area=area,
                subject=name,
                what="renamed",
                action=Action.RENAMED,
                old=(renamed[name],),
                new=(name,),
                pointer=after[name][0],
                note=renamed_note,
            )
        elif name in before and name in after:
            for change in _changed(before[name][1], after[name][1], after[name][0], note):
                yield replace(change, area=area, subject=name)
        else:
            yield _come_or_gone(area, noun, name, before.get(name), after.get(name))


def remaining(
    old: Mapping[str, Any], new: Mapping[str, Any], *, done: frozenset[str]
) -> Iterator[Change]:
    """The differences under all other keys of two documents."""
    for key in union(old, new):
        if key in done:
            continue
        if _is_named(old.get(key)) or _is_named(new.get(key)):
            noun = str(key).removesuffix("s")
            yield from diff_named(str(key).capitalize(), noun, old, new, key=key)
            continue
        before, after = ({key: side[key]} if key in side else {} for side in (old, new))
        action = Action.ADDED if not before else Action.CHANGED if after else Action.REMOVED
        for facet in facets(before, after, what="", pointer=""):
            yield Change(
                area="Document",
                subject=str(key),
                what=facet.what.removeprefix(str(key)).strip() or action.value,
                action=action,
                old=facet.old,
                new=facet.new,
                pointer=facet.pointer,
            )


def entries_of(value: Any) -> Mapping[str, Any]:
    """A mapping as it is, anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def _is_named(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(item, Mapping) and "name" in item for item in value
    )


def _members(value: Any, pointer: str) -> dict[str, tuple[str, Any]]:
    """name -> (pointer, what is said of it without the name)."""
    if isinstance(value, Mapping):
        return {str(name): (below(pointer, name), item) for name, item in value.items()}
    found: dict[str, tuple[str, Any]] = {}
    for number, item in enumerate(value if isinstance(value, list) else []):
        name = str(item.get("name", "")) if isinstance(item, Mapping) else ""
        spec = item
        if isinstance(item, Mapping):
            spec = {key: part for key, part in item.items() if key != "name"}
        # a draft may have a name twice, or none
        label = name if name and name not in found else f"{name} (entry {number + 1})".strip()
        found[label] = (f"{pointer}/{number}", spec)
    return found


def _renamed(
    before: Mapping[str, tuple[str, Any]], after: Mapping[str, tuple[str, Any]]
) -> dict[str, str]:
    """New name -> old name, where one that is gone and one that came say the same."""
    gone = [name for name in before if name not in after]
    come = [name for name in after if name not in before]
    found = {}
    for name in come:
        twins = [other for other in gone if same(before[other][1], after[name][1])]
        rivals = [other for other in come if same(after[other][1], after[name][1])]
        if len(twins) == 1 and len(rivals) == 1:
            found[name] = twins[0]
    return found


def _changed(old: Any, new: Any, pointer: str, note: Note) -> Iterator[Change]:
    """The changes within one member, which whoever asks names."""
    said = ""
    for facet in facets(old, new, what="", pointer=pointer):
        text = note(old, new, facet)
        yield Change(
            area="",
            subject="",
            what=facet.what or "written as",
            action=Action.CHANGED,
            old=facet.old,
            new=facet.new,
            pointer=facet.pointer,
            # one sentence for all facets that have the same consequence
            note=text if text != said else "",
        )
        said = text


def _come_or_gone(
    area: str,
    noun: str,
    name: str,
    old: tuple[str, Any] | None,
    new: tuple[str, Any] | None,
) -> Change:
    if new is not None:
        return Change(
            area=area,
            subject=name,
            what=f"new {noun}",
            action=Action.ADDED,
            new=spread(new[1]),
            pointer=new[0],
        )
    pointer, spec = old or ("", None)
    return Change(
        area=area,
        subject=name,
        what=f"removed {noun}",
        action=Action.REMOVED,
        old=spread(spec),
        pointer=pointer,
    )
