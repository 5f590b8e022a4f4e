"""What `manage.py simulate` is told: its options over a configuration, and how much that makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from simulator.config import SimulatorConfig
from simulator.config_file import scenarios

#: seconds between two lines of --progress
_PROGRESS_S = 10.0


def shipped(name: str | None) -> SimulatorConfig:
    """A shipped scenario, or the defaults; CommandError when there is none of that name."""
    if name is None:
        return SimulatorConfig()
    known = scenarios()
    if name not in known:
        raise CommandError(f"There is no scenario {name}; there are: {', '.join(known)}.")
    return known[name]


def with_options(config: SimulatorConfig, options: Mapping[str, Any]) -> SimulatorConfig:
    """The configuration in which every option that was given counts instead of its key."""
    _check(options)
    # only what was stated: a default is no statement, and some keys exclude each other
    document = config.model_dump(exclude_unset=True)
    volume = document.setdefault("transaction", {}).setdefault("volume", {})
    output = document.setdefault("output", {})
    if options["rate"] is not None:
        volume["rate"] = options["rate"]
    if options["duration"] is not None:
        volume.update(duration=options["duration"], total=None)
    if options["count"] is not None:
        volume["total"] = options["count"]
    if options["source"] and options["out"] is None:
        output["destination"] = "stream"
    if options["out"] is not None:
        is_stdout = options["out"] == "-"
        output["destination"] = "stdout" if is_stdout else "file"
        output["file_path"] = None if is_stdout else options["out"]
    for name in ("seed", "shape"):
        if options[name] is not None:
            document[name] = options[name]
    if options["answers"] is not None:
        document.setdefault("compliance", {})["answer_key"] = str(options["answers"])
    if options["progress"]:
        document.setdefault("logging", {})["metrics_interval_seconds"] = _PROGRESS_S
    return SimulatorConfig.model_validate(document)


def events_of(config: SimulatorConfig) -> int | None:
    """How many events; None: without end. CommandError for a file without end."""
    volume = config.transaction.volume
    if volume.total is not None:
        return volume.total
    if volume.duration > 0:
        return max(1, round(volume.rate * volume.duration))
    if config.output.destination == "file":
        raise CommandError("A file has an end: say --duration or --count.")
    return None


def _check(options: Mapping[str, Any]) -> None:
    rate, duration, count = options["rate"], options["duration"], options["count"]
    if rate is not None and not 1 <= rate <= 1_000_000:
        raise CommandError("--rate must be at least 1 and at most 1,000,000 events a second.")
    if duration is not None and duration < 0:
        raise CommandError("--duration must not be negative.")
    if count is not None and count < 1:
        raise CommandError("--count must be at least 1.")
