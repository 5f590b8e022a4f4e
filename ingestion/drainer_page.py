"""What the page of a drainer shows."""

from __future__ import annotations

from django.utils.safestring import SafeString

from ingestion.models import Drainer, Partition
from payflow.lib.pages.detail import Card, Detail, Head
from payflow.lib.pages.display import moment, mono, row_link


def detail(row: Drainer, *, state: SafeString) -> Detail:
    held = Partition.objects.select_related("source").filter(leased_by=row.owner or None)
    return Detail(
        title=mono(row.owner or f"slot {row.slot}"),
        state=state,
        meta=[f"slot {row.slot}"],
        main=[
            Card(
                title="Partitions that it holds",
                heads=[Head(label="Partition"), Head(label="Source"), Head(label="Last commit")],
                rows=[
                    (
                        row_link("ingestion.partition", item.pk, item),
                        item.source.name,
                        moment(item.committed_at),
                    )
                    for item in held
                ],
                empty="None now.",
            )
        ],
        side=[
            Card(
                title="Drainer",
                facts=[
                    ("Started", moment(row.started_at)),
                    ("Seen", moment(row.seen_at)),
                    *(
                        (f"Bundle of {source}", row_link("configuration.bundle", bundle))
                        for source, bundle in row.bundles.items()
                    ),
                ],
            )
        ],
    )
