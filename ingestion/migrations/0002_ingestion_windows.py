from __future__ import annotations

from django.db import migrations, models

#: One row is added to by every commit of a source: half of each page stays free for updates.
FORWARD = """
CREATE TABLE ingestion_5m (
    window_start timestamptz NOT NULL,
    source_id bigint NOT NULL,
    batches bigint NOT NULL,
    messages bigint NOT NULL,
    parts bigint NOT NULL,
    accepted bigint NOT NULL,
    failed bigint NOT NULL,
    ignored bigint NOT NULL,
    duplicates bigint NOT NULL,
    late bigint NOT NULL,
    CONSTRAINT ingestion_5m_pkey PRIMARY KEY (window_start, source_id)
) WITH (fillfactor = 50);

CREATE TABLE arrival_latency (
    window_start timestamptz NOT NULL,
    source_id bigint NOT NULL,
    parts bigint NOT NULL,
    bucket integer NOT NULL,
    CONSTRAINT arrival_latency_pkey PRIMARY KEY (window_start, source_id, bucket)
) WITH (fillfactor = 50);

-- batches that are there already
INSERT INTO ingestion_5m
SELECT date_bin('5 minutes', b.received_at, 'epoch'), p.source_id, count(*), sum(b.messages),
    sum(b.parts), sum(b.accepted), sum(b.failed), sum(b.ignored), sum(b.duplicates), sum(b.late)
FROM batches b JOIN partitions p ON p.id = b.partition_id
GROUP BY 1, 2;
"""
BACKWARD = "DROP TABLE arrival_latency, ingestion_5m;"


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(FORWARD, BACKWARD)],
            state_operations=[
                migrations.CreateModel(
                    name="ArrivalLatency",
                    fields=[
                        (
                            "window_start",
                            models.DateTimeField(
                                help_text="Of arrival, not event time.",
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("source_id", models.BigIntegerField()),
                        ("bucket", models.IntegerField()),
                        ("parts", models.BigIntegerField()),
                    ],
                    options={
                        "db_table": "arrival_latency",
                    },
                ),
                migrations.CreateModel(
                    name="IngestionWindow",
                    fields=[
                        (
                            "window_start",
                            models.DateTimeField(
                                help_text="Of arrival, not event time.",
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("source_id", models.BigIntegerField()),
                        ("batches", models.BigIntegerField()),
                        ("messages", models.BigIntegerField()),
                        ("parts", models.BigIntegerField()),
                        ("accepted", models.BigIntegerField()),
                        ("failed", models.BigIntegerField()),
                        ("ignored", models.BigIntegerField()),
                        ("duplicates", models.BigIntegerField()),
                        ("late", models.BigIntegerField()),
                    ],
                    options={
                        "db_table": "ingestion_5m",
                    },
                ),
            ],
        )
    ]
