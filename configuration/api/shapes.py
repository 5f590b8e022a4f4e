"""What versions, activations and the audit trail look like as JSON, and what may be sent."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from configuration.models import Activation, AuditEntry, ConfigurationVersion
from configuration.versions import text_of

Version = ConfigurationVersion


class VersionShape(serializers.ModelSerializer[ConfigurationVersion]):
    """A version in a list."""

    id = serializers.CharField(read_only=True)
    author = serializers.SlugRelatedField[Any]("username", read_only=True)
    approval_asked_by = serializers.SlugRelatedField[Any]("username", read_only=True)
    base = serializers.SerializerMethodField()

    class Meta:
        model = ConfigurationVersion
        fields: tuple[str, ...] = (
            "id",
            "kind",
            "name",
            "number",
            "status",
            "checksum",
            "problems",
            "note",
            "author",
            "origin",
            "base",
            "created_at",
            "saved_at",
            "activated_at",
            "approval_asked_at",
            "approval_asked_by",
        )
        read_only_fields = fields

    def get_base(self, row: ConfigurationVersion) -> str | None:
        return str(row.base_id) if row.base_id else None


class WholeVersionShape(VersionShape):
    """A version with its document, as text and as JSON."""

    text = serializers.SerializerMethodField()

    class Meta(VersionShape.Meta):
        fields = (*VersionShape.Meta.fields, "text", "document")
        read_only_fields = fields

    def get_text(self, row: ConfigurationVersion) -> str:
        return text_of(row)


class ActivationShape(serializers.ModelSerializer[Activation]):
    """One row of the trail of what went live."""

    id = serializers.CharField(read_only=True)
    version = VersionShape(read_only=True)
    previous = VersionShape(read_only=True)
    activated_by = serializers.SlugRelatedField[Any]("username", read_only=True)
    approved_by = serializers.SlugRelatedField[Any]("username", read_only=True)

    class Meta:
        model = Activation
        fields = (
            "id",
            "version",
            "previous",
            "activated_at",
            "activated_by",
            "approved_by",
            "reason",
            "override_reason",
            "is_rollback",
        )
        read_only_fields = fields


class AuditShape(serializers.ModelSerializer[AuditEntry]):
    """Who did what."""

    id = serializers.CharField(read_only=True)
    actor = serializers.SlugRelatedField[Any]("username", read_only=True)

    class Meta:
        model = AuditEntry
        fields = ("id", "at", "actor", "action", "target", "details")
        read_only_fields = fields


class _TextShape(serializers.Serializer[Any]):
    """A document: YAML or JSON as text, or JSON as it is."""

    text = serializers.CharField(required=False, trim_whitespace=False)
    document = serializers.DictField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("text" in attrs) == ("document" in attrs):
            raise serializers.ValidationError("send either text (YAML or JSON) or document")
        return attrs


class NewDraftShape(_TextShape):
    """POST versions/."""

    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=512)


class SaveDraftShape(_TextShape):
    """PUT versions/<id>/."""

    note = serializers.CharField(required=False, allow_blank=True, max_length=512)


class ReasonShape(serializers.Serializer[Any]):
    """Why something is done; kept in the audit trail."""

    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=512)


class ActivateShape(ReasonShape):
    """POST versions/<id>/activate/."""

    override_reason = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=512
    )
