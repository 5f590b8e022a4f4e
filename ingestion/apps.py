"""The path as an app."""

from __future__ import annotations

from django.apps import AppConfig


class IngestionConfig(AppConfig):
    name = "ingestion"

    def ready(self) -> None:
        """Tell configuration how schemas, rule sets and sources are checked: it cannot know."""
        # models must be loaded first
        from configuration import traffic, validators  # noqa: PLC0415
        from ingestion import traffic as arrived  # noqa: PLC0415
        from ingestion.bundles import compile_bundle, known_attributes  # noqa: PLC0415
        from ingestion.parsing import compile_schema  # noqa: PLC0415
        from ingestion.parsing.compatibility import compare_schemas  # noqa: PLC0415
        from ingestion.sources.factory import ConsumerFactory  # noqa: PLC0415
        from metrics.trial import check_rules  # noqa: PLC0415

        validators.register(
            documents={
                "schema": lambda document, name: compile_schema(document, name=name),
                "metrics": lambda document, _name: check_rules(
                    "metrics", document, attributes=known_attributes()
                ),
                "compliance": lambda document, _name: check_rules(
                    "compliance", document, attributes=known_attributes()
                ),
            },
            bundle=compile_bundle,
            source=ConsumerFactory.validate,
            compatibility=compare_schemas,
        )
        traffic.register(arrived.between)
