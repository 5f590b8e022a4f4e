"""Somebody who changes the configuration all the time: `python -m tests.kill.activator`.

Each step makes another version the active one: a schema that marks its events with its own name, a
changed rule set, a roll back, and now and then a draft that is wrong and must not go live. Writes
one JSON object to a file: what went live, what was refused, and how long each step took.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payflow.settings")
django.setup()

from configuration.activation import activate, roll_back, set_gate  # noqa: E402
from configuration.bundling import checksum  # noqa: E402
from configuration.models import ConfigurationVersion  # noqa: E402
from configuration.versions import create_draft, import_document, text_of  # noqa: E402
from payflow.lib.errors import ConfigurationError  # noqa: E402

SCHEMA = "transaction"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--every", type=float, default=0.3, help="seconds from step to step")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    options = parser.parse_args()
    options.out.write_text(json.dumps(run(count=options.count, every=options.every)))


def run(*, count: int, every: float) -> dict[str, Any]:
    """Every tenth step is wrong, every seventh a roll back, every fifth changes the rules."""
    set_gate(SCHEMA, "none", by=None)
    live: list[int] = []
    refused: list[int] = []
    seconds: list[float] = []
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, start + number * every - time.monotonic()))
        began = time.monotonic()
        if number % 10 == 9:
            refused.append(_go_wrong(number))
        elif number % 7 == 6:
            live.append(roll_back("schema", SCHEMA, reason=f"step {number}").pk)
        elif number % 5 == 4:
            live.append(_change_rules(number))
        else:
            live.append(_mark(number))
        seconds.append(round(time.monotonic() - began, 4))
    return {"live": live, "refused": refused, "seconds": seconds}


def _active(kind: str, name: str) -> dict[str, Any]:
    version = ConfigurationVersion.objects.get(kind=kind, name=name, status="active")
    document: dict[str, Any] = copy.deepcopy(version.document)
    return document


def _mark(number: int) -> int:
    """A schema whose events all carry its mark as merchant category."""
    document = _active("schema", SCHEMA)
    document["columns"]["merchant_category"] = {"constant": f"mark-{number}-{time.time_ns()}"}
    version = import_document(kind="schema", name=SCHEMA, document=document)
    return activate(version, reason=f"step {number}").pk


def _change_rules(number: int) -> int:
    """The rule set without its last rule, or with it again."""
    document = _active("metrics", "default")
    versions = ConfigurationVersion.objects.filter(kind="metrics", name="default")
    first = versions.order_by("number")[0].document
    changed = {**first, "metrics": first["metrics"][:-1]}
    if checksum(document) == checksum(changed):
        changed = first
    version = import_document(kind="metrics", name="default", document=changed)
    return activate(version, reason=f"step {number}").pk


def _go_wrong(number: int) -> int:
    """A draft that names a unit there is not; gives its id. It is an error if it goes live."""
    version = ConfigurationVersion.objects.get(kind="schema", name=SCHEMA, status="active")
    text = text_of(version) + f"\nnonsense_{number}: true\n"
    draft = create_draft(kind="schema", name=SCHEMA, text=text)
    try:
        activate(draft)
    except ConfigurationError:
        return draft.pk
    raise SystemExit(f"{draft} went live, and it is wrong")


if __name__ == "__main__":
    main()
