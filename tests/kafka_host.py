"""librdkafka's mock cluster as a process of its own, steered by lines of JSON on standard input.

Run by tests/kafka_cluster.py; everything by ctypes on the librdkafka inside the wheel. Prints
{"bootstrap": ..} first, then one answer a command, and ends with its standard input.
"""

from __future__ import annotations

import ctypes
import json
import struct
import sys
from pathlib import Path
from typing import Any

import confluent_kafka

#: what the mock gives every partition: bytes kept, and message sets kept. Two immediate values in
#: its code, one constant of 16 bytes in the library.
KEPT = (5 * 2**20, 100_000)
PRODUCER = 0
EVERYTHING = 2**62


def library_path() -> Path:
    """The very library that confluent_kafka uses."""
    package = Path(confluent_kafka.__file__).resolve()  # as /proc/self/maps names it
    folder = package.parent.parent / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka-*.so*")
    return path


def load_library() -> Any:
    """With the types of what is called here."""
    library = ctypes.CDLL(str(library_path()))
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
    text, number, offset = ctypes.c_char_p, ctypes.c_int32, ctypes.c_int64
    signatures: dict[str, list[Any]] = {
        "topic_create": [text, ctypes.c_int, ctypes.c_int],
        "topic_delete": [text],
        "topic_set_error": [text, ctypes.c_int],
        "partition_delete_records": [text, number, offset],
        "partition_set_leader": [text, number, number],
        "broker_set_down": [number],
        "broker_set_up": [number],
        "broker_set_host_port": [number, text, ctypes.c_int],
        "broker_set_rtt": [number, ctypes.c_int],
        "push_request_errors_array": [
            ctypes.c_int16,
            ctypes.c_size_t,
            ctypes.POINTER(ctypes.c_int),
        ],
        "clear_request_errors": [ctypes.c_int16],
    }
    for name, types in signatures.items():
        function = getattr(library, f"rd_kafka_mock_{name}")
        function.argtypes = [ctypes.c_void_p, *types]
        function.restype = None if name == "clear_request_errors" else ctypes.c_int
    library.rd_kafka_mock_push_request_errors_array.restype = None
    return library


class Host:
    """The cluster and what may be done to it."""

    def __init__(self, brokers: int) -> None:
        self.library = load_library()
        self.retention = Retention()
        self.retention.set(EVERYTHING)
        handle = self.library.rd_kafka_new(PRODUCER, self.library.rd_kafka_conf_new(), None, 0)
        assert handle
        self.cluster = self.library.rd_kafka_mock_cluster_new(handle, brokers)
        assert self.cluster

    @property
    def bootstrap(self) -> str:
        """Addresses of all brokers."""
        return str(self.library.rd_kafka_mock_cluster_bootstraps(self.cluster).decode())

    def run(self, command: str, arguments: list[Any]) -> Any:
        """One command; what it answers."""
        if command == "keep":
            self.retention.set(arguments[0])
            return 0
        if command == "push_request_errors_array":
            key, errors = arguments
            array = (ctypes.c_int * len(errors))(*errors)
            self.library.rd_kafka_mock_push_request_errors_array(
                self.cluster, key, len(errors), array
            )
            return 0
        values = [a.encode() if isinstance(a, str) else a for a in arguments]
        return getattr(self.library, f"rd_kafka_mock_{command}")(self.cluster, *values)


class Retention:
    """How much the partitions of topics keep that are made from now on.

    The mock has no setting for it, so the constant that it begins a partition with is overwritten
    in this process's own memory.
    """

    def __init__(self) -> None:
        held = library_path().read_bytes()
        constant = struct.pack("<QQ", *KEPT)
        assert held.count(constant) == 1, "this librdkafka keeps its limits in another way"
        self._address = self._mapped_at(held.index(constant))

    def set(self, size: int) -> None:
        """Bytes a partition; the number of message sets is not limited."""
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            memory.seek(self._address)
            memory.write(struct.pack("<QQ", size, EVERYTHING))

    @staticmethod
    def _mapped_at(place: int) -> int:
        """Address of a place in the file."""
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
            addresses, _, offset, _, _, *path = line.split(maxsplit=5)
            start, end = (int(address, 16) for address in addresses.split("-"))
            address = start + place - int(offset, 16)
            if path == [str(library_path())] and start <= address < end:
                return address
        raise AssertionError("the library is not mapped")


def main() -> None:
    """Serve until standard input ends."""
    host = Host(int(sys.argv[1]))
    print(json.dumps({"bootstrap": host.bootstrap}), flush=True)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        print(json.dumps(host.run(command, arguments)), flush=True)


if __name__ == "__main__":
    main()
