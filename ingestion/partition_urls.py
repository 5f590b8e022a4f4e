"""Addresses of the REST API of one partition, below its own."""

from __future__ import annotations

from django.urls import path

from ingestion.partition_api import PausePartition, ResumePartition, SeekPartition

urlpatterns = [
    path("seek/", SeekPartition.as_view(), name="api-partition-seek"),
    path("pause/", PausePartition.as_view(), name="api-partition-pause"),
    path("resume/", ResumePartition.as_view(), name="api-partition-resume"),
]
