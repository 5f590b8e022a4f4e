"""One AMQP connection to a hub, which all links of a process share, on the SDK's own lower layer.

`EventHubConsumerClient.receive_batch` is not used: it opens a connection and three threads a
partition, asks for more only when everything asked for has come, holds messages back while others
trickle in, and bounds memory by their number (docs/adr/0016-event-hubs-by-its-own-client.md has the
figures). The layer below it speaks the same protocol with the same sign-in. It is no public
interface: only this module and those of the links (ingestion/sources/event_hubs_link.py and
payflow/lib/publish/event_hubs.py) touch it, and requirements/azure.txt pins its version.
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
from typing import Any, Final

from payflow.lib.errors import PayflowError, SourceUnavailable
from payflow.lib.event_hubs import HubTarget, explain, make_client, need_sdk

#: opening a connection or a link, one request to the hub: after that the broker counts as away
OPEN_S: Final = 5.0
REQUEST_S: Final = 4.0
#: a write, or the rest of a frame that has begun
SOCKET_S: Final = 1.0


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

    def __init__(self, target: HubTarget, *, consumer_group: str = "$Default") -> None:
        need_sdk()
        from azure.eventhub import EventHubConsumerClient  # noqa: PLC0415  an extra
        from azure.eventhub._pyamqp import AMQPClient  # noqa: PLC0415

        self._hub = target.hub
        #: knows the address, signs in, makes links
        self.client: Any = make_client(
            EventHubConsumerClient, target, consumer_group=consumer_group
        )
        config = self.client._config
        self._auth = self.client._create_auth()
        amqp_client: Any = AMQPClient  # it has no types
        self._management: Any = amqp_client(
            config.hostname,
            auth=self._auth,
            transport_type=config.transport_type,
            custom_endpoint_address=config.custom_endpoint_address,
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
        with self.translated("cannot be reached"), self.within(OPEN_S):
            self._management.open()
            self.amqp = self._management._connection
            hear_refusals(self._management)
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

    @property
    def is_open(self) -> bool:
        """Whether `open()` has succeeded."""
        return self._poll is not None

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
    def within(self, seconds: float) -> Iterator[None]:
        """Cut the connection after so many seconds: the SDK waits for some answers for ever."""
        was_cut = threading.Event()

        def cut() -> None:
            was_cut.set()
            with suppress(OSError, AttributeError):
                _socket_of(self._management._connection).shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception as exc:
            if was_cut.is_set():
                raise TimeoutError from exc
            raise
        finally:
            timer.cancel()
            timer.join()

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
        with self.translated("does not answer"), self.within(REQUEST_S):
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


def hear_refusals(client: Any) -> None:
    """Let a client that was just opened say why its token was refused.

    Given an error condition, which Azure sends, the SDK forgets the status and the reason.
    """
    authenticator = client._cbs_authenticator
    complete = authenticator._on_execute_operation_complete

    def without_condition(*answer: Any) -> None:
        complete(*answer[:4])

    authenticator._on_execute_operation_complete = without_condition


def _socket_of(amqp: Any) -> Any:
    """The socket below a connection; that of a WebSocket is one deeper."""
    sock = amqp._transport.sock
    return getattr(sock, "sock", sock)


def _decoded(text: Any) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text or "")
