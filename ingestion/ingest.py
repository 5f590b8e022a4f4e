"""Take a file in: a partition of its own, read by the command that was given it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from configuration.bundling import refresh_bundle
from configuration.models import Source
from ingestion.drain import Drainer
from ingestion.models import Partition
from ingestion.pipeline import Committed
from ingestion.sources.factory import ConsumerFactory
from payflow.lib.errors import ConfigurationError, Permanent, Problem


@dataclass(slots=True)
class IngestReport:
    """What one run took from the file; parts = accepted + failed + ignored + duplicates."""

    read: int = 0
    parts: int = 0
    accepted: int = 0
    failed: int = 0
    ignored: int = 0
    duplicates: int = 0
    late: int = 0
    seconds: float = 0.0

    def add(self, done: Committed) -> None:
        self.read += done.messages
        self.parts += done.parts
        self.accepted += done.accepted
        self.failed += done.failed
        self.ignored += done.ignored
        self.duplicates += done.duplicates
        self.late += done.late

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)


def source_for(schema: str) -> Source:
    """The source that files of a schema belong to. Raises ConfigurationError if there is none."""
    source, created = Source.objects.get_or_create(
        name=f"files-{schema}"[:64], defaults={"broker_type": "file", "schema_name": schema}
    )
    if created or source.active_bundle_id is None:
        refresh_bundle(source)
    return source


def source_named(name: str) -> Source:
    """A source of files, with its route table. Raises ConfigurationError when it is none."""
    source = Source.objects.filter(name=name).first()
    if source is None or source.broker_type != "file":
        known = ", ".join(Source.objects.filter(broker_type="file").values_list("name", flat=True))
        message = f"no source of files is named {name!r}; those are: {known or 'none'}"
        raise ConfigurationError(Problem(pointer="", message=message))
    if source.active_bundle_id is None:
        refresh_bundle(source)
    return source


def ingest_file(
    path: Path,
    *,
    schema: str = "",
    source: str = "",
    stop: threading.Event,
    on_progress: Callable[[IngestReport], None] = lambda _report: None,
) -> IngestReport:
    """Read a file to its end and return what this run did; a second run reads nothing.

    It goes to the source of files of that name, or to the one of all files of a schema. Raises
    ConfigurationError for a wrong path, schema or source, Permanent when another process reads the
    file now or its partition was stopped.
    """
    owner = source_named(source) if source else source_for(schema)
    settings = {"path": str(path.resolve())}
    consumer = ConsumerFactory.create("file", source=owner.name, settings=settings)
    consumer.connect()
    try:
        (name,) = consumer.partitions()
        partition, _ = Partition.objects.get_or_create(
            source=owner,
            name=name,
            defaults={"position": consumer.first_position(name), "label": path.name[:256]},
        )
    finally:
        consumer.disconnect()
    return _drain(partition, settings=settings, stop=stop, on_progress=on_progress)


def _drain(
    partition: Partition,
    *,
    settings: dict[str, str],
    stop: threading.Event,
    on_progress: Callable[[IngestReport], None],
) -> IngestReport:
    report, started = IngestReport(), time.monotonic()
    if partition.state == Partition.State.FINISHED:
        return report

    def count(done: Committed) -> None:
        report.add(done)
        report.seconds = round(time.monotonic() - started, 3)
        on_progress(report)

    drainer = Drainer(
        stop=stop,
        sources=[partition.source.name],
        partition=partition.name,
        settings_of_source=settings,
        on_commit=count,
    )
    drainer.run(until_idle=True)
    report.seconds = round(time.monotonic() - started, 3)
    partition.refresh_from_db()
    if partition.state == Partition.State.STOPPED:
        raise Permanent(f"the partition of this file is stopped: {partition.stopped_reason}")
    if not stop.is_set():
        Partition.objects.filter(pk=partition.pk, state=Partition.State.ACTIVE).update(
            state=Partition.State.FINISHED
        )
    return report
