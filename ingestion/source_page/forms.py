"""The forms of a source: a new one, and other settings for one that is read.

Settings are written as YAML or JSON. What is wrong is said at its field, with its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import yaml
from django import forms
from django.core.validators import RegexValidator

from configuration import validators
from configuration.bundling import USED_BY
from configuration.documents import placed, read_text
from configuration.models import ConfigurationVersion, Source
from configuration.route_page import MAX_TEXT as MAX_ROUTES
from configuration.sources import SourceDocument, shown_setting
from ingestion.source_page.brokers import brokers
from ingestion.sources.factory import CONSUMERS
from payflow.lib.errors import ConfigurationError, Problem

#: characters of settings; the longest that any broker takes are shorter
MAX_SETTINGS: Final = 2**15


class SettingsField(forms.CharField):
    """A mapping as YAML or JSON; an empty text is an empty one. Keeps the lines of its keys."""

    def __init__(self, *, begins: str, **kwargs: Any) -> None:
        super().__init__(required=False, strip=False, **kwargs)
        self._begins = begins

    def to_python(self, value: Any) -> Any:
        """(document, pointer -> line); raises ValidationError with every problem."""
        text = super().to_python(value) or ""
        if self.max_length and len(text) > self.max_length:
            raise forms.ValidationError(f"It has at most {self.max_length:,} characters.")
        if not text.strip():
            return {}, {}
        try:
            return read_text(text, begins=self._begins)
        except ConfigurationError as exc:
            raise forms.ValidationError([str(problem) for problem in exc.problems]) from exc

    def run_validators(self, value: Any) -> None:
        """Those of Django look at texts; this one was read already."""


class SettingsForm(forms.Form):
    """Other settings of a source."""

    settings = SettingsField(begins="stream: ..", max_length=MAX_SETTINGS)
    #: of the settings that stood in the form
    serial = forms.IntegerField(required=False)

    def refuse(self, error: ConfigurationError) -> None:
        """Each problem at its field, with the line that it stands on."""
        # the first error of a field takes what was read of it away
        lines = {name: read[1] for name, read in self.cleaned_data.items() if type(read) is tuple}
        for problem in error.problems:
            name = problem.pointer.strip("/").partition("/")[0]
            field = name if name in self.fields else None
            self.add_error(field, _said(problem, lines.get(name, {}), field=field))


class NewSourceForm(SettingsForm):
    """A source that is to be made."""

    name = forms.CharField(
        max_length=64,
        validators=[
            RegexValidator(r"\A[A-Za-z0-9_-]+\Z", "A name is of letters, digits, `_` and `-`.")
        ],
    )
    broker_type = forms.ChoiceField(label="Broker")
    route_table = SettingsField(begins="by: ..", max_length=MAX_ROUTES)
    schema_name = forms.ChoiceField(label="Schema")
    metrics_name = forms.ChoiceField(label="Metric rules")
    compliance_name = forms.ChoiceField(label="Compliance rules")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._choose("broker_type", [(name, b.label) for name, b in brokers().items()])
        for kind, field in USED_BY.items():
            self._choose(field, [(name, name) for name in _active_names(kind)])

    def _choose(self, field: str, choices: list[tuple[str, str]]) -> None:
        known = ", ".join(value for value, _ in choices)
        self.fields[field] = forms.ChoiceField(
            label=self.fields[field].label,
            choices=choices,
            error_messages={"invalid_choice": f"%(value)s is none of these: {known}."},
        )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Source.objects.filter(name=name).exists():
            raise forms.ValidationError(f"A source {name} already exists.")
        return name

    def document(self) -> SourceDocument:
        """What was filled in; only of a form without errors."""
        said = self.cleaned_data
        return SourceDocument(
            name=said["name"],
            broker_type=said["broker_type"],
            settings=said["settings"][0],
            route_table=said["route_table"][0],
            # a route table names the schemas; the first is shown where there is room for one
            schema_name="" if said["route_table"][0] else said["schema_name"],
            metrics_name=said["metrics_name"],
            compliance_name=said["compliance_name"],
        )


def check_settings(form: SettingsForm, broker_type: str) -> Mapping[str, Any] | None:
    """The settings of a form, if a source of that type could be connected with them."""
    if "settings" not in form.cleaned_data or broker_type not in CONSUMERS:
        return None
    settings: Mapping[str, Any] = form.cleaned_data["settings"][0]
    try:
        validators.validate_source(broker_type, settings)
    except ConfigurationError as exc:
        form.refuse(exc)
        return None
    return settings


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings as YAML, for a person to change."""
    shown = {name: shown_setting(value) for name, value in settings.items()}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100) if shown else ""


def _said(problem: Problem, lines: Mapping[str, int], *, field: str | None) -> str:
    prefix = f"/{field}"
    inner = replace(problem, pointer=problem.pointer.removeprefix(prefix))
    [found] = placed([inner], lines) if lines else [inner]
    line = f"line {found.line}" if found.line else ""
    # a place at the top is named by the message
    place = found.pointer if found.pointer.count("/") > 1 else ""
    where = ", ".join(filter(None, (line, place)))
    return f"{where}: {found.message}" if where else found.message


def _active_names(kind: str) -> Iterable[str]:
    active = ConfigurationVersion.objects.filter(
        kind=kind, status=ConfigurationVersion.Status.ACTIVE
    )
    return active.order_by("name").values_list("name", flat=True)
