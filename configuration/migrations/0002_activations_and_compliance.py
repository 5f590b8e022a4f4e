from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("configuration", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Activation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("activated_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "configuration_activations",
                "ordering": ["-id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="configurationversion",
            name="configuration_versions_kind",
        ),
        migrations.AddField(
            model_name="source",
            name="compliance_name",
            field=models.CharField(default="default", max_length=64),
        ),
        migrations.AlterField(
            model_name="configurationversion",
            name="kind",
            field=models.CharField(
                choices=[
                    ("schema", "Transaction schema"),
                    ("metrics", "Metric rule set"),
                    ("compliance", "Compliance rule set"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="configurationversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["schema", "metrics", "compliance"])),
                name="configuration_versions_kind",
            ),
        ),
        migrations.AddField(
            model_name="activation",
            name="activated_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="activation",
            name="previous",
            field=models.ForeignKey(
                blank=True,
                help_text="The version that was active until then.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="configuration.configurationversion",
            ),
        ),
        migrations.AddField(
            model_name="activation",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="activations",
                to="configuration.configurationversion",
            ),
        ),
        migrations.AddIndex(
            model_name="activation",
            index=models.Index(fields=["activated_at"], name="configuration_activations_at"),
        ),
    ]
