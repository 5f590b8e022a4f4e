"""What the page of the simulator shows of a row, and the form that steers it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.safestring import SafeString

from configuration.models import Source
from ingestion.simulation_model import MAX_RATE, SIMULATOR_ALIVE_S, Simulation
from payflow.lib.errors import ConfigurationError
from payflow.lib.pages.display import DASH, moment, pill, span
from simulator.config import SimulatorConfig
from simulator.config_file import scenarios
from simulator.patterns import check_rate


@cache
def shipped() -> dict[str, SimulatorConfig]:
    """The scenarios that a person can choose; files of the installation, read once."""
    return scenarios()


def title_of(scenario: str) -> str:
    """What a person calls it."""
    config = shipped().get(scenario)
    return config.title if config else scenario


def _choices() -> list[tuple[str, str]]:
    return [(name, config.title) for name, config in shipped().items()]


class SimulationForm(forms.Form):
    """What is to be simulated."""

    scenario = forms.ChoiceField(choices=_choices)
    rate = forms.FloatField(min_value=1, max_value=MAX_RATE)
    #: files are written by the command
    source = forms.ModelChoiceField(Source.objects.exclude(broker_type="file"))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if {"scenario", "rate"} <= set(cleaned):
            try:
                check_rate(shipped()[cleaned["scenario"]].compliance, cleaned["rate"])
            except ConfigurationError as exc:
                raise ValidationError([problem.message for problem in exc.problems]) from exc
        return cleaned


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A scenario as a person chooses it."""

    name: str
    title: str
    description: str
    is_chosen: bool


class Shown:
    """A row in the words of the page; everything else is asked of the row itself."""

    def __init__(self, row: Simulation, form: SimulationForm | None = None) -> None:
        self.row = row
        self.form = form or SimulationForm(
            initial={"scenario": row.scenario, "rate": int(row.rate), "source": row.source_id}
        )
        now = timezone.now()
        self.silent_s = (now - row.seen_at).total_seconds() if row.seen_at else None
        self.is_alive = (
            self.silent_s is not None and self.silent_s < SIMULATOR_ALIVE_S and row.owner != ""
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)

    @property
    def title(self) -> str:
        return title_of(self.row.scenario)

    @property
    def verb(self) -> str:
        return "Change" if self.row.is_wanted else "Start"

    @property
    def is_running(self) -> bool:
        return self.is_alive and self.row.started_at is not None

    @property
    def state(self) -> SafeString:
        if not self.is_alive:
            return pill("bad" if self.row.is_wanted else "", "No process")
        if self.row.done_revision < self.row.revision:
            return pill("info", "Changing", "sync")
        if self.row.problem:
            return pill("warn", "Waiting")
        if self.is_running:
            return pill("ok", "Running")
        return pill("", "Stopped", "stop_circle")

    @property
    def state_text(self) -> str:
        return f"by {self.row.owner}" if self.is_alive else ""

    @property
    def problem(self) -> str:
        """What a person should know; the process's own words while it lives."""
        if self.is_alive:
            return self.row.problem
        if not self.row.is_wanted:
            return ""
        if self.silent_s is None or self.row.owner == "":
            return "No simulator process follows this page"
        return f"The simulator process has been silent for {span(self.silent_s)}"

    @property
    def problem_kind(self) -> str:
        return "warn" if self.is_alive else "bad"

    @property
    def problem_text(self) -> str:
        if self.is_alive:
            return "It goes on by itself as soon as it can."
        return (
            f"Nothing is sent. Start one: manage.py simulate --follow --source {self.row.name}. "
            "It begins with what is wanted here."
        )

    @property
    def since(self) -> SafeString | str:
        started: datetime | None = self.row.started_at
        if not self.is_running or started is None:
            return DASH
        return span((timezone.now() - started).total_seconds())

    @property
    def since_text(self) -> SafeString | str:
        return moment(self.row.started_at) if self.is_running else "nothing runs"

    @property
    def rate_now(self) -> float:
        return float(self.row.rate_now) if self.is_running else 0.0

    @property
    def violations_text(self) -> str:
        config = shipped().get(self.row.scenario)
        share = sum(planned.share for planned in config.compliance.planned()) if config else 0
        return f"{share * 100:.0f} % wanted" if share else "none in this scenario"

    @property
    def choices(self) -> list[Choice]:
        chosen = self.form["scenario"].value()
        return [
            Choice(
                name=name,
                title=config.title,
                description=config.description,
                is_chosen=name == chosen,
            )
            for name, config in shipped().items()
        ]
