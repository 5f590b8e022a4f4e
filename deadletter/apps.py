"""Dead letters as an app."""

from __future__ import annotations

from django.apps import AppConfig


class DeadletterConfig(AppConfig):
    name = "deadletter"
    verbose_name = "Dead letters"

    def ready(self) -> None:
        from configuration import page_parts  # noqa: PLC0415
        from deadletter.version_card import began_card  # noqa: PLC0415

        page_parts.add_card("main", 12, began_card)
