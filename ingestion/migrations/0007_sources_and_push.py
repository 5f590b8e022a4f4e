from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

#: one row of each partition that is read is updated each second: room on the page for the new version
MINUTES = """
CREATE TABLE partition_minutes (
    minute timestamptz NOT NULL,
    partition_id bigint NOT NULL,
    sequence_number bigint NOT NULL,
    lag_events bigint,
    lag_seconds double precision,
    CONSTRAINT partition_minutes_pkey PRIMARY KEY (partition_id, minute)
) WITH (fillfactor = 50);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("configuration", "0007_settings_serial"),
        ("ingestion", "0006_shadow_rests"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(MINUTES, "DROP TABLE partition_minutes;")],
            state_operations=[
                migrations.CreateModel(
                    name="PartitionMinute",
                    fields=[
                        ("minute", models.DateTimeField(primary_key=True, serialize=False)),
                        ("partition_id", models.BigIntegerField()),
                        (
                            "sequence_number",
                            models.BigIntegerField(help_text="At the end of the minute."),
                        ),
                        ("lag_events", models.BigIntegerField(null=True)),
                        ("lag_seconds", models.FloatField(null=True)),
                    ],
                    options={
                        "db_table": "partition_minutes",
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name="PushAccess",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "signature",
                    models.CharField(
                        choices=[
                            ("off", "Token only"),
                            ("required", "Token and signature"),
                            ("enough", "Token or signature"),
                        ],
                        default="off",
                        help_text="Whether requests are signed (Standard Webhooks).",
                        max_length=16,
                    ),
                ),
                (
                    "secrets",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="References of the signing secrets, e.g. env:PUSH_SECRET; two while they change.",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "verbose_name_plural": "push accesses",
                "db_table": "push_accesses",
                "ordering": ["source"],
            },
        ),
        migrations.CreateModel(
            name="PushRequest",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=255)),
                ("body_sha256", models.CharField(max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[("running", "Running"), ("done", "Done")],
                        default="running",
                        max_length=16,
                    ),
                ),
                ("attempt", models.UUIDField()),
                ("running_until", models.DateTimeField()),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("answer", models.JSONField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "push_requests",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Seek",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("from_position", models.CharField(max_length=64)),
                ("to_position", models.CharField(max_length=64)),
                (
                    "sequence_number",
                    models.BigIntegerField(help_text="Messages committed when it happened."),
                ),
                (
                    "events",
                    models.BigIntegerField(
                        help_text="Skipped; repeated: below 0; null: the broker could not tell.",
                        null=True,
                    ),
                ),
                ("epoch", models.BigIntegerField(help_text="Of the lease, raised by the seek.")),
                (
                    "target",
                    models.CharField(help_text="What was asked for, e.g. earliest.", max_length=64),
                ),
                ("reason", models.CharField(max_length=256)),
                ("at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "seeks",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="SourceConnection",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "owner",
                    models.CharField(help_text="The drainer, as in `drainers`.", max_length=128),
                ),
                ("connected_since", models.DateTimeField(blank=True, null=True)),
                ("failing_since", models.DateTimeField(blank=True, null=True)),
                ("error", models.CharField(blank=True, default="", max_length=512)),
                ("retry_at", models.DateTimeField(blank=True, null=True)),
                ("seen_at", models.DateTimeField()),
            ],
            options={
                "db_table": "source_connections",
                "ordering": ["source", "owner"],
            },
        ),
        migrations.CreateModel(
            name="SourceError",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("partition_name", models.CharField(blank=True, default="", max_length=128)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("connection", "Connection"),
                            ("storage", "Storage"),
                            ("position", "Position lost"),
                            ("taken", "Partition taken"),
                            ("settings", "Settings"),
                        ],
                        max_length=16,
                    ),
                ),
                ("message", models.CharField(max_length=512)),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("times", models.BigIntegerField(default=1)),
            ],
            options={
                "db_table": "source_errors",
                "ordering": ["-last_at", "-id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="partition",
            name="partitions_state",
        ),
        migrations.AddField(
            model_name="partition",
            name="broker_offset",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What the broker calls the last message, where that is more than the position.",
                max_length=128,
            ),
        ),
        migrations.AddField(
            model_name="partition",
            name="reread_until",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="After a seek back: messages before this position were read before.",
                max_length=64,
            ),
        ),
        migrations.AddField(
            model_name="partition",
            name="shift",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                help_text="Messages that seeks have skipped, less those they repeated.",
            ),
        ),
        migrations.AlterField(
            model_name="partition",
            name="state",
            field=models.CharField(
                choices=[
                    ("active", "Active"),
                    ("stopped", "Stopped"),
                    ("paused", "Paused"),
                    ("finished", "Finished"),
                ],
                default="active",
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="partition",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["active", "stopped", "paused", "finished"])),
                name="partitions_state",
            ),
        ),
        migrations.AddField(
            model_name="pushaccess",
            name="senders",
            field=models.ManyToManyField(
                blank=True,
                help_text="Whose API tokens may push events to this source.",
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="pushaccess",
            name="source",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="push_access",
                to="configuration.source",
            ),
        ),
        migrations.AddField(
            model_name="pushrequest",
            name="source",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="configuration.source",
            ),
        ),
        migrations.AddField(
            model_name="seek",
            name="by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="seek",
            name="partition",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="seeks",
                to="ingestion.partition",
            ),
        ),
        migrations.AddField(
            model_name="sourceconnection",
            name="source",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="connections",
                to="configuration.source",
            ),
        ),
        migrations.AddField(
            model_name="sourceerror",
            name="source",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="errors",
                to="configuration.source",
            ),
        ),
        migrations.AddIndex(
            model_name="pushrequest",
            index=models.Index(fields=["created_at"], name="push_requests_created_at"),
        ),
        migrations.AddConstraint(
            model_name="pushrequest",
            constraint=models.UniqueConstraint(fields=("source", "key"), name="push_requests_key"),
        ),
        migrations.AddConstraint(
            model_name="pushrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state", "running"),
                    models.Q(("answer__isnull", False), ("status__isnull", False)),
                    _connector="OR",
                ),
                name="push_requests_answered",
            ),
        ),
        migrations.AddIndex(
            model_name="seek",
            index=models.Index(
                fields=["partition", "sequence_number"], name="seeks_partition_number"
            ),
        ),
        migrations.AddConstraint(
            model_name="sourceconnection",
            constraint=models.UniqueConstraint(
                fields=("source", "owner"), name="source_connections_owner"
            ),
        ),
        migrations.AddConstraint(
            model_name="sourceconnection",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("connected_since", None), ("failing_since", None), _connector="OR"
                ),
                name="source_connections_one_state",
            ),
        ),
        migrations.AddIndex(
            model_name="sourceerror",
            index=models.Index(fields=["source", "-last_at"], name="source_errors_last"),
        ),
    ]
