"""A batch once more, from its archive object: what the path made of these bytes, made again."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import polars as pl

from ingestion import archive
from ingestion.bundles import CompiledBundle
from ingestion.evaluate import Outcome, evaluate
from ingestion.scrub import Scrubbed
from ingestion.sources.base import MessageBatch
from ingestion.store import Numbering
from ingestion.verify.findings import Findings
from ingestion.verify.report import Kind
from ingestion.verify.snapshot import Manifest, PartitionInfo
from payflow.lib.errors import StorageError

#: columns of an archive object that evaluate() decides
JUDGED: Final = ("part", "verdict", "reasons", *archive.NORMALISED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """A batch as evaluate() judges it now."""

    batch: MessageBatch
    outcome: Outcome
    numbering: Numbering


def read_object(
    manifest: Manifest, *, bundle_hash: str | None, findings: Findings
) -> pl.DataFrame | None:
    """The rows of a batch's archive object; None when it is missing or not the one that counts.

    `bundle_hash` None: the bundle is not known, and that is reported already.
    """
    if not manifest.sha256:
        findings.add(Kind.FILE, "archive_files", "no row", "a row", row=manifest.file)
    try:
        content = archive.read_bytes(manifest.file)
    except StorageError:
        findings.add(Kind.FILE, "", "no object", "an object", row=manifest.file)
        return None
    digest = hashlib.sha256(content).hexdigest()
    if manifest.sha256 and digest != manifest.sha256:
        # whatever it holds now is not what was committed: nothing can be computed from it
        findings.add(Kind.FILE, "sha256", manifest.sha256, digest, row=manifest.file)
        return None
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError):
        findings.add(Kind.FILE, "", "no Parquet", "Parquet", row=manifest.file)
        return None
    _check_description(manifest, content, frame, bundle_hash=bundle_hash, findings=findings)
    return frame


def recompute(
    manifest: Manifest, frame: pl.DataFrame, *, partition: PartitionInfo, bundle: CompiledBundle
) -> Recomputed:
    """Evaluate the archived bytes again; they are scrubbed already, and scrubbing is idempotent."""
    keys, headers = frame["key"], frame["headers"]
    batch = MessageBatch(
        source=partition.source,
        partition=partition.name,
        broker_type=partition.broker_type,
        batch_id="verify",
        position=manifest.start_position,
        next_position=manifest.next_position,
        sequence_number=manifest.sequence_number,
        received_at=manifest.received_at,
        offsets=frame["offset"].to_list(),
        times_us=frame["broker_time"].to_physical().to_list(),
        bodies=frame["body"].to_list(),
        keys=None if keys.null_count() == len(keys) else keys.to_list(),
        headers=None if headers.null_count() == len(headers) else headers.to_list(),
    )
    outcome = evaluate(batch, bundle)
    numbering = Numbering(first_tick=manifest.id >> 22, slot=manifest.id >> 12 & 1023)
    return Recomputed(batch=batch, outcome=outcome, numbering=numbering)


def judged_frame(recomputed: Recomputed) -> pl.DataFrame:
    """What evaluate() puts beside the bytes in an archive object, and the row number."""
    batch = recomputed.batch
    scrubbed = Scrubbed(bodies=batch.bodies, keys=batch.keys, headers=batch.headers, hits={})
    frame = archive.archive_frame(batch, scrubbed=scrubbed, outcome=recomputed.outcome)
    return frame.select(JUDGED).with_row_index("ordinal")


def _check_description(
    manifest: Manifest,
    content: bytes,
    frame: pl.DataFrame,
    *,
    bundle_hash: str | None,
    findings: Findings,
) -> None:
    """The object's own metadata and its row of archive_files describe this batch."""
    source, _, name = findings.partition.partition("/")
    expected = {
        "source": source,
        "partition": name,
        "start_position": manifest.start_position,
        "next_position": manifest.next_position,
        "sequence_number": str(manifest.sequence_number),
        "epoch": str(manifest.epoch),
    } | ({} if bundle_hash is None else {"bundle": bundle_hash})
    metadata = archive.metadata_of(content)
    findings.compare(
        Kind.FILE, [(key, value, metadata.get(key, "")) for key, value in expected.items()]
    )
    if manifest.sha256:
        received = frame["received_at"].unique().to_list()
        findings.compare(
            Kind.FILE,
            [
                ("size", manifest.size, len(content)),
                ("rows", manifest.rows, frame.height),
                ("min_occurred_at", manifest.file_min_occurred_at, manifest.min_occurred_at),
                ("max_occurred_at", manifest.file_max_occurred_at, manifest.max_occurred_at),
                ("superseded_at", manifest.superseded_at, None),
                ("received_at", [manifest.received_at], received),
            ],
        )
    if not _is_in_order(manifest, frame["offset"].to_list()):
        findings.add(
            Kind.FILE,
            "offset",
            "not ascending",
            f"ascending from {manifest.start_position}, below {manifest.next_position}",
        )


def _is_in_order(manifest: Manifest, offsets: Sequence[str]) -> bool:
    """Whether the messages lie between the batch's positions, in the broker's order."""
    places = [
        tuple(map(int, position.split("-")))
        for position in (manifest.start_position, *offsets, manifest.next_position)
    ]
    first, *rest = places
    return (not rest or first <= rest[0]) and all(a < b for a, b in pairwise(rest))
