"""Requests over HTTP, counted by what became of them."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("configuration", "0007_settings_serial"),
        ("ingestion", "0008_roles_of_sources"),
    ]

    operations = [
        migrations.CreateModel(
            name="PushCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("window_start", models.DateTimeField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("accepted", "Accepted"),
                            ("replayed", "Answered again"),
                            ("refused", "Refused"),
                            ("full", "Broker full"),
                            ("unavailable", "Broker away"),
                        ],
                        max_length=16,
                    ),
                ),
                ("requests", models.BigIntegerField()),
                (
                    "events",
                    models.BigIntegerField(
                        help_text="Queued by them, those of broken requests too."
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="configuration.source",
                    ),
                ),
            ],
            options={
                "db_table": "push_counts",
                "ordering": ["-window_start", "source", "outcome"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("window_start", "source", "outcome"), name="push_counts_window"
                    )
                ],
            },
        ),
    ]
