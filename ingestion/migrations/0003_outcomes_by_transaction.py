from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0002_ingestion_windows")]

    operations = [
        migrations.RunSQL(
            # serves the duplicates of an event on its passport; only duplicates and conflicts have
            # a row, so commits of new events do not pay for it
            "CREATE INDEX batch_outcomes_other ON batch_outcomes (other_id)",
            "DROP INDEX batch_outcomes_other",
        ),
    ]
