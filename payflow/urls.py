"""Addresses: the admin is the face of payflow."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

urlpatterns = [
    path("", admin.site.urls),
]
