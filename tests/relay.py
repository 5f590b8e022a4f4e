"""A way through the network that a test can cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self
from urllib.parse import urlsplit


class Relay:
    """A port of this machine that leads to another one."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._connections: list[socket.socket] = []
        self._pumps: list[threading.Thread] = []
        self.port = 0
        self.mend()

    @classmethod
    @contextmanager
    def to(cls, url: str) -> Iterator[tuple[Self, str]]:
        """A relay to the port of a URL of this machine, and the URL that goes through it."""
        port = urlsplit(url).port
        assert port is not None
        relay = cls(port)
        try:
            yield relay, url.replace(f":{port}", f":{relay.port}")
        finally:
            relay.cut()

    def mend(self) -> None:
        """Let connections through, on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    def cut(self) -> None:
        """End every connection and take no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listening.join()
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for each in self._pumps:
            each.join()
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._pumps.clear()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._connections.append(near)
                far = socket.create_connection(("127.0.0.1", self._upstream))
                self._connections.append(far)
                for ends in ((near, far), (far, near)):
                    self._pumps.append(threading.Thread(target=pump, args=ends))
                    self._pumps[-1].start()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, until either end is gone."""
    with suppress(OSError):
        while part := source.recv(65_536):
            target.sendall(part)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
