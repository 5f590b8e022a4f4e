"""The server's process: the AMQP port, and a socket by which a test controls it.

    python -m tests.eventhubs.server DIRECTORY --port 5673

Ends when its standard input does, so that no test leaves one behind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from tests.eventhubs.attaching import Refusal
from tests.eventhubs.connection import Connection
from tests.eventhubs.faults import Faults, Rule, Stats
from tests.eventhubs.links import Producer, Reader
from tests.eventhubs.store import Store

_RECEIVERS = 5
_STOLEN = "amqp:link:stolen"


class Server:
    """A namespace and everybody who is connected to it."""

    def __init__(self, directory: Path, *, idle_timeout_s: float, names_conditions: bool) -> None:
        self.store = Store(directory / "journal")
        self.faults, self.stats = Faults(), Stats()
        self.idle_timeout_s = idle_timeout_s
        #: put-token answers carry error-condition, as Azure's do: then the SDK forgets the status
        self.names_conditions = names_conditions
        self.container = "payflow-test"
        self.endpoint = ""
        self.connections: set[Connection] = set()
        self._readers: dict[str, list[Reader]] = {}

    # --- Azure's words ---------------------------------------------------------------------------

    def entity(self, hub: str) -> str:
        return f"sb://{self.endpoint}/{hub}"

    def not_found(self, hub: str) -> str:
        return (
            f"The messaging entity '{self.entity(hub)}' could not be found. "
            "To know more visit https://aka.ms/sbResourceMgrExceptions."
        )

    def signed(self, text: str) -> str:
        """With what support would ask for."""
        now = datetime.now(UTC).isoformat(timespec="seconds").removesuffix("+00:00")
        return f"{text} TrackingId:{uuid4()}_G0, SystemTracker:{self.container}, Timestamp:{now}"

    # --- readers of a partition ------------------------------------------------------------------

    def admit(self, reader: Reader) -> None:
        """Let a reader in; an epoch cuts the others off, a lower one is turned away.

        Raises:
            Refusal: a reader with a higher epoch is there, or five without.
        """
        peers = self._readers.setdefault(reader.owner, [])
        highest = max((peer.epoch for peer in peers if peer.epoch is not None), default=None)
        if highest is not None and (reader.epoch is None or reader.epoch < highest):
            reader.partition.watchers.discard(reader.pump)
            raise Refusal(_STOLEN, _turned_away(reader.epoch, highest))
        if reader.epoch is None and len(peers) >= _RECEIVERS:
            reader.partition.watchers.discard(reader.pump)
            raise Refusal(
                "com.microsoft:resource-limit-exceeded",
                "Exceeded the maximum number of allowed receivers per partition in a consumer "
                f"group which is {_RECEIVERS}.",
            )
        if reader.epoch is not None:
            for peer in list(peers):
                self.stats.stolen += 1
                peer.detach(_STOLEN, self.signed(_cut_off(reader.epoch, peer.epoch)))
        self._readers[reader.owner].append(reader)

    def forget(self, reader: Reader) -> None:
        peers = self._readers.get(reader.owner, [])
        if reader in peers:
            peers.remove(reader)

    async def close_the_silent(self) -> None:
        """Close connections that were not heard of for the idle timeout; for ever."""
        while True:
            await asyncio.sleep(self.idle_timeout_s / 4)
            for connection in list(self.connections):
                if time.monotonic() - connection.last_heard > self.idle_timeout_s:
                    connection.close(
                        "amqp:connection:forced",
                        "The connection was inactive for more than the allowed "
                        f"{self.idle_timeout_s * 1000:.0f} milliseconds and is closed by "
                        f"container '{self.container}'.",
                    )

    # --- what a test asks for --------------------------------------------------------------------

    def create_hub(self, name: str, partitions: int, groups: Sequence[str]) -> None:
        if self.store.hub(name) is not None:
            self.delete_hub(name)
        self.store.create_hub(name, partitions, groups)

    def delete_hub(self, name: str) -> None:
        self.store.delete_hub(name)
        for connection in list(self.connections):
            for link in connection.links():
                if isinstance(link, Reader | Producer) and link.hub.name.lower() == name.lower():
                    link.detach("amqp:not-found", self.signed(self.not_found(name)))

    def add_partitions(self, hub: str, more: int) -> None:
        self.store.add_partitions(hub, more)

    def load(
        self, hub: str, partition: str, bodies: Sequence[bytes], properties: Any, key: Any
    ) -> None:
        self.store.load(hub, partition, bodies, properties, key)

    def drop_before(self, hub: str, partition: str, sequence: int) -> None:
        self.store.drop_before(hub, partition, sequence)

    def cut_connections(self, how: str) -> int:
        """Cut all connections ("reset"), close them ("close"), or detach the readers ("detach")."""
        connections = list(self.connections)
        for connection in connections:
            if how == "reset":
                connection.abort()
            elif how == "close":
                connection.close("amqp:connection:forced", "The connection was closed by a test.")
            else:
                for readers in list(self._readers.values()):
                    for reader in list(readers):
                        reader.detach("amqp:link:detach-forced", "The link was detached by a test.")
        return len(connections)

    def refuse(self, stage: str, condition: str, text: str, times: int) -> None:
        self.faults.rules[stage] = Rule(condition, text, times)

    def set_faults(self, faults: dict[str, Any]) -> None:
        for name, value in faults.items():
            setattr(self.faults, name, value)

    def throttle(self, hub: str, on: bool) -> None:
        (self.faults.throttled.add if on else self.faults.throttled.discard)(hub.lower())

    def lift(self) -> None:
        self.faults = Faults()

    def get_stats(self) -> dict[str, Any]:
        readers = {owner: len(peers) for owner, peers in self._readers.items() if peers}
        ends = {
            f"{hub.name}/{partition.name}": partition.end
            for hub in self.store.hubs.values()
            for partition in hub.partitions
        }
        return {
            **asdict(self.stats), "open_connections": len(self.connections), "readers": readers,
            "ends": ends,
        }  # fmt: skip

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one control connection: [method, arguments] in, [error or None, result] out."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                method, arguments = msgspec.msgpack.decode(await reader.readexactly(size))
                try:
                    answer = [None, getattr(self, method)(*arguments)]
                except (AttributeError, AssertionError, KeyError, TypeError, ValueError) as exc:
                    answer = [f"{type(exc).__name__}: {exc}", None]
                data = msgspec.msgpack.encode(answer)
                writer.write(len(data).to_bytes(4, "big") + data)
        writer.close()


def _cut_off(epoch: int, old: int | None) -> str:
    return (
        f"New receiver 'nil' with higher epoch of '{epoch}' is created hence current receiver "
        f"'nil' with epoch '{old or 0}' is getting disconnected. If you are recreating the "
        "receiver, make sure a higher epoch is used."
    )


def _turned_away(epoch: int | None, highest: int) -> str:
    if epoch is None:
        return (
            f"At least one receiver for the endpoint is created with epoch of '{highest}', and so "
            "non-epoch receiver is not allowed. Either reconnect with a higher epoch, or make "
            "sure all epoch receivers are closed or disconnected."
        )
    return (
        f"Receiver 'nil' with a higher epoch '{highest}' already exists. Receiver 'nil' with "
        f"epoch {epoch} cannot be created. Make sure you are creating receiver with increasing "
        "epoch value to ensure connectivity, or ensure all old epoch receivers are closed or "
        "disconnected."
    )


async def serve(options: argparse.Namespace) -> None:
    """Serve until standard input ends."""
    server = Server(
        options.directory,
        idle_timeout_s=options.idle_timeout,
        names_conditions=not options.without_conditions,
    )
    tls = None
    if options.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.certificate)
    loop = asyncio.get_running_loop()
    socket = options.directory / "control"
    socket.unlink(missing_ok=True)
    listener = await loop.create_server(
        lambda: Connection(server), "127.0.0.1", options.port, ssl=tls
    )
    server.endpoint = f"localhost:{options.port}"
    control = await asyncio.start_unix_server(server.control, socket)
    silence = asyncio.create_task(server.close_the_silent())
    over = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), over.set)
    await over.wait()
    silence.cancel()
    listener.close()
    control.close()
    for connection in list(server.connections):
        connection.close("amqp:connection:forced", "The server is shutting down.")
    await asyncio.sleep(0)
    server.store.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--idle-timeout", type=float, default=240.0)
    parser.add_argument("--without-conditions", action="store_true")
    parser.add_argument("--certificate", type=Path)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
