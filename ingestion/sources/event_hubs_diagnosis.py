"""Why a hub can or cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ingestion.sources.base import ConnectionStep
from ingestion.sources.diagnosis import StepFailed, look_in_order, look_up, open_tcp, open_tls
from ingestion.sources.event_hubs_probe import find_group
from ingestion.sources.event_hubs_settings import EventHubsSettings
from payflow.lib.env import BadEnvironment
from payflow.lib.errors import SourceUnavailable
from payflow.lib.event_hubs import endpoint_of, need_sdk, tls_context
from payflow.lib.event_hubs_connection import HubConnection

T = TypeVar("T")

_REST = ("DNS", "TCP", "TLS", "Credentials", "Hub", "Consumer group")


def diagnose_hub(settings: EventHubsSettings) -> list[ConnectionStep]:
    """Address, DNS, TCP, TLS (not with an emulator), credentials, hub, consumer group."""
    try:
        need_sdk()
        host, port, is_tls = endpoint_of(settings)
    except (BadEnvironment, SourceUnavailable) as exc:
        return [
            ConnectionStep(name="Address", is_ok=False, detail=str(exc)),
            *(ConnectionStep(name=name, is_ok=None) for name in _REST),
        ]
    opened: list[HubConnection] = []
    steps: list[tuple[str, Callable[[], str]]] = [
        ("DNS", lambda: look_up(host, port)),
        ("TCP", lambda: open_tcp(host, port)),
    ]
    if is_tls:
        steps.append(("TLS", lambda: open_tls(host, port, context=tls_context())))
    steps += [
        ("Credentials", lambda: _sign_in(settings, opened)),
        ("Hub", lambda: _find_hub(settings, opened[0])),
        ("Consumer group", lambda: _failing(lambda: find_group(opened[0], settings))),
    ]
    try:
        return look_in_order(steps)
    finally:
        for hub in opened:
            hub.close()


def _sign_in(settings: EventHubsSettings, opened: list[HubConnection]) -> str:
    taken = "The namespace takes the " + ("key." if settings.connection_string else "identity.")
    try:
        hub = HubConnection(settings, consumer_group=settings.consumer_group)
        opened.append(hub)
        hub.open()
    except SourceUnavailable as exc:
        if getattr(exc.__cause__, "status_code", None) == 404:  # the next step says it
            return taken
        raise StepFailed(str(exc)) from exc
    return taken


def _find_hub(settings: EventHubsSettings, hub: HubConnection) -> str:
    if not hub.is_open:
        raise StepFailed(
            f"The namespace has no hub {settings.hub}: look at its name, or make the hub."
        )
    count = len(_failing(hub.partitions))
    return f"{settings.hub} is there, with {count:,} partition{'' if count == 1 else 's'}."


def _failing(look: Callable[[], T]) -> T:
    try:
        return look()
    except SourceUnavailable as exc:
        raise StepFailed(str(exc)) from exc
