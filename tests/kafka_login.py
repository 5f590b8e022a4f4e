"""A door before a Kafka cluster: TLS and SASL PLAIN, then whatever the cluster says.

librdkafka's mock knows neither; the clients under test speak both for real.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from contextlib import suppress

from tests.kafka_cluster import KafkaCluster
from tests.relay import pump

HANDSHAKE, API_VERSIONS, AUTHENTICATE = 17, 18, 36
UNSUPPORTED_VERSION, AUTHENTICATION_FAILED = 35, 58


class Door:
    """Listens with a certificate and lets those in who say `user` and `password`."""

    def __init__(
        self, cluster: KafkaCluster, *, context: ssl.SSLContext, user: str, password: str
    ) -> None:
        host, _, port = cluster.bootstrap.rpartition(":")
        self._upstream = (host, int(port))
        self._context = context
        self._expected = f"\0{user}\0{password}".encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    def close(self) -> None:
        """End every connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._sockets:
            connection.close()

    def _listen(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, plain)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _serve(self, plain: socket.socket) -> None:
        self._sockets.append(plain)
        try:
            client = self._context.wrap_socket(plain, server_side=True)
        except OSError:
            return
        self._sockets.append(client)
        with suppress(OSError, struct.error):
            if self._let_in(client):
                upstream = socket.create_connection(self._upstream)
                self._sockets.append(upstream)
                self._start(pump, upstream, client)
                pump(client, upstream)

    def _let_in(self, client: socket.socket) -> bool:
        """Answer until somebody said who it is; whether that was right."""
        while True:
            request = _frame(client)
            key, version, correlation, name_length = struct.unpack_from(">hhih", request)
            rest = request[10 + max(0, name_length) :]
            if key == API_VERSIONS:
                answer = self._versions(0 if version == 0 else UNSUPPORTED_VERSION)
            elif key == HANDSHAKE:
                answer = struct.pack(">hi", 0, 1) + struct.pack(">h", 5) + b"PLAIN"
            else:
                is_right = rest[4:] == self._expected
                error = 0 if is_right else AUTHENTICATION_FAILED
                text = b"" if is_right else b"Authentication failed"
                answer = struct.pack(">hh", error, len(text)) + text + struct.pack(">i", 0)
            _send(client, correlation, answer)
            if key == AUTHENTICATE:
                return is_right

    def _versions(self, error: int) -> bytes:
        """What the cluster can, and what is done here."""
        with socket.create_connection(self._upstream) as upstream:
            request = struct.pack(">hhih", API_VERSIONS, 0, 1, -1)
            upstream.sendall(struct.pack(">i", len(request)) + request)
            known = _frame(upstream)[4:]
        (count,) = struct.unpack_from(">i", known, 2)
        ours = struct.pack(">hhhhhh", HANDSHAKE, 0, 1, AUTHENTICATE, 0, 0)
        return struct.pack(">hi", error, count + 2) + known[6 : 6 + 6 * count] + ours


def _frame(connection: socket.socket) -> bytes:
    (length,) = struct.unpack(">i", _exactly(connection, 4))
    return _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    held = b""
    while len(held) < length:
        part = connection.recv(length - len(held))
        if not part:
            raise OSError("closed")
        held += part
    return held


def _send(connection: socket.socket, correlation: int, body: bytes) -> None:
    connection.sendall(struct.pack(">ii", 4 + len(body), correlation) + body)
