"""What the two sides of a dry run evaluate: only what differs, so that a million events are quick.

A schema is compared without any rules. Of rule sets only those rules are computed that give
something else under the draft (their versions differ), and both sides in one go: one rule set that
holds the live rule as `live_0007` and the draft's as `draft_0007`, so that every event is parsed
once. What a rule gives does not depend on its name, nor on the rules beside it.

A plan is plain JSON: it goes to processes that have no database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from ingestion.bundles import compile_bundle
from payflow.lib.errors import ConfigurationError, Problem

LIVE: Final = "live"
DRAFT: Final = "draft"
#: rules that may differ; both sides together must fit into one rule set
MAX_DIFFERING: Final = 200
#: seconds -> how a rule set writes a window
WINDOWS: Final[Mapping[int, str]] = {
    60: "1m",
    300: "5m",
    900: "15m",
    3_600: "1h",
    21_600: "6h",
    86_400: "1d",
    604_800: "7d",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One rule that is not the same on both sides."""

    name: str
    #: names of both sides in the common rule set; "" on the side that has no such rule
    live: str
    draft: str
    #: what was changed: (key, old, new) in words
    changes: list[tuple[str, str, str]]
    #: of a metric rule: COUNTER, GAUGE, HISTOGRAM or RATE on each side
    live_type: str = ""
    draft_type: str = ""
    live_group_by: list[str] = field(default_factory=list)
    draft_group_by: list[str] = field(default_factory=list)
    #: seconds; windows of both sides are added up to this length
    step_s: int = 0
    #: of a compliance rule
    live_severity: str = ""
    draft_severity: str = ""

    @property
    def change(self) -> str:
        return "new" if not self.live else "removed" if not self.draft else "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is evaluated of each source, and what is looked at."""

    #: schema, metrics or compliance
    kind: str
    #: source id -> bundle contents: one of both sides, or the live one and the draft's
    contents: dict[str, list[dict[str, Any]]]
    pairs: list[Pair] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        pairs = [Pair(**pair) for pair in value["pairs"]]
        return cls(kind=value["kind"], contents=value["contents"], pairs=pairs)


def plan_schema(sides: Mapping[int, tuple[dict[str, Any], dict[str, Any]]]) -> Plan:
    """Both bundles of each source, without rules."""
    contents = {
        str(source): [_without_rules(live), _without_rules(draft)]
        for source, (live, draft) in sides.items()
    }
    return Plan(kind="schema", contents=contents)


def plan_rules(
    kind: str, sides: Mapping[int, tuple[dict[str, Any], dict[str, Any]]], *, step_s: int
) -> Plan:
    """One bundle for each source with the rules that differ; windows are at least `step_s` long.

    The rules of all sources are those of one set. Raises ConfigurationError when a side does not
    compile, or when too many rules differ.
    """
    pairs: dict[str, Pair] = {}
    entries: list[dict[str, Any]] = []
    for live, draft in sides.values():
        before, after = _rules(live, kind), _rules(draft, kind)
        for name in [*before, *(name for name in after if name not in before)]:
            old, new = before.get(name), after.get(name)
            if name in pairs or (old and new and old.version == new.version):
                continue
            pair = pairs[name] = _pair(len(pairs), name, old, new, step_s)
            for side, rule in ((pair.live, old), (pair.draft, new)):
                if rule is not None:
                    entries.append(_entry(side, rule, pair.step_s))
    if len(pairs) > MAX_DIFFERING:
        raise ConfigurationError(
            Problem(
                pointer="",
                message=f"{len(pairs)} rules differ from the active version, and at most "
                f"{MAX_DIFFERING} can be compared: change them in smaller steps",
            )
        )
    contents = {
        str(source): [_with_rules(live, kind, entries)] for source, (live, _) in sides.items()
    }
    return Plan(kind=kind, contents=contents, pairs=list(pairs.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A rule as its document writes it, and the version that it compiles to."""

    entry: Mapping[str, Any]
    version: int
    window_s: int = 0
    group_by: tuple[str, ...] = ()
    metric_type: str = ""
    severity: str = ""


def _rules(content: Mapping[str, Any], kind: str) -> dict[str, _Rule]:
    """The rules of a bundle that any of its schemas can feed, by name."""
    document = content.get(kind, {}).get("document", {})
    key = "metrics" if kind == "metrics" else "rules"
    entries = {entry["name"]: entry for entry in document.get(key, [])}
    bundle = compile_bundle(content)
    if kind == "metrics":
        return {
            rule.name: _Rule(
                entry=entries[rule.name],
                version=rule.version,
                window_s=rule.window_s,
                group_by=rule.group_by,
                metric_type=str(rule.metric_type),
            )
            for rule in bundle.metrics.rules
        }
    return {
        rule.name: _Rule(entry=entries[rule.name], version=rule.version, severity=rule.severity)
        for rule in bundle.compliance.rules
    }


def _pair(number: int, name: str, old: _Rule | None, new: _Rule | None, step_s: int) -> Pair:
    return Pair(
        name=name,
        live=f"{LIVE}_{number:04d}" if old else "",
        draft=f"{DRAFT}_{number:04d}" if new else "",
        changes=_changes(old.entry, new.entry) if old and new else [],
        live_type=old.metric_type if old else "",
        draft_type=new.metric_type if new else "",
        live_group_by=list(old.group_by) if old else [],
        draft_group_by=list(new.group_by) if new else [],
        step_s=max(step_s, old.window_s if old else 0, new.window_s if new else 0),
        live_severity=old.severity if old else "",
        draft_severity=new.severity if new else "",
    )


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What is not the same in a rule that both sides have, in the words of the document."""
    keys = [key for key in (*old, *(key for key in new if key not in old)) if key != "description"]
    return [
        (key, _words(old.get(key)), _words(new.get(key)))
        for key in keys
        if old.get(key) != new.get(key)
    ]


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _entry(name: str, rule: _Rule, step_s: int) -> dict[str, Any]:
    """A rule of the common rule set: the same formulas under another name."""
    window = {"window": WINDOWS[step_s]} if rule.metric_type else {}
    return {**rule.entry, "name": name, **window}


def _without_rules(content: Mapping[str, Any]) -> dict[str, Any]:
    return {**content, **_empty()}


def _with_rules(
    content: Mapping[str, Any], kind: str, entries: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    key = "metrics" if kind == "metrics" else "rules"
    part = {"name": "dry_run", "version": 0, "document": {"name": "dry_run", key: entries}}
    return {**content, **_empty(), kind: part}


def _empty() -> dict[str, Any]:
    part = {"name": "dry_run", "version": 0, "document": {"name": "dry_run"}}
    return {"metrics": part, "compliance": part}
