"""A door of WebSockets before the Event Hubs server, as Azure has it on port 443."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY, _CLOSE = 0x2, 0x8


@contextmanager
def websocket_door(port: int) -> Iterator[int]:
    """The port of a door to the server at `port`, open until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(_listen(port), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_shut(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _listen(port: int) -> asyncio.Server:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        tasks: list[asyncio.Task[None]] = []
        try:
            await _greet(reader, writer)
            inner_reader, inner = await asyncio.open_connection("127.0.0.1", port)
            writers.append(inner)
            tasks = [
                asyncio.create_task(_inwards(reader, inner)),
                asyncio.create_task(_outwards(inner_reader, writer)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except (asyncio.IncompleteReadError, OSError):
            pass  # somebody only looked whether the port is open
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in writers:
                each.close()
                with suppress(OSError):
                    await each.wait_closed()

    return await asyncio.start_server(take, "127.0.0.1", 0)


async def _shut(server: asyncio.Server) -> None:
    server.close()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    assert request.startswith(b"GET /$servicebus/websocket ")
    lines = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:-2])
    key = {name.lower(): value for name, value in lines.items()}[b"sec-websocket-key"]
    answer = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: AMQPWSB10\r\nSec-WebSocket-Accept: " + answer + b"\r\n\r\n"
    )


async def _inwards(reader: asyncio.StreamReader, inner: asyncio.StreamWriter) -> None:
    while True:
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
        mask = await reader.readexactly(4)
        data = await reader.readexactly(size)
        if first & 0xF == _CLOSE:
            return
        spread = (mask * (size // 4 + 1))[:size]
        inner.write((int.from_bytes(data) ^ int.from_bytes(spread)).to_bytes(size))
        await inner.drain()


async def _outwards(inner: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await inner.read(60_000):
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2)
        writer.write(bytes([0x80 | _BINARY]) + size + data)
        await writer.drain()
