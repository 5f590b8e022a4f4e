"""Addresses: the admin is the face of payflow; the probes are for machines."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from ingestion.dryrun.api import CancelJob, JobDetail, StartDryRun
from ingestion.propagation_view import propagation_live
from ingestion.push.views import PushEvents
from ingestion.trybox.views import try_box_view, try_look_view
from ingestion.views import overview_live
from metrics.explore_page import explore_csv_view, explore_view
from payflow import probes
from payflow.metrics_endpoint import metrics

urlpatterns = [
    path("livez", probes.livez),
    path("readyz", probes.readyz),
    path("metrics", metrics),
    path("overview/live/", overview_live, name="overview-live"),
    path("propagation/<int:activation>/", propagation_live, name="propagation-live"),
    path("explore/", explore_view, name="explore"),
    path("explore/csv/", explore_csv_view, name="explore-csv"),
    path("try/", try_box_view, name="try-box"),
    path("try/look/", try_look_view, name="try-look"),
    path(
        "api/v1/configuration/versions/<int:pk>/dry-runs/",
        StartDryRun.as_view(),
        name="api-dry-run",
    ),
    path("api/v1/jobs/<int:pk>/", JobDetail.as_view(), name="api-job"),
    path("api/v1/jobs/<int:pk>/cancel/", CancelJob.as_view(), name="api-job-cancel"),
    path("api/v1/sources/<slug:name>/events", PushEvents.as_view(), name="api-push"),
    path("api/v1/sources/<slug:name>/events/", PushEvents.as_view()),
    path(
        "api/v1/sources/<slug:name>/partitions/<str:partition>/",
        include("ingestion.partition_urls"),
    ),
    path("api/v1/sources/", include("ingestion.source_page.urls")),
    path("api/v1/configuration/", include("configuration.api.urls")),
    path("", admin.site.urls),
]
