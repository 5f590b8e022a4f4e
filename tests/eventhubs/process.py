"""The Event Hubs server in a process of its own, and a test's hand on it."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import trustme

from tests.eventhubs import access

_ROOT = Path(__file__).resolve().parents[2]
_START_S = 10


def _free_port() -> int:
    """A port below those that the system gives to clients.

    From among those, a client that tries again while the server is down may connect to itself.
    """
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class EventHubsServer:
    """Start it, stop it, kill it, start it again: the events are still there, as is the port.

    `idle_timeout_s` is how long a silent connection lives. With `tls` the SDK needs
    `custom_endpoint_address=f"sb://{namespace}"`, `transport_type=TransportType.Amqp` and
    `connection_verify=str(ca_file)`. With `names_conditions` a refused token's answer carries an
    `error-condition` as Azure's does, and then the SDK says "Status code: None" and logs the
    condition; without it the SDK says 401 or 404 and why.
    """

    def __init__(
        self, directory: Path, *, idle_timeout_s: float = 240.0, tls: bool = False,
        names_conditions: bool = True,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.port = _free_port()
        #: the certificate authority to trust, with TLS
        self.ca_file = directory / "ca.pem"
        self._options = ["--idle-timeout", str(idle_timeout_s)]
        if not names_conditions:
            self._options.append("--without-conditions")
        self._is_tls = tls
        if tls:
            self._make_certificate()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lock = threading.Lock()

    def _make_certificate(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        certificate = self.directory / "server.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        self._options += ["--certificate", str(certificate)]

    # --- its life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [
            sys.executable, "-m", "tests.eventhubs.server", str(self.directory),
            "--port", str(self.port), *self._options,
        ]  # fmt: skip
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.stats()
            except (OSError, EOFError):
                assert self._process.poll() is None, "the Event Hubs server ended"
                assert time.monotonic() < deadline, "the Event Hubs server does not answer"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Let it close its connections and end."""
        self._end(is_polite=True)

    def kill(self) -> None:
        """kill -9."""
        self._end(is_polite=False)

    def _end(self, *, is_polite: bool) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is None:
            return
        assert self._process.stdin is not None
        if is_polite:
            self.thaw()
        else:
            self._process.kill()
        self._process.stdin.close()  # the server ends when its standard input does
        self._process.wait(_START_S)
        self._process = None
        (self.directory / "control").unlink(missing_ok=True)

    def heal(self) -> None:
        """Running and without a fault, whatever a test did to it."""
        if self._process is None or self._process.poll() is not None:
            self.kill()
            self.start()
        self.thaw()
        self.lift()

    def restart(self) -> None:
        """Stop it and start it."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """It keeps its connections and says nothing more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    # --- how clients reach it --------------------------------------------------------------------

    @property
    def namespace(self) -> str:
        """host:port"""
        return f"localhost:{self.port}"

    def connection_string(
        self, hub: str, key_ok: bool = True, *, policy: str = "RootManageSharedAccessKey"
    ) -> str:
        """As the portal shows it; policies "listen" and "send" have one right each."""
        return access.connection_string(
            self.namespace, hub, policy=policy, key_ok=key_ok, emulator=not self._is_tls
        )

    # --- what it holds ---------------------------------------------------------------------------

    def create_hub(self, name: str, partitions: int = 1, groups: Sequence[str] = ()) -> None:
        """A hub with `$Default` and these consumer groups; one of that name is replaced."""
        self._ask("create_hub", name, partitions, list(groups))

    def delete_hub(self, name: str) -> None:
        """The hub is gone, and so are its links."""
        self._ask("delete_hub", name)

    def add_partitions(self, hub: str, more: int) -> None:
        """Grow a hub."""
        self._ask("add_partitions", hub, more)

    def load(
        self, hub: str, partition: int | str, bodies: Sequence[bytes],
        properties: Mapping[str, str] | None = None, *, key: str | None = None,
    ) -> None:  # fmt: skip
        """Put events into a partition, without the SDK."""
        for at in range(0, len(bodies), 10_000):
            part = list(bodies[at : at + 10_000])
            self._ask("load", hub, str(partition), part, dict(properties or {}) or None, key)

    def drop_before(self, hub: str, partition: int | str, sequence: int) -> None:
        """Retention: events before this sequence number expire."""
        self._ask("drop_before", hub, str(partition), sequence)

    def stats(self) -> dict[str, Any]:
        """Counts since the start (faults.Stats), open connections, readers, ends of partitions."""
        found: dict[str, Any] = self._ask("get_stats")
        return found

    # --- what goes wrong -------------------------------------------------------------------------

    def cut_connections(self, how: str = "reset") -> int:
        """All connections at once: "reset", "close" (with an error) or "detach" (of readers)."""
        count: int = self._ask("cut_connections", how)
        return count

    def cut_after(self, events: int) -> None:
        """Once: after about so many events to readers, hang up in the middle of a frame."""
        self._ask("set_faults", {"events_until_cut": events})

    def lose_answers(self, times: int = 1) -> None:
        """The next deliveries of producers are kept; the connection is cut before the answer."""
        self._ask("set_faults", {"lost_answers": times})

    def trickle(self, events: int) -> None:
        """At most so many events at a time, with a pause in between; 0 lifts it."""
        self._ask("set_faults", {"trickle": events})

    def refuse(
        self, stage: str, condition: str = "amqp:internal-error",
        text: str = "The service was unable to process the request; please retry the operation.",
        times: int = -1,
    ) -> None:  # fmt: skip
        """Answer "connect", "cbs", "management" or "attach" with an error, so many times."""
        self._ask("refuse", stage, condition, text, times)

    def throttle(self, hub: str, on: bool = True) -> None:
        """Producers hear com.microsoft:server-busy."""
        self._ask("throttle", hub, on)

    def lift(self) -> None:
        """No fault any more."""
        self._ask("lift")

    # --- the control socket ----------------------------------------------------------------------

    def _ask(self, method: str, *arguments: Any) -> Any:
        with self._lock:
            error, result = self._exchange(method, arguments)
        assert error is None, error
        return result

    def _exchange(self, method: str, arguments: Sequence[Any]) -> tuple[str | None, Any]:
        if self._control is None:
            control = socket.socket(socket.AF_UNIX)
            control.settimeout(30)
            try:
                control.connect(str(self.directory / "control"))
            except OSError:
                control.close()
                raise
            self._control = control
        data = msgspec.msgpack.encode([method, arguments])
        self._control.sendall(len(data).to_bytes(4, "big") + data)
        answer = self._receive(int.from_bytes(self._receive(4)))
        error, result = msgspec.msgpack.decode(answer)
        return error, result

    def _receive(self, size: int) -> bytes:
        assert self._control is not None
        data = bytearray()
        while len(data) < size:
            part = self._control.recv(min(size - len(data), 65_536))
            if not part:
                raise EOFError("the Event Hubs server hung up")
            data += part
        return bytes(data)
