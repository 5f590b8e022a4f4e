"""What a run says about itself: lines of text or JSON, and a bar on a terminal."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from tqdm import tqdm

from payflow.lib.errors import SourceUnavailable
from simulator.config import LoggingConfig, MetricsConfig
from simulator.generator import Kind

_FIGURES = {"invalid": Kind.INVALID, "duplicates": Kind.DUPLICATE, "violations": Kind.VIOLATION}


class Report:
    """Says lines to whoever listens, or to the file of the configuration."""

    def __init__(
        self,
        logging_: LoggingConfig,
        metrics: MetricsConfig,
        *,
        write: Callable[[str], None],
        total: int | None = None,
        show_bar: bool = False,
    ) -> None:
        """`write` takes a line without its end. Raises SourceUnavailable for a wrong log file."""
        self._config, self._track = logging_, metrics.track
        self._level = logging.getLevelName(logging_.level)
        self._write = write
        self._file = None
        if logging_.file:
            try:
                self._file = open(logging_.file, "a", encoding="utf-8")  # noqa: SIM115
            except OSError as exc:
                raise SourceUnavailable(f"{logging_.file}: {exc.strerror}") from exc
        self._bar = tqdm(total=total, unit=" events", unit_scale=True, disable=not show_bar)
        self._said_at, self._said_sent = time.monotonic(), 0

    def say(self, text: str, *, level: int = logging.WARNING, **figures: float) -> None:
        """One line, if the level is not below the configured one."""
        if level < self._level:
            return
        if self._config.format == "json":
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "level": logging.getLevelName(level).lower(),
                "message": text,
                **figures,
            }
            text = json.dumps(line)
        if self._file is None:
            self._write(text)
        else:
            self._file.write(f"{text}\n")
            self._file.flush()

    def progress(self, sent: Mapping[Kind, int]) -> None:
        """Move the bar; say the figures if it is time."""
        total = sum(sent.values())
        self._bar.update(total - self._bar.n)
        now, interval_s = time.monotonic(), self._config.metrics_interval_seconds
        if interval_s is None or now < self._said_at + interval_s:
            return
        rate = (total - self._said_sent) / (now - self._said_at)
        self._said_at, self._said_sent = now, total
        known = {"published": total, "rate": round(rate)} | {
            name: sent.get(kind, 0) for name, kind in _FIGURES.items()
        }
        figures = {name: known[name] for name in self._track}
        words = ", ".join(f"{value:,} {_WORDS[name]}" for name, value in figures.items())
        self.say(f"{words}.", level=logging.INFO, **figures)

    def close(self) -> None:
        """Nothing is said any more."""
        self._bar.close()
        if self._file is not None:
            self._file.close()


_WORDS = {
    "published": "events sent",
    "rate": "a second",
    "invalid": "invalid",
    "duplicates": "sent twice",
    "violations": "in violations",
}
