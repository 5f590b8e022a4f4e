"""When a kind of failure began, after its last pause: what changed shortly before is its cause."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deadletter", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="failuregroup",
            name="began_at",
            field=models.DateTimeField(
                null=True,
                help_text="First failure after the last pause of 10 minutes: what changed before "
                "that?",
            ),
        ),
        migrations.RunSQL(
            "UPDATE failure_groups SET began_at = first_seen", migrations.RunSQL.noop
        ),
        migrations.AlterField(
            model_name="failuregroup",
            name="began_at",
            field=models.DateTimeField(
                help_text="First failure after the last pause of 10 minutes: what changed before "
                "that?",
            ),
        ),
    ]
