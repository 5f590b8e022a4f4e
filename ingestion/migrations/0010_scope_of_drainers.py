from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ingestion", "0009_push_counts"),
    ]

    operations = [
        migrations.AddField(
            model_name="drainer",
            name="scope",
            field=models.JSONField(
                help_text="Names of the sources that it reads alone; null: every one.", null=True
            ),
        ),
    ]
