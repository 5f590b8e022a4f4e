"""API tokens in the admin: made for oneself, shown once, revoked with a click."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html
from django.utils.safestring import SafeString
from knox.models import AuthToken, get_digest_token
from knox.settings import CONSTANTS
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from payflow.lib.pages.admin import Empty, PageAdmin
from payflow.lib.pages.detail import Card, Detail, Notice
from payflow.lib.pages.display import moment, mono, pill

#: days that a token may live; there is none for ever
DAYS: Final = (7, 30, 90, 365)

admin.site.unregister(AuthToken)


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    """For whom a token is made and how long it lives; the token itself is only in `token`."""

    user = forms.ModelChoiceField(
        User.objects.none(),
        widget=UnfoldAdminSelectWidget(),
        help_text="The token may do what this person may do.",
    )
    days = forms.TypedChoiceField(
        choices=[(days, f"{days} days") for days in DAYS],
        coerce=int,
        initial=90,
        label="Lives for",
        widget=UnfoldAdminSelectWidget(),
    )

    class Meta:
        model = AuthToken
        fields = ("user",)

    def save(self, commit: bool = True) -> Any:
        token = super().save(commit=False)
        token.digest, self.token = get_digest_token()
        token.token_key = self.token[: CONSTANTS.TOKEN_KEY_LENGTH]
        token.expiry = timezone.now() + timedelta(days=self.cleaned_data["days"])
        if commit:
            token.save()
        return token


@admin.register(AuthToken)
class TokenAdmin(PageAdmin):
    """Everybody sees their own tokens, superusers all."""

    form = TokenForm
    fields = ("user", "days")
    list_display = ("begins_with", "user", "state", "made", "ends")
    list_select_related = ("user",)
    search_fields = ("token_key", "user__username")
    search_scope = "Tokens are found by how they begin and by their person."
    empty = Empty(
        title="No token yet",
        text="A token lets a program call the REST API as you.",
        icon="key",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        tokens = super().get_queryset(request)
        return tokens if request.user.is_superuser else tokens.filter(user=request.user)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, *args, **kwargs)
        people = User.objects.filter(is_active=True)
        if not request.user.is_superuser:
            people = people.filter(username=request.user.get_username())
        form.base_fields["user"].queryset = people
        form.base_fields["user"].initial = request.user.pk
        return form

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """A token is revoked and another one made."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        # on the way to response_add(), and nowhere else
        obj.plain = form.token

    def response_add(
        self,
        request: HttpRequest,
        obj: Any,
        post_url_continue: str | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        """The one page that shows the token: a message would keep it in a cookie."""
        detail = self.detail(request, obj)
        shown = Notice(
            kind="ok",
            icon="key",
            title="Copy this token now: it is shown this once",
            text=mono(obj.plain),
        )
        response = self.render_page(
            request,
            self.page_template,
            obj,
            detail=Detail(
                title=detail.title,
                state=detail.state,
                notices=[shown],
                main=[*detail.main, _how_to_use(request)],
            ),
        )
        add_never_cache_headers(response)
        return response

    @display(description="token")
    def begins_with(self, row: Any) -> SafeString:
        return mono(f"{row.token_key}…")

    @display(description="state")
    def state(self, row: Any) -> SafeString:
        if row.expiry and row.expiry < timezone.now():
            return pill("", "Ended")
        return pill("ok", "Works")

    @display(description="made")
    def made(self, row: Any) -> SafeString:
        return moment(row.created)

    @display(description="ends")
    def ends(self, row: Any) -> SafeString:
        return moment(row.expiry)

    def detail(self, request: HttpRequest, row: Any) -> Detail:  # noqa: ARG002
        return Detail(
            title=self.begins_with(row),
            state=self.state(row),
            main=[
                Card(
                    title="Token",
                    facts=[
                        ("Acts as", str(row.user)),
                        ("Made", moment(row.created)),
                        ("Ends", moment(row.expiry)),
                    ],
                )
            ],
        )


def _how_to_use(request: HttpRequest) -> Card:
    url = request.build_absolute_uri("/api/v1/configuration/versions/")
    command = f'curl -H "Authorization: Bearer $TOKEN" {url}'
    return Card(title="Use it", html=format_html('<pre class="pf-code">{}</pre>', command))
