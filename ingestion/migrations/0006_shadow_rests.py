"""How a shadow holds its share, and what it used lately."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0005_shadows")]

    operations = [
        migrations.AddField(
            model_name="shadow",
            name="lately",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="CPU of the last minute: [[unix second, ms], ...].",
            ),
        ),
        migrations.AddField(
            model_name="shadow",
            name="rests_until",
            field=models.DateTimeField(
                blank=True,
                help_text="No worker looks before: it holds the share, or looks now.",
                null=True,
            ),
        ),
    ]
