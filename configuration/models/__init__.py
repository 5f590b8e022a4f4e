"""What is true now: sources, versions of schemas and rule sets, and the bundles built from them."""

from __future__ import annotations

from configuration.models.records import AuditEntry, Job, RemoteDocument, RemoteState
from configuration.models.sources import Acknowledgement, Bundle, Deployment, Source, SourceQuerySet
from configuration.models.versions import Activation, CompatibilityGate, ConfigurationVersion

__all__ = [
    "Acknowledgement",
    "Activation",
    "AuditEntry",
    "Bundle",
    "CompatibilityGate",
    "ConfigurationVersion",
    "Deployment",
    "Job",
    "RemoteDocument",
    "RemoteState",
    "Source",
    "SourceQuerySet",
]
