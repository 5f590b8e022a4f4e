"""Say of a source what is true now."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("configuration", "0005_roles"),
    ]

    operations = [
        migrations.AlterField(
            model_name="source",
            name="broker_type",
            field=models.CharField(help_text="redis_streams or file.", max_length=32),
        ),
        migrations.AlterField(
            model_name="source",
            name="schema_name",
            field=models.CharField(
                help_text="The transaction schema that its messages are checked against. A route table takes its place.",
                max_length=64,
            ),
        ),
    ]
