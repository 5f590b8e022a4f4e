"""Addresses: the admin is the face of payflow; the probes are for machines."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from ingestion.views import overview_live
from payflow import probes
from payflow.metrics_endpoint import metrics

urlpatterns = [
    path("livez", probes.livez),
    path("readyz", probes.readyz),
    path("metrics", metrics),
    path("overview/live/", overview_live, name="overview-live"),
    path("", admin.site.urls),
]
