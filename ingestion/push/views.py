"""`POST /api/v1/sources/{name}/events`: events over HTTP.

1. admit     token and signature: who may push to this source.
2. read      bytes within limits, then the events in them.
3. claim     the request's key, if it has one: a repeated request gets its answer again.
4. publish   to the broker of the source; workers read the events from there like all others.
5. answer    202 only after the broker has them durably.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from django.db import InterfaceError, OperationalError
from knox.auth import TokenAuthentication
from rest_framework.exceptions import APIException, ParseError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from configuration.models import Source
from ingestion.push import counts, once, signature
from ingestion.push.access import Admission, admit
from ingestion.push.body import Events, read_body, split, unpack
from ingestion.push.counts import Outcome
from ingestion.push.publishers import PublisherPool
from payflow.lib.api.problems import CONTENT_TYPE, Refused
from payflow.lib.errors import BackPressure, MessageTooLarge, PayflowError, Permanent
from payflow.lib.publish.base import OutgoingMessage

logger = logging.getLogger(__name__)

#: characters of a key, as the table holds it
_MAX_KEY: Final = 255
#: of a partition key: Event Hubs takes no more
_MAX_PARTITION_KEY: Final = 128
#: seconds to wait: until another request of the same key has ended, until workers have read some of
#: a full broker, until a broker or database is back, until a person has mended a setting
_WAITS_S: Final = {"in flight": 1, "full": 2, "away": 5, "broken": 60}
_OUTCOMES: Final = {
    HTTPStatus.TOO_MANY_REQUESTS: Outcome.FULL,
    HTTPStatus.SERVICE_UNAVAILABLE: Outcome.UNAVAILABLE,
}

_pool = PublisherPool()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request is told."""

    status: HTTPStatus
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    outcome: Outcome = Outcome.REFUSED
    #: events that this request has queued, before it broke or to the end
    queued: int = 0

    def response(self) -> Response:
        kind = CONTENT_TYPE if self.status >= HTTPStatus.BAD_REQUEST else None
        return Response(self.body, status=int(self.status), headers=self.headers, content_type=kind)


class PushEvents(APIView):
    """POST: one event, an array or NDJSON.

    Tokens only: a page that somebody else wrote cannot push with the session of who reads it. Who
    may is for each source to say, not for a permission that holds for all.
    """

    authentication_classes = (TokenAuthentication,)
    permission_classes = ()
    metadata_class = None

    def post(self, request: Request, name: str) -> Response:
        admission = admit(request, name)
        try:
            answer = _take(admission, request)
        except APIException:
            counts.add(admission.source.pk, Outcome.REFUSED, 0)
            raise
        counts.add(admission.source.pk, answer.outcome, answer.queued)
        return answer.response()

    def handle_exception(self, exc: Exception) -> Response:
        """Without the database nobody can be asked who may push: that is not the sender's fault."""
        if not isinstance(exc, OperationalError | InterfaceError):
            response: Response = super().handle_exception(exc)
            return response
        logger.warning(
            "a push found no database",
            extra={"action": "push_unavailable", "error": type(exc).__name__},
        )
        return _problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "payflow's database does not answer.", wait="away"
        ).response()


def _take(admission: Admission, request: Request) -> Answer:
    """Steps 2 to 5. Raises what the framework answers: the request is not as it should be."""
    sent = read_body(request._request)  # noqa: SLF001  the bytes; the framework's own parses
    signed_id = _checked(admission, request, sent)
    key, partition_key = _key(request, signed_id), _partition_key(request)
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    content_type = str(request.content_type).partition(";")[0].strip().lower()
    body = unpack(sent, encoding)
    events = split(body, content_type)
    if not events.bodies:
        return _nothing(events)
    if not key:
        return _publish(admission.source, events, partition_key, None)
    body_hash = _hash(content_type, partition_key, body)
    return _once(admission.source, key, body_hash, events, partition_key)


def _checked(admission: Admission, request: Request, sent: bytes) -> str:
    try:
        signed_id: str = admission.check(request.headers, sent)
    except Permanent as exc:
        logger.warning(
            "the signing secrets of a source cannot be read: %s",
            exc,
            extra={"action": "push_secret_unreadable", "source": admission.source.name},
        )
        text = "The signing secrets of this source cannot be read; its owners have to look."
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, text, wait_s=_WAITS_S["broken"]) from exc
    return signed_id


def _once(
    source: Source, key: str, body_sha256: str, events: Events, partition_key: bytes | None
) -> Answer:
    """Publish under a key, or answer as it was answered before."""
    claimed = once.begin(source.pk, key, body_sha256)
    match claimed:
        case once.Answered():
            return _again(claimed)
        case once.OtherBody():
            text = "This Idempotency-Key belongs to a request with another body."
            return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, text)
        case once.InFlight():
            text = "A request with this Idempotency-Key is at work."
            return _problem(HTTPStatus.CONFLICT, text, wait="in flight")
        case once.Attempt():
            return _publish(source, events, partition_key, claimed)


