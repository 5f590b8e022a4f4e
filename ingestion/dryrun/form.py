"""The form that starts a dry run: which events of which sources."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from configuration.models import ConfigurationVersion, Source
from ingestion.dryrun.run import candidates
from ingestion.dryrun.scope import MAX_EVENTS, Scope

LAST: Final = "last"
CUSTOM: Final = "custom"
_HOURS: Final = {"1h": 1, "24h": 24, "7d": 168}
RANGES: Final = (
    (LAST, "The last events"),
    ("1h", "Last hour"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    (CUSTOM, "From, to"),
)
DEFAULT_LAST: Final = 100_000


class DryRunForm(forms.Form):
    """Checked against what the version can be compared on."""

    span = forms.ChoiceField(choices=RANGES, initial=LAST)
    last = forms.IntegerField(
        min_value=1, max_value=MAX_EVENTS, initial=DEFAULT_LAST, required=False
    )
    since = forms.DateTimeField(required=False)
    until = forms.DateTimeField(required=False)

    def __init__(self, version: ConfigurationVersion, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.candidates = candidates(version)
        ids = [source.pk for source in self.candidates]
        self.fields["sources"] = forms.ModelMultipleChoiceField(
            Source.objects.filter(pk__in=ids),
            initial=ids,
            error_messages={"required": "Choose at least one source."},
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        span = cleaned.get("span")
        if span == LAST and cleaned.get("last") is None and "last" not in self.errors:
            raise ValidationError({"last": "How many events?"})
        since, until = cleaned.get("since"), cleaned.get("until")
        if span == CUSTOM and "since" not in self.errors and "until" not in self.errors:
            if since is None or until is None:
                raise ValidationError({"since": "A range has a beginning and an end."})
            if since >= until:
                raise ValidationError({"until": "The range ends before it begins."})
        return cleaned

    def scope(self) -> Scope:
        """What was chosen; only of a form that is valid."""
        chosen = self.cleaned_data
        sources = tuple(source.pk for source in chosen["sources"])
        if chosen["span"] == LAST:
            return Scope(sources=sources, last=chosen["last"])
        if chosen["span"] == CUSTOM:
            return Scope(sources=sources, since=chosen["since"], until=chosen["until"])
        since = timezone.now() - timedelta(hours=_HOURS[chosen["span"]])
        return Scope(sources=sources, since=since)

    def chosen_sources(self) -> set[str]:
        """Ids that are ticked, as texts."""
        return {str(value) for value in self["sources"].value() or ()}
