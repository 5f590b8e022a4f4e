"""The form of a new source: refused with the field named, before a worker ever sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.forms.fields import InvalidJSONInput
from unfold.widgets import UnfoldAdminSelectWidget

from configuration import validators
from configuration.bundling import USED_BY, bundle_content
from configuration.documents import unstorable
from configuration.models import ConfigurationVersion, Source
from payflow.lib.errors import ConfigurationError

if TYPE_CHECKING:
    _Form = forms.ModelForm[Source]
else:  # generic for the type checker only
    _Form = forms.ModelForm


class _JsonField(forms.JSONField):
    """JSON that can be kept: no halves of characters, and not nested without end."""

    def to_python(self, value: Any) -> Any:
        try:
            said = super().to_python(value)
        except (ValueError, RecursionError) as exc:
            raise forms.ValidationError("This is no JSON that can be read.") from exc
        for problem in unstorable(said):
            raise forms.ValidationError(str(problem))
        return said

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What is shown again: as it was typed, where it cannot be read."""
        try:
            self.to_python(data)
        except forms.ValidationError:
            return InvalidJSONInput(data)
        return super().bound_data(data, initial)


class SourceForm(_Form):
    """Checks the settings with the rules of the broker type."""

    class Meta:
        field_classes = {"settings": _JsonField, "route_table": _JsonField}
        model = Source
        fields = [
            "name",
            "broker_type",
            "settings",
            "schema_name",
            "route_table",
            "metrics_name",
            "compliance_name",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind, name in USED_BY.items():
            names = _active_names(kind)
            old = self.fields[name]
            self.fields[name] = forms.ChoiceField(
                choices=[(value, value) for value in names],
                help_text=old.help_text,
                initial=old.initial,
                widget=UnfoldAdminSelectWidget(),
            )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        # the form's empty value is None, the model's is {}
        cleaned["route_table"] = cleaned.get("route_table") or {}
        if "broker_type" in cleaned and "settings" in cleaned:
            try:
                validators.validate_source(cleaned["broker_type"], cleaned["settings"])
            except ConfigurationError as exc:
                self._refuse(exc, other="settings")
        if not self.errors:
            try:
                # what drainers would run: are its parts there, and do they fit together?
                validators.validate_bundle(bundle_content(Source(**cleaned)))
            except ConfigurationError as exc:
                self._refuse(exc, other=None)
        return cleaned

    def _refuse(self, error: ConfigurationError, *, other: str | None) -> None:
        """Each problem at its field; at `other` (None: above the form) where there is none."""
        for problem in error.problems:
            where = problem.pointer.strip("/").partition("/")[0]
            self.add_error(where if where in self.fields else other, str(problem))


def _active_names(kind: str) -> list[str]:
    return list(
        ConfigurationVersion.objects.filter(kind=kind, status=ConfigurationVersion.Status.ACTIVE)
        .order_by("name")
        .values_list("name", flat=True)
    )
