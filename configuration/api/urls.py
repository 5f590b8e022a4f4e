"""Addresses of the configuration's endpoints, below /api/v1/configuration/."""

from __future__ import annotations

from django.urls import path

from configuration.api import views

urlpatterns = [
    path("versions/", views.VersionList.as_view(), name="api-versions"),
    path("validate/", views.Validation.as_view(), name="api-validate"),
    path("versions/<int:pk>/", views.VersionDetail.as_view(), name="api-version"),
    path("versions/<int:pk>/draft/", views.NewDraft.as_view(), name="api-new-draft"),
    path("versions/<int:pk>/diff/", views.Difference.as_view(), name="api-diff"),
    path("versions/<int:pk>/activate/", views.Activate.as_view(), name="api-activate"),
    path("versions/<int:pk>/ask-approval/", views.AskApproval.as_view(), name="api-approval"),
    path("versions/<int:pk>/roll-back/", views.RollBack.as_view(), name="api-roll-back"),
    path("activations/", views.ActivationList.as_view(), name="api-activations"),
    path("audit/", views.AuditList.as_view(), name="api-audit"),
]
