"""The card of propagation_card.py alone: propagation.js fetches it while something is awaited."""

from __future__ import annotations

from django.contrib.admin.sites import site
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from configuration.models import Activation
from ingestion.propagation_card import activation_card


@never_cache
@require_GET
def propagation_fragment(request: HttpRequest, activation: int) -> HttpResponse:
    """The card as HTML; 403 for who may not see it, 404 when there is no such activation."""
    row = get_object_or_404(
        Activation.objects.select_related("version", "activated_by", "approved_by"), pk=activation
    )
    card = activation_card(request, row)
    if card is None:
        raise PermissionDenied
    return render(request, "payflow/card.html", {"card": card})


propagation_live = site.admin_view(propagation_fragment)
