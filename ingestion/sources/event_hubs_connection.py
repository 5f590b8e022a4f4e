"""One AMQP connection to a hub, which all partitions of a process share, on the SDK's own layer.

`EventHubConsumerClient.receive_batch` is not used: it opens a connection and three threads a
partition, asks for more only when everything asked for has come, holds messages back while others
trickle in, and bounds memory by their number (docs/adr/0016-event-hubs-by-its-own-client.md has the
figures). The layer below it speaks the same protocol with the same sign-in. It is no public
interface, so this is the only module that touches it, and requirements/azure.txt pins its version.
"""
# ruff: noqa: SLF001

from __future__ import annotations

import select
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ingestion.sources.event_hubs_settings import EventHubsSettings
from payflow.lib.errors import PartitionTaken, PayflowError, SourceUnavailable
from payflow.lib.event_hubs import explain, make_client, need_sdk

#: opening a connection or a link, one request to the hub: after that the broker counts as away
OPEN_S: Final = 10.0
REQUEST_S: Final = 4.0
#: a write, or the rest of a frame that has begun
SOCKET_S: Final = 1.0
#: seconds between looks whether a link's token has to be renewed
TEND_S: Final = 1.0
#: largest message that a link says it takes; the hub's own limit is what counts
_MAX_MESSAGE: Final = 64 * 2**20
_STOLEN: Final = b"amqp:link:stolen"
_NOT_FOUND: Final = b"amqp:not-found"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLook:
    """What the hub says of a partition."""

    #: sequence number of the oldest event that it holds
    first: int
    #: sequence number that the next event will get
    end: int
    #: when the newest event came, microseconds since 1970 UTC
    last_us: int
    #: time.monotonic() of the look
    at: float


class HubConnection:
    """A connection of its own process and thread; SourceUnavailable from every method."""

    def __init__(self, settings: EventHubsSettings) -> None:
        need_sdk()
        from azure.eventhub import EventHubConsumerClient  # noqa: PLC0415  an extra
        from azure.eventhub._pyamqp import AMQPClient  # noqa: PLC0415

        self._settings = settings
        self._hub = settings.hub
        self.client: Any = make_client(
            EventHubConsumerClient, settings, consumer_group=settings.consumer_group
        )
        config = self.client._config
        self._auth = self.client._create_auth()
        amqp_client: Any = AMQPClient  # it has no types
        self._management: Any = amqp_client(
            config.hostname,
            auth=self._auth,
            transport_type=config.transport_type,
            ssl_context=config.ssl_context,
            use_tls=config.use_tls,
            socket_timeout=SOCKET_S,
            client_name=f"payflow-{uuid.uuid4()}",
        )
        self.amqp: Any = None
        self._poll: Any = None

    # --- opening and closing ---------------------------------------------------------------------

    def open(self) -> None:
        """Connect and sign in."""
        deadline = time.monotonic() + OPEN_S
        with self.translated("cannot be reached"), self._within(OPEN_S):
            self._management.open()
            self.amqp = self._management._connection
            while not self._management.client_ready():
                if time.monotonic() > deadline:
                    raise TimeoutError
        self._poll = select.poll()
        self._poll.register(_socket_of(self.amqp), select.POLLIN)

    def close(self) -> None:
        """Never raises; nothing stays open."""
        amqp = self.amqp or self._management._connection
        with suppress(Exception):
            self._management.close()
        if amqp is not None:
            with suppress(Exception):  # the SDK leaves it open when signing in failed
                amqp._transport.close()
        with suppress(Exception):
            self.client.close()

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Whatever the SDK raises, as SourceUnavailable."""
        try:
            yield
        except PayflowError:
            raise
        except Exception as exc:  # errors of sockets, of frames, of tokens: no common class
            raise SourceUnavailable(f"Hub {self._hub} {doing}: {explain(exc)}.") from exc

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Cut the connection after so many seconds: the SDK waits for some answers for ever."""
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _cut(self) -> None:
        with suppress(OSError, AttributeError):
            _socket_of(self._management._connection).shutdown(socket.SHUT_RDWR)

    # --- asking the hub --------------------------------------------------------------------------

    def partitions(self) -> list[str]:
        """Ids of its partitions, in its order."""
        answer = self._ask(b"com.microsoft:eventhub")
        return [name.decode() for name in answer[b"partition_ids"]]

    def look(self, partition: str) -> PartitionLook:
        """What a partition holds now."""
        answer = self._ask(b"com.microsoft:partition", partition=partition)
        end = answer[b"last_enqueued_sequence_number"] + 1
        first = end if answer[b"is_partition_empty"] else answer[b"begin_sequence_number"]
        return PartitionLook(
            first=max(0, first),
            end=end,
            last_us=answer[b"last_enqueued_time_utc"] * 1000,
            at=time.monotonic(),
        )

    def _ask(self, kind: bytes, **properties: str) -> dict[bytes, Any]:
        transport = self.client._amqp_transport
        with self.translated("does not answer"), self._within(REQUEST_S):
            token = transport.get_updated_token(self._auth)
            names = {"name": self._hub, "security_token": token, **properties}
            status, text, response = transport.mgmt_client_request(
                self._management,
                transport.build_message(application_properties=names),
                operation=b"READ",
                operation_type=kind,
                status_code_field=b"status-code",
                description_fields=b"status-description",
                timeout=REQUEST_S,
            )
            if status == 404:
                raise SourceUnavailable(
                    f"Hub {self._hub} is not in the namespace, or has no such partition."
                )
            if status >= 400:
                raise transport.get_error(status, _decoded(text))
            answer: dict[bytes, Any] = response.value
            return answer

    # --- reading ---------------------------------------------------------------------------------

    def read(self, *, frames: int, wait_s: float) -> int:
        """Take in so many frames at most, of all links; wait for the first one only."""
        with self.translated("is lost"):
            for count in range(frames):
                if not self._has_data(0 if count else wait_s):
                    self.amqp.listen(batch=0)  # heartbeats; what broke is raised here
                    return count
                self.amqp.listen(batch=1)
        return frames

    def _has_data(self, wait_s: float) -> bool:
        transport = self.amqp._transport
        buffer = transport._read_buffer
        if transport.sock is None or buffer.tell() < buffer.getbuffer().nbytes:
            return True
        pending = getattr(_socket_of(self.amqp), "pending", None)
        if pending is not None and pending():
            return True
        return bool(self._poll.poll(max(0.0, wait_s) * 1000))


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
                    self._tend_at = now + TEND_S
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
            condition = getattr(exc.__cause__, "condition", b"")
            condition = getattr(condition, "value", condition)
            if condition == _STOLEN:
                raise PartitionTaken(
                    partition=self._partition, detail=f"Its consumer group is {self._group}."
                ) from exc.__cause__
            if condition == _NOT_FOUND:
                raise SourceUnavailable(
                    f"The hub has no consumer group {self._group}, or no partition "
                    f"{self._partition}."
                ) from exc.__cause__
            raise


def _socket_of(amqp: Any) -> Any:
    """The socket below a connection; that of a WebSocket is one deeper."""
    sock = amqp._transport.sock
    return getattr(sock, "sock", sock)


def _decoded(text: Any) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text or "")
