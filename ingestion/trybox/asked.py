"""What the page asks: an event as text, a source, and a version to hold against the active one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from django.db.models import Q

from configuration.models import Bundle, ConfigurationVersion, Source
from ingestion.parsing import MAX_MESSAGE
from ingestion.sources.base import MessageBatch
from ingestion.trybox.picked import Picked, is_number

#: bytes of headers
MAX_HEADERS: Final = 64 * 2**10
#: versions of one kind that are offered, the newest
_MOST_OFFERED: Final = 20
_MAX_PART: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: what a broker or file can be called and count; the form gives it back as it was given
_LONGEST: Final = 128


class NotToBeTried(Exception):
    """What was sent is no event that can be looked at; the message is for the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The state of the form."""

    body: bytes = b""
    headers: bytes = b""
    source: Source | None = None
    version: ConfigurationVersion | None = None
    part: int = 0
    #: coordinates of an event that was picked; "" and None for one that was written here
    partition: str = ""
    offset: str = ""
    broker_time: datetime | None = None
    label: str = ""

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def headers_text(self) -> str:
        return self.headers.decode(errors="replace")

    @property
    def broker_us(self) -> str:
        """Microseconds since 1970, as the form keeps them."""
        if self.broker_time is None:
            return ""
        return str((self.broker_time - _EPOCH) // timedelta(microseconds=1))

    def message(self, *, now: datetime) -> MessageBatch:
        """The event as a batch of its own; one that was written here has just arrived."""
        source = self.source.name if self.source else ""
        times = int(self.broker_us or (now - _EPOCH) // timedelta(microseconds=1))
        return MessageBatch(
            source=source,
            partition=self.partition or "try",
            broker_type=self.source.broker_type if self.source else "file",
            batch_id=uuid4().hex,
            position=self.offset or "0",
            next_position=self.offset or "0",
            sequence_number=0,
            received_at=now,
            offsets=[self.offset or "0"],
            times_us=[times],
            bodies=[self.body],
            headers=[self.headers] if self.headers else None,
        )


def asked_by_address(query: Mapping[str, str], picked: Picked | None) -> Asked:
    """The form as an address opens it: with an event, a source, a version, or nothing."""
    version = _version(query.get("version", ""))
    if picked is None:
        source = _source(query.get("source", "")) or _first_source(version)
        return Asked(source=source, version=version)
    return Asked(
        body=picked.body,
        headers=picked.headers,
        source=picked.source,
        version=version,
        part=picked.part,
        partition=picked.partition,
        offset=picked.offset,
        broker_time=picked.broker_time,
        label=picked.label,
    )


def asked_by_form(data: Mapping[str, str]) -> Asked:
    """The form as it was sent. Raises NotToBeTried when it is too large or not the page's own."""
    body, headers = data.get("event", "").encode(errors="surrogatepass"), data.get("headers", "")
    if len(body) > MAX_MESSAGE:
        raise NotToBeTried(
            f"The event has {len(body):,} bytes. One above {MAX_MESSAGE:,} fails as too_large, "
            "whatever it holds."
        )
    if len(headers.encode(errors="surrogatepass")) > MAX_HEADERS:
        raise NotToBeTried(f"The headers have more than {MAX_HEADERS:,} bytes.")
    part = data.get("part", "0")
    return Asked(
        body=body,
        headers=headers.strip().encode(errors="surrogatepass"),
        source=_source(data.get("source", "")),
        version=_version(data.get("version", "")),
        part=min(int(part), _MAX_PART) if is_number(part) else 0,
        partition=data.get("partition", "")[:_LONGEST],
        offset=data.get("offset", "")[:_LONGEST],
        broker_time=_moment(data.get("broker_us", "")),
        label=data.get("label", "")[:_LONGEST],
    )


def sources() -> list[Source]:
    """Those that have something live."""
    return list(Source.objects.filter(active_bundle__isnull=False).select_related("active_bundle"))


def offered(source: Source) -> dict[str, list[ConfigurationVersion]]:
    """By kind and name, the versions that could take the place of what is live for a source."""
    bundle = source.active_bundle
    if bundle is None:
        return {}
    wanted = Q()
    for kind, name in names_in(bundle):
        wanted |= Q(kind=kind, name=name)
    rows = ConfigurationVersion.objects.filter(wanted).exclude(status="active").order_by("-number")
    found: dict[str, list[ConfigurationVersion]] = {}
    for version in rows:
        group = found.setdefault(f"{version.get_kind_display()} {version.name}", [])
        if len(group) < _MOST_OFFERED:
            group.append(version)
    return found


def names_in(bundle: Bundle) -> list[tuple[str, str]]:
    """Kind and name of every document that a bundle froze."""
    content = bundle.content
    names = [("schema", schema["name"]) for schema in bundle.schemas]
    names += [(kind, content[kind]["name"]) for kind in ("metrics", "compliance")]
    return list(dict.fromkeys(names))


def fitting(asked: Asked) -> Asked:
    """The same with a version only where the source has a place for it."""
    version, bundle = asked.version, asked.source and asked.source.active_bundle
    if version and bundle and (version.kind, version.name) not in names_in(bundle):
        return replace(asked, version=None)
    return asked


def _first_source(version: ConfigurationVersion | None) -> Source | None:
    """The first that the version would be live for; the first of all without a version."""
    known = sources()
    for source in known:
        bundle = source.active_bundle
        if version and bundle and (version.kind, version.name) in names_in(bundle):
            return source
    return known[0] if known else None


def _source(key: str) -> Source | None:
    if not is_number(key):
        return None
    return Source.objects.select_related("active_bundle").filter(pk=int(key)).first()


def _version(key: str) -> ConfigurationVersion | None:
    if not is_number(key):
        return None
    return ConfigurationVersion.objects.filter(pk=int(key)).first()


def _moment(microseconds: str) -> datetime | None:
    if not is_number(microseconds) or int(microseconds) > 4_102_444_800_000_000:
        return None
    return _EPOCH + timedelta(microseconds=int(microseconds))
