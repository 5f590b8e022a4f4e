from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("configuration", "0006_help_of_sources"),
    ]

    operations = [
        migrations.AddField(
            model_name="source",
            name="settings_serial",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="Raised each time its settings change.",
            ),
        ),
        migrations.AlterField(
            model_name="source",
            name="broker_type",
            field=models.CharField(
                help_text="event_hubs, kafka, redis_streams or file.", max_length=32
            ),
        ),
    ]