def _publish(
    source: Source, events: Events, partition_key: bytes | None, attempt: once.Attempt | None
) -> Answer:
    """202 when all are queued; 413, 429 or 503, saying how many are, when not."""
    start = attempt.queued if attempt else 0
    messages = [OutgoingMessage(body=body, key=partition_key) for body in events.bodies[start:]]
    queued = start
    try:
        with _pool.lend(source) as publisher:
            before = publisher.published
            try:
                publisher.publish(messages)
            finally:
                queued += publisher.published - before
    except PayflowError as exc:
        if queued < len(events.bodies):
            if attempt:
                _keep(source, partial(attempt.give_up, queued))
            answer = _not_queued(source, events, queued, exc)
            return replace(answer, queued=queued - start)
        # it broke when all of them were durable already
    errors = [error.as_json() for error in events.errors]
    body = {"accepted": len(events.bodies), "rejected": len(errors), "errors": errors}
    if attempt:
        _keep(source, partial(attempt.finish, HTTPStatus.ACCEPTED, body))
    return Answer(
        status=HTTPStatus.ACCEPTED, body=body, outcome=Outcome.ACCEPTED, queued=queued - start
    )


def _again(claimed: once.Answered) -> Answer:
    """As it was told the first time, to the byte: the database keeps no order of members."""
    errors = [
        {name: error[name] for name in ("index", "pointer", "detail")}
        for error in claimed.answer["errors"]
    ]
    body = {name: claimed.answer[name] for name in ("accepted", "rejected")} | {"errors": errors}
    return Answer(
        status=HTTPStatus(claimed.status),
        body=body,
        headers={"Idempotent-Replayed": "true"},
        outcome=Outcome.REPLAYED,
    )


def _keep(source: Source, write: Callable[[], None]) -> None:
    """What became of the events is told even where it cannot be kept."""
    try:
        write()
    except (OperationalError, InterfaceError) as exc:
        logger.warning(
            "what became of a push was not kept; who repeats it publishes again",
            extra={"action": "push_not_kept", "source": source.name, "error": type(exc).__name__},
        )


def _not_queued(source: Source, events: Events, queued: int, exc: PayflowError) -> Answer:
    logger.warning(
        "a push was not queued: %s",
        exc,
        extra={"action": "push_not_queued", "source": source.name, "queued": queued},
    )
    progress = {"accepted": queued, "next": events.next_index(queued)}
    if isinstance(exc, BackPressure):
        text = "The broker of this source is full until its events are read."
        return _problem(HTTPStatus.TOO_MANY_REQUESTS, text, wait="full", more=progress)
    if isinstance(exc, MessageTooLarge):
        text = "One of the events that are left is larger than the broker of this source takes."
        return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, more=progress)
    if isinstance(exc, Permanent):
        text = "Nothing can be written to this source; its owners have to look."
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, text, wait="broken", more=progress)
    text = "The broker of this source does not answer."
    return _problem(HTTPStatus.SERVICE_UNAVAILABLE, text, wait="away", more=progress)


def _nothing(events: Events) -> Answer:
    errors = [error.as_json() for error in events.errors]
    text = "None of the events can be queued." if errors else "The request holds no event."
    more = {"accepted": 0, "rejected": len(errors), "errors": errors}
    return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, text, more=more)


def _problem(
    status: HTTPStatus, detail: str, *, wait: str = "", more: Mapping[str, Any] | None = None
) -> Answer:
    """RFC 9457; `wait` names the entry of _WAITS_S after which a repetition may succeed."""
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    headers = {"Retry-After": str(_WAITS_S[wait])} if wait else {}
    outcome = _OUTCOMES.get(status, Outcome.REFUSED)
    return Answer(status=status, body=body | dict(more or {}), headers=headers, outcome=outcome)


def _key(request: Request, signed_id: str) -> str:
    """What makes the request one: a signed id before a key that anybody could have put there."""
    key = signed_id or request.headers.get("Idempotency-Key") or request.headers.get(signature.ID)
    return _printable("Idempotency-Key", key or "", longest=_MAX_KEY)


def _partition_key(request: Request) -> bytes | None:
    given = request.headers.get("Partition-Key", "")
    return _printable("Partition-Key", given, longest=_MAX_PARTITION_KEY).encode() or None


def _printable(name: str, value: str, *, longest: int) -> str:
    if len(value) > longest or not (value.isascii() and (value.isprintable() or not value)):
        raise ParseError(f"{name} has at most {longest} printable ASCII characters.")
    return value


def _hash(content_type: str, partition_key: bytes | None, body: bytes) -> str:
    """Of everything that decides what is queued; the same however it was packed."""
    digest = hashlib.sha256(content_type.encode())
    digest.update(b"\0" + (partition_key or b"") + b"\0")
    digest.update(body)
    return digest.hexdigest()
