"""What the roles may do with what is known of sources, and with HTTP to them."""

from __future__ import annotations

from typing import Any, Final

from django.db import migrations

_VIEWED: Final = "seek sourceconnection sourceerror partitionminute pushaccess pushrequest"
_ROLES: Final = ("viewer", "operator", "author", "approver")


def extend_roles(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001  Django's signature
    """Idempotent: a role that is there keeps what it has and gets what it lacks."""
    looks = [_permission(apps, "view", model) for model in _VIEWED.split()]
    opens = [_permission(apps, verb, "pushaccess") for verb in ("add", "change")]
    for group in apps.get_model("auth", "Group").objects.filter(name__in=_ROLES):
        group.permissions.add(*looks)
        if group.name == "operator":
            group.permissions.add(*opens)


def _permission(apps: Any, verb: str, model: str) -> Any:
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="ingestion", model=model
    )
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type,
        codename=f"{verb}_{model}",
        defaults={"name": f"Can {verb} {model}"},
    )
    return permission


class Migration(migrations.Migration):
    dependencies = [
        ("ingestion", "0007_sources_and_push"),
        ("configuration", "0005_roles"),
    ]

    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
