"""The form of one rule of a metric or compliance rule set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from configuration.editor_inputs import (
    Form,
    Input,
    Row,
    as_lines,
    as_list,
    clean,
    from_lines,
    from_list,
    pointer,
)
from configuration.models import ConfigurationVersion
from configuration.text_edits import REMOVED, Edit

#: kind of a version -> key of its list of rules
LISTS: Final[Mapping[str, str]] = {
    ConfigurationVersion.Kind.METRICS: "metrics",
    ConfigurationVersion.Kind.COMPLIANCE: "rules",
}
#: what asks for the form of a rule that is not there yet
NEW: Final = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One key of a rule, and how it is typed."""

    key: str
    label: str
    hint: str = ""
    kind: str = "lines"
    options: Sequence[str] = ()
    is_list: bool = False
    is_mono: bool = True


_WHERE: Final = "for which transactions; empty: for all"
_PARTS: Final[Mapping[str, Sequence[_Part]]] = {
    "metrics": (
        _Part(key="name", label="Name", kind="text", hint="lower_case_with_underscores"),
        _Part(
            key="description", label="Description", hint="why it is worth watching", is_mono=False
        ),
        _Part(
            key="type",
            label="Type",
            kind="select",
            options=("COUNTER", "GAUGE", "HISTOGRAM", "RATE"),
        ),
        _Part(key="where", label="Where", hint=_WHERE),
        _Part(key="value", label="Value", hint="what is added, measured or put into buckets"),
        _Part(key="numerator", label="Numerator", hint="of a RATE"),
        _Part(key="denominator", label="Denominator", hint="of a RATE"),
        _Part(
            key="group_by", label="Group by", kind="text", hint="columns, with commas", is_list=True
        ),
        _Part(
            key="window",
            label="Window",
            kind="select",
            options=("", "1m", "5m", "15m", "1h", "6h", "1d", "7d"),
        ),
    ),
    "rules": (
        _Part(key="name", label="Name", kind="text", hint="lower_case_with_underscores"),
        _Part(key="description", label="Description", hint="what is wrong with it", is_mono=False),
        _Part(
            key="severity",
            label="Severity",
            kind="select",
            options=("low", "medium", "high", "critical"),
        ),
        _Part(
            key="family",
            label="Family",
            kind="select",
            options=("aml", "kyc", "pci", "data_quality", "business_rule"),
        ),
        _Part(key="where", label="Where", hint="a transaction for which this is true is a finding"),
        _Part(
            key="evidence",
            label="Evidence",
            kind="text",
            hint="columns that are kept with a finding, with commas",
            is_list=True,
        ),
    ),
}

_OTHER: Final = _Part(key="", label="Other settings", hint="name: value, one a line")


def rules_of(kind: str, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rules of a document that are mappings; a wrong draft may hold others."""
    entries = document.get(LISTS[kind])
    if not isinstance(entries, list):
        return []
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def facts_of(kind: str, rule: Mapping[str, Any]) -> list[str]:
    """What stands beside a rule's name in lists: of a metric type, groups, window; of a compliance
    rule severity and family."""
    if LISTS[kind] == "rules":
        return [str(rule.get("severity", "")), str(rule.get("family", ""))]
    by = rule.get("group_by")
    groups = ", ".join(map(str, by)) if isinstance(by, list) else ""
    return [str(rule.get("type", "")).lower(), groups, str(rule.get("window", ""))]


def form(
    kind: str, document: Mapping[str, Any], active: Mapping[str, Any] | None, *, rule: str
) -> Form | None:
    """The form of a rule by its number in the document, or of a new one; None: no such rule."""
    number = _number(kind, document, rule)
    if number is None:
        return None
    rules = rules_of(kind, document)
    is_new = number == len(rules)
    entry = {} if is_new else rules[number]
    old = None
    if active is not None and not is_new:
        named = [r for r in rules_of(kind, active) if r.get("name") == entry.get("name")]
        old = named[0] if named else None
    rows = [
        _row(kind, part, entry, entry if old is None else old, number=number)
        for part in (*_PARTS[LISTS[kind]], _OTHER)
    ]
    return Form(
        heads=(),
        rows=rows,
        summary="a new rule" if is_new else f"rule {number + 1} of {len(rules)}",
        can_remove=not is_new,
    )


def edits(
    kind: str, document: Mapping[str, Any], post: Mapping[str, str], *, rule: str
) -> list[Edit]:
    """What the form of a rule changes. Raises ConfigurationError with what cannot be read."""
    number = _number(kind, document, rule)
    if number is None:
        return []
    rules, name = rules_of(kind, document), LISTS[kind]
    if number == len(rules):
        entry = _typed(kind, {}, post, at=pointer(name, number))
        path = (name, number) if rules else (name,)
        return [Edit(path=path, value=entry if rules else [entry])] if entry else []
    if post.get("remove"):
        return [Edit(path=(name, number), value=REMOVED)]
    old = rules[number]
    new = _typed(kind, old, post, at=pointer(name, number))
    return [
        Edit(path=(name, number, key), value=new.get(key, REMOVED))
        for key in {**new, **old}
        if (key in new) != (key in old) or new.get(key) != old.get(key)
    ]


def _number(kind: str, document: Mapping[str, Any], rule: str) -> int | None:
    last = len(rules_of(kind, document))
    if rule == NEW:
        return last
    number = int(rule) if rule.isdecimal() and len(rule) < 6 else last
    return number if number < last else None


def _rest(kind: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    known = {part.key for part in _PARTS[LISTS[kind]]}
    return {key: value for key, value in entry.items() if key not in known}


def _shown(part: _Part, entry: Mapping[str, Any]) -> str:
    if part.is_list:
        return as_list(entry.get(part.key))
    value = entry.get(part.key)
    return "" if value is None else str(value).strip()


def _row(
    kind: str, part: _Part, entry: Mapping[str, Any], old: Mapping[str, Any], *, number: int
) -> Row:
    at = (LISTS[kind], number)
    value = _shown(part, entry) if part.key else as_lines(_rest(kind, entry))
    was = _shown(part, old) if part.key else as_lines(_rest(kind, old))
    options = part.options
    if part.kind == "select" and value not in options:
        options = (*options, value)
    entry_input = Input(
        name=part.key or "other",
        label=part.label,
        title=part.label,
        value=value,
        kind=part.kind,
        options=options,
        is_mono=part.is_mono,
        is_changed=value != was,
        hint=part.hint,
    )
    return Row(
        key=part.key or "other",
        title=part.label,
        pointer=pointer(*at, part.key) if part.key and part.key != "name" else pointer(*at),
        mark="changed" if value != was else "",
        inputs=[entry_input],
    )


def _typed(
    kind: str, old: Mapping[str, Any], post: Mapping[str, str], *, at: str
) -> dict[str, Any]:
    """The rule as typed; what reads the same as before stays as it was."""
    entry: dict[str, Any] = {}
    for part in _PARTS[LISTS[kind]]:
        typed = clean(post.get(part.key, _shown(part, old)))
        if part.key in old and typed == _shown(part, old):
            entry[part.key] = old[part.key]
        elif typed:
            entry[part.key] = from_list(typed, at=at) if part.is_list else _one_line(typed)
    rest = _rest(kind, old)
    other = clean(post.get("other", as_lines(rest)))
    return entry | (rest if other == as_lines(rest) else from_lines(other, at=at))


def _one_line(text: str) -> str:
    """Formulas and descriptions are wrapped for reading only."""
    return " ".join(text.split())
