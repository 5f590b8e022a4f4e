"""A receiver link of one partition, on the connection that it shares."""
# ruff: noqa: SLF001  the SDK's lower layer, see payflow/lib/event_hubs_connection.py

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final

from ingestion.sources.event_hubs_settings import EventHubsSettings
from payflow.lib.errors import PartitionTaken, SourceUnavailable
from payflow.lib.event_hubs import condition_of
from payflow.lib.event_hubs_connection import OPEN_S, HubConnection, hear_refusals

#: seconds between looks whether the token has to be renewed
_TEND_S: Final = 1.0
#: largest message that the link says it takes; the hub's own limit is what counts
_MAX_MESSAGE: Final = 64 * 2**20


class PartitionLink:
    """A receiver of one partition on a connection; opened and closed without waiting."""

    def __init__(
        self,
        hub: HubConnection,
        *,
        settings: EventHubsSettings,
        partition: str,
        start: int | str | datetime,
        is_inclusive: bool,
        epoch: int | None,
    ) -> None:
        """`start`: a sequence number, an offset or a time; `epoch` None: a reader among others."""
        self._hub = hub
        self._partition = partition
        self._group = settings.consumer_group
        #: messages that came and nobody took
        self._inbox: list[Any] = []
        self._is_ready = False
        self._tend_at = 0.0
        self._give_up_at = time.monotonic() + OPEN_S
        with self._translated():
            self._receiver = self._make(settings, start, is_inclusive, epoch)
            self._receiver.open(connection=hub.amqp)
            hear_refusals(self._receiver)

    def _make(
        self,
        settings: EventHubsSettings,
        start: int | str | datetime,
        is_inclusive: bool,
        epoch: int | None,
    ) -> Any:
        from azure.eventhub import _constants, _utils  # noqa: PLC0415  an extra

        client = self._hub.client
        config, transport, address = client._config, client._amqp_transport, client._address
        path = f"ConsumerGroups/{settings.consumer_group}/Partitions/{self._partition}"
        properties = {_constants.TIMEOUT_SYMBOL: 0}
        if epoch is not None:
            properties[_constants.EPOCH_SYMBOL] = epoch
        return transport.create_receive_client(
            config=config,
            source=transport.create_source(
                f"amqps://{address.hostname}{address.path}/{path}",
                start,
                _utils.event_position_selector(start, is_inclusive),
            ),
            auth=client._create_auth(auth_uri=client._auth_uri),
            network_trace=False,
            link_credit=1,
            link_properties=transport.create_link_properties(properties),
            timeout=0,
            idle_timeout=None,
            retry_policy=transport.create_retry_policy(config),
            keep_alive_interval=0,
            client_name=f"payflow-{uuid.uuid4()}-partition{self._partition}",
            desired_capabilities=[_constants.GEOREPLICATION_SYMBOL],
            streaming_receive=True,
            message_received_callback=self._inbox.append,
            max_message_size=_MAX_MESSAGE,
        )

    def tend(self) -> bool:
        """Take the next step of opening, or renew the token; whether messages may come.

        Raises PartitionTaken when a reader with a higher epoch has the partition.
        """
        now = time.monotonic()
        with self._translated():
            if self._is_ready:
                self._receiver._link.get_state()  # raises why the hub has ended it
                if now >= self._tend_at:
                    self._tend_at = now + _TEND_S
                    self._receiver._cbs_authenticator.handle_token()
                    # The SDK notes every delivery for an answer that nobody gives on this link.
                    self._receiver._link._received_delivery_tags.clear()
                return True
            if now > self._give_up_at:
                raise TimeoutError
            self._is_ready = (
                self._receiver._cbs_authenticator.handle_token() and self._receiver._client_ready()
            )
        return self._is_ready

    @property
    def credit(self) -> int:
        """Messages that the hub may still send."""
        return int(self._receiver._link.current_link_credit)

    def allow(self, messages: int) -> None:
        """Let the hub send so many from now on."""
        with self._translated():
            self._receiver._link.flow(link_credit=messages)

    def take(self) -> list[Any]:
        """The messages that came since, as the SDK's lower layer decodes them."""
        taken = self._inbox[:]
        self._inbox.clear()
        return taken

    def close(self) -> None:
        """Never raises."""
        with suppress(Exception):
            self._receiver.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with self._hub.translated(f"does not give partition {self._partition}"):
                yield
        except SourceUnavailable as exc:
            condition = condition_of(exc.__cause__)
            if condition == b"amqp:link:stolen":
                raise PartitionTaken(
                    partition=self._partition, detail=f"Its consumer group is {self._group}."
                ) from exc.__cause__
            if condition == b"amqp:not-found":
                raise SourceUnavailable(
                    f"The hub has no consumer group {self._group}, or no partition "
                    f"{self._partition}."
                ) from exc.__cause__
            raise
