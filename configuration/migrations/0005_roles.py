"""The roles that come with payflow: what each may do in the admin.

Viewers look, operators keep traffic running, authors write drafts, approvers make them live. A
person may have several. Permissions are made here too: on a new database they would come only after
all migrations.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import migrations

#: what every role may look at: app -> models
_VIEWED: Final = {
    "configuration": (
        "source bundle configurationversion activation acknowledgement deployment job "
        "auditentry remotedocument remotestate compatibilitygate"
    ),
    "deadletter": "faileditem failuregroup",
    "ingestion": (
        "partition drainer batch batchoutcome archivefile simulation ingestionwindow "
        "arrivallatency shadow"
    ),
    "metrics": "normalizedtransaction dynamicmetric metricwindow violation",
}
_VERSION: Final = "configuration.configurationversion"
#: role -> what it may do beyond looking: (model, verb)
ROLES: Final = {
    "viewer": (),
    "operator": (
        ("configuration.source", "change"),
        (_VERSION, "rollback"),
        ("configuration.job", "add"),
        ("configuration.job", "change"),
        ("configuration.source", "add"),
        ("ingestion.partition", "change"),
        ("ingestion.simulation", "change"),
    ),
    "author": (
        (_VERSION, "add"),
        (_VERSION, "change"),
        (_VERSION, "shadow"),
        ("configuration.job", "add"),
        ("configuration.job", "change"),
    ),
    "approver": (
        (_VERSION, "activate"),
        (_VERSION, "rollback"),
        ("configuration.compatibilitygate", "change"),
    ),
}


def make_roles(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001  Django's signature
    """Idempotent: a role that is there keeps what it has and gets what it lacks."""
    groups = apps.get_model("auth", "Group").objects
    looks = [
        _permission(apps, f"{app}.{model}", "view")
        for app, models in _VIEWED.items()
        for model in models.split()
    ]
    for name, actions in ROLES.items():
        group, _ = groups.get_or_create(name=name)
        group.permissions.add(*looks, *(_permission(apps, model, verb) for model, verb in actions))


def _permission(apps: Any, target: str, verb: str) -> Any:
    app, model = target.split(".")
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label=app, model=model
    )
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type,
        codename=f"{verb}_{model}",
        defaults={"name": f"Can {verb} {model}"},
    )
    return permission


def drop_roles(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001  Django's signature
    apps.get_model("auth", "Group").objects.filter(name__in=ROLES).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("configuration", "0004_immutable_versions"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(make_roles, drop_roles)]
