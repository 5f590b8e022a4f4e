"""The path as an app."""

from __future__ import annotations

from django.apps import AppConfig


class IngestionConfig(AppConfig):
    name = "ingestion"

    def ready(self) -> None:
        """Tell configuration how documents are checked, and what its pages show beside them."""
        # models must be loaded first
        from configuration import page_parts, rule_worth, traffic, validators  # noqa: PLC0415
        from ingestion import rule_worth as worth  # noqa: PLC0415
        from ingestion import traffic as arrived  # noqa: PLC0415
        from ingestion.bundles import compile_bundle, known_attributes  # noqa: PLC0415
        from ingestion.dryrun.register import register as register_dry_run  # noqa: PLC0415
        from ingestion.parsing.compatibility import compare_schemas  # noqa: PLC0415
        from ingestion.propagation_card import activation_card, version_card  # noqa: PLC0415
        from ingestion.schema_check import check_schema  # noqa: PLC0415
        from ingestion.shadow.register import register as register_shadow  # noqa: PLC0415
        from ingestion.sources.factory import ConsumerFactory  # noqa: PLC0415
        from metrics.trial import check_rules  # noqa: PLC0415

        validators.register(
            documents={
                "schema": check_schema,
                "metrics": lambda document, _name: check_rules(
                    "metrics", document, attributes=known_attributes()
                ),
                "compliance": lambda document, _name: check_rules(
                    "compliance", document, attributes=known_attributes()
                ),
            },
            bundle=compile_bundle,
            source=ConsumerFactory.validate,
            settings=ConsumerFactory.validate_change,
            compatibility=compare_schemas,
        )
        traffic.register(arrived.between)
        rule_worth.register(worth.worth_of)
        page_parts.add_card("main", 10, version_card)
        page_parts.add_activation_card(activation_card)
        register_dry_run()
        register_shadow()
