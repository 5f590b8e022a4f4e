"""The archive object of a batch: is it there, unchanged, and described as the manifest does?"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from itertools import pairwise

import polars as pl

from ingestion import archive
from ingestion.sources.base import position_key
from ingestion.verify.findings import Findings
from ingestion.verify.report import Kind
from ingestion.verify.snapshot import Manifest
from payflow.lib.errors import StorageError


def read_object(
    manifest: Manifest, *, bundle_hash: str | None, findings: Findings
) -> pl.DataFrame | None:
    """The rows of a batch's archive object; None when it is missing or not the one that counts.

    `bundle_hash` None: the bundle is not known, and that is reported already.
    """
    if not manifest.sha256:
        findings.add(
            Kind.FILE, "archive_files", "no row", "a row", batch=manifest.id, row=manifest.file
        )
    try:
        content = archive.read_bytes(manifest.file)
    except StorageError:
        findings.add(Kind.FILE, "", "no object", "an object", batch=manifest.id, row=manifest.file)
        return None
    digest = hashlib.sha256(content).hexdigest()
    if manifest.sha256 and digest != manifest.sha256:
        # whatever it holds now is not what was committed: nothing can be computed from it
        findings.add(
            Kind.FILE, "sha256", manifest.sha256, digest, batch=manifest.id, row=manifest.file
        )
        return None
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError):
        findings.add(Kind.FILE, "", "no Parquet", "Parquet", batch=manifest.id, row=manifest.file)
        return None
    _check_description(manifest, content, frame, bundle_hash=bundle_hash, findings=findings)
    return frame


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
        Kind.FILE,
        [(key, value, metadata.get(key, "")) for key, value in expected.items()],
        batch=manifest.id,
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
            batch=manifest.id,
        )
    offsets = frame.filter(pl.col("part") == 0)["offset"].to_list()
    if not _is_in_order(manifest, offsets):
        findings.add(
            Kind.FILE,
            "offset",
            "not ascending",
            f"ascending from {manifest.start_position}, below {manifest.next_position}",
            batch=manifest.id,
        )


def _is_in_order(manifest: Manifest, offsets: Sequence[str]) -> bool:
    """Whether the messages lie between the batch's positions, in the broker's order."""
    places = [
        position_key(position)
        for position in (manifest.start_position, *offsets, manifest.next_position)
    ]
    first, *rest = places
    return (not rest or first <= rest[0]) and all(a < b for a, b in pairwise(rest))
