"""Addresses of the endpoints of sources, below /api/v1/sources/."""

from __future__ import annotations

from django.urls import path

from ingestion.source_page import api

urlpatterns = [
    path("", api.SourceList.as_view(), name="api-sources"),
    path("<slug:name>/", api.SourceDetail.as_view(), name="api-source"),
    path("<slug:name>/pause/", api.PauseSource.as_view(), name="api-source-pause"),
    path("<slug:name>/resume/", api.ResumeSource.as_view(), name="api-source-resume"),
    path("<slug:name>/test/", api.CheckSource.as_view(), name="api-source-test"),
]
