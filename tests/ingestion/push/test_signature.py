"""Signed requests, as Standard Webhooks says it."""

from __future__ import annotations

import base64
import time

import pytest
from django.test import Client

from ingestion.push import signature
from ingestion.push.body import MAX_BODY
from ingestion.push.models import PushAccess
from ingestion.push.signature import BadSignature, check, read_secrets, sign
from payflow.lib.env import BadEnvironment
from tests.ingestion.push.conftest import URL

#: the example of the specification's own libraries
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1614265330
BODY = b'{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))


def headers(**changed: str) -> dict[str, str]:
    named = {"webhook-id": ID, "webhook-timestamp": str(AT), "webhook-signature": SIGNED}
    return named | {f"webhook-{name}": value for name, value in changed.items()}


def test_what_other_libraries_sign_is_right():
    """The known answer: whatever signs by the standard may push."""
    assert check(headers(), BODY, secrets=[KEY], now=AT + 299) == ID


def test_one_right_signature_is_enough():
    """Senders that change their secret sign with both; so does whoever reads them."""
    other = b"x" * 32
    both = headers(signature=f"v1,{'A' * 43}= v2,x {SIGNED}")

    assert check(both, BODY, secrets=[KEY], now=AT) == ID
    assert check(headers(), BODY, secrets=[other, KEY], now=AT) == ID


@pytest.mark.parametrize(
    ("changed", "body", "now"),
    [
        ({}, BODY + b" ", AT),
        ({"id": "msg_other"}, BODY, AT),
        ({"timestamp": str(AT + 1)}, BODY, AT),
        ({}, BODY, AT + 301),
        ({}, BODY, AT - 301),
        ({"timestamp": "soon"}, BODY, AT),
        ({"timestamp": "9" * 5_000}, BODY, AT),
        ({"timestamp": "\N{SUPERSCRIPT TWO}"}, BODY, AT),
        ({"id": ""}, BODY, AT),
        ({"signature": ""}, BODY, AT),
        ({"signature": SIGNED.replace("v1", "v2")}, BODY, AT),
        ({"signature": "v1,\xe4\xe4"}, BODY, AT),
        ({"signature": "v1, " * 10 + SIGNED}, BODY, AT),
    ],
)
def test_anything_changed_is_refused(changed, body, now):
    """Body, id, time or signature; too old, too new, or no number at all."""
    with pytest.raises(BadSignature):
        check(headers(**changed), body, secrets=[KEY], now=now)


def test_without_a_secret_nothing_is_right():
    with pytest.raises(BadSignature):
        check(headers(), BODY, secrets=[], now=AT)


@pytest.mark.parametrize("value", [None, "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%%"])
def test_a_secret_that_is_none_is_named_without_its_value(monkeypatch, value):
    """Its reference stands in the error."""
    if value is None:
        monkeypatch.delenv("PUSH_SECRET", raising=False)
    else:
        monkeypatch.setenv("PUSH_SECRET", value)

    with pytest.raises(BadEnvironment, match="PUSH_SECRET") as failed:
        read_secrets(["env:PUSH_SECRET"])

    assert value is None or value not in str(failed.value).replace("whsec_ and", "")


# --- over HTTP -----------------------------------------------------------------------------------


@pytest.fixture
def signed(access: PushAccess, monkeypatch: pytest.MonkeyPatch, queued):
    """POST with a signature; `kind` is what the source wants, other arguments are headers."""
    monkeypatch.setenv("PUSH_SECRET", SECRET)

    def send(body: bytes, kind: str, *, signs: bytes | None = None, **more: str):
        access.signature, access.secrets = kind, ["env:PUSH_SECRET"]
        access.save()
        moment = str(int(time.time()))
        text = b".".join([ID.encode(), moment.encode(), body if signs is None else signs])
        given = {
            "webhook-id": ID,
            "webhook-timestamp": moment,
            "webhook-signature": sign(KEY, text),
        }
        more = {name.replace("_", "-"): value for name, value in more.items()}
        return Client().post(URL, body, content_type="application/json", headers=given | more)

    return send


def test_a_signature_is_enough_where_the_source_says_so(signed, queued):
    """A provider that signs its webhooks needs no token; a wrong signature does not help."""
    wrong = signed(b'{"a":1}', "enough", signs=b'{"a":2}')
    right = signed(b'{"a":1}', "enough")

    assert (wrong.status_code, right.status_code) == (401, 202)
    assert queued() == [b'{"a":1}']


def test_a_signature_without_a_token_is_nothing_elsewhere(signed, queued):
    """401 where tokens are wanted, too."""
    assert [signed(b"{}", kind).status_code for kind in ("off", "required")] == [401, 401]
    assert queued() == []


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 401),
        ({"webhook-timestamp": "1"}, 401),
        ({"webhook-id": ""}, 401),
        ({"Content-Length": str(MAX_BODY + 1)}, 413),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_a_wrong_signature_learns_of_no_source(signed, changed, status, access):
    """Open for whoever signs, open for tokens, or not there: the same answer."""
    signed(b"{}", "enough")
    given = {
        "webhook-id": ID,
        "webhook-timestamp": str(int(time.time())),
        "webhook-signature": "v1",
    }

    answers = [
        Client().post(url, b"{}", content_type="application/json", headers=given | changed)
        for url in (URL, URL.replace("demo", "nobody"))
    ]

    assert [answer.status_code for answer in answers] == [status, status]
    assert answers[0].content == answers[1].content


def test_both_are_needed_where_the_source_says_so(signed, token, push, queued):
    """A token that leaked is worth nothing without the secret."""
    bearer = f"Bearer {token}"
    wrong = signed(b"{}", "required", signs=b"x", Authorization=bearer)

    unsigned = push(b"{}")
    right = signed(b"{}", "required", Authorization=bearer)

    assert (wrong.status_code, unsigned.status_code, right.status_code) == (401, 401, 202)
    assert queued() == [b"{}"]


def test_a_signed_request_that_is_sent_again_counts_once(signed, queued):
    """Its webhook-id is its key: nobody can replay it, with another key neither."""
    first = signed(b"{}", "enough")
    again = signed(b"{}", "enough", Idempotency_Key="another")

    assert (first.status_code, again.status_code) == (202, 202)
    assert again["Idempotent-Replayed"] == "true"
    assert queued() == [b"{}"]


def test_a_secret_that_cannot_be_read_is_503(signed, queued, monkeypatch, caplog):
    """For the owners to mend: its reference stands in the log, not in the answer."""
    real = signature.read_secrets

    monkeypatch.setattr(
        signature, "read_secrets", lambda _references: real(["env:PUSH_SECRET_GONE"])
    )
    answer = signed(b"{}", "enough")

    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert "PUSH_SECRET_GONE" not in answer.content.decode()
    assert "PUSH_SECRET_GONE" in caplog.text
    assert queued() == []
