"""The form that opens a source for HTTP: refused with the field named."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from ingestion.push.models import PushAccess
from ingestion.push.opening import MAX_SECRETS
from ingestion.push.signature import PREFIX, read_secrets
from payflow.lib.env import BadEnvironment
from payflow.lib.references import REFERENCE

#: characters of the field: references are short
_MAX_TEXT = 1_000


def possible_senders() -> QuerySet[User]:
    """Everybody who can log in, with the number of their tokens that work now."""
    ends = Q(auth_token_set__expiry=None) | Q(auth_token_set__expiry__gt=timezone.now())
    return (
        User.objects.filter(is_active=True)
        .annotate(tokens=Count("auth_token_set", filter=ends))
        .order_by("username")
    )


class AccessForm(forms.Form):
    """Who may push to a source, and how they prove it."""

    signature = forms.ChoiceField(choices=PushAccess.Signature.choices)
    senders = forms.ModelMultipleChoiceField(User.objects.none(), required=False)
    secrets = forms.CharField(required=False, max_length=_MAX_TEXT)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["senders"]
        assert isinstance(field, forms.ModelMultipleChoiceField)  # noqa: S101  for the type checker
        field.queryset = possible_senders()

    def clean_secrets(self) -> list[str]:
        """The references, one a line, of secrets that can be read here and are some."""
        references: list[str] = self.cleaned_data["secrets"].split()
        if len(references) > MAX_SECRETS:
            raise forms.ValidationError(f"There are at most {MAX_SECRETS}: the old and the new.")
        if not all(REFERENCE.match(reference) for reference in references):
            raise forms.ValidationError(
                f"A reference is env:NAME or keyvault:NAME; what it names is {PREFIX}..."
            )
        try:
            read_secrets(references)
        except BadEnvironment as exc:
            raise forms.ValidationError(str(exc)) from exc
        return references

    def clean(self) -> dict[str, Any]:
        """What is chosen must let somebody in."""
        cleaned = super().clean() or {}
        signature = cleaned.get("signature")
        if "secrets" in cleaned and signature != PushAccess.Signature.OFF:
            if not cleaned["secrets"]:
                self.add_error("secrets", "Signatures need a secret.")
        elif cleaned.get("secrets"):
            self.add_error("secrets", "Nobody signs: leave the secrets out.")
        needs_sender = signature != PushAccess.Signature.ENOUGH
        if needs_sender and "senders" in cleaned and not cleaned["senders"]:
            self.add_error("senders", "Choose whose tokens may push.")
        return cleaned
