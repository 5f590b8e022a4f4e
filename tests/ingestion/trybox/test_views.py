"""The page: what it is asked, what it answers, whom it lets in."""

from __future__ import annotations

import html
import json
import logging
import re
from typing import Any

import yaml

from configuration.activation import activate
from configuration.models import ConfigurationVersion, Source
from configuration.versions import create_draft, import_document, save_draft
from deadletter.models import FailedItem
from ingestion.models import Batch
from ingestion.parsing import MAX_MESSAGE
from metrics.models import NormalizedTransaction
from tests.ingestion.trybox.conftest import VIEW, draft_of
from tests.pages import text_of

BYTES = ("ingestion.view_archivefile", "metrics.view_normalizedtransaction")
NOTHING_WRITTEN = (Batch, FailedItem, NormalizedTransaction)

EXPLODED = {
    "name": "transaction",
    "explode": "report.entries[]",
    "identity": ["transaction_id"],
    "columns": {
        "transaction_id": {"path": "report.entries.id"},
        "occurred_at": {"path": "report.at", "format": "rfc3339"},
        "amount": {"path": "report.entries.cents", "unit": "minor"},
        "currency": {"path": "report.currency"},
        "payment_status": {"constant": "completed"},
        "channel": {"path": "header:event-channel", "default": "api"},
    },
}


def verdicts(answer: Any) -> Any:
    """The verdict on each side."""
    return re.findall(r'<p class="pf-try-verdict">.*?</span>(\w[\w ]*)</span>', answer["html"])


def marked(text: str, answer: Any) -> Any:
    return [text[start:end] for start, end in answer["marks"]]


def value_of(page: str, name: str) -> str | None:
    """What a field of the form holds."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    return html.unescape(found[1]) if found else None


def text_area(page: str) -> str:
    found = re.search(r"<textarea id=\"try-event\"[^>]*>\n(.*?)</textarea>", page, re.S)
    assert found
    return html.unescape(found[1])


def test_an_event_is_accepted_with_all_that_rules_give(ask, event):
    """Verdict, mapping with the place of each value, metrics and findings."""
    answer = ask(json.dumps(event(1, amount=61000.5)))

    text = text_of(answer["html"])
    assert "Accepted by transaction v1" in text
    assert "amount 61,000.5 amount" in text
    assert "payment_method unknown the default: nothing is there" in text
    assert "correlation_id demo/try/0 its coordinates" in text
    assert "aml_large_amount" in text
    assert "high_value counter 1" in text
    assert answer["marks"] == []


def test_every_error_is_said_and_marked_where_it_stands(ask, event):
    """A missing field has no place; what could be mapped is shown."""
    wrong = event(1, amount="abc", status="nope")
    del wrong["customer_id"]
    text = json.dumps(wrong, indent=2)

    answer = ask(text)

    assert verdicts(answer) == ["Failed"]
    assert marked(text, answer) == ['"abc"', '"nope"']
    said = text_of(answer["html"])
    assert "transaction_id tx-1 transaction_id" in said
    assert "expected a decimal number, found 3 characters amount" in said


PASTED = [
    ('{"a": 1,}', "}", "invalid_json"),
    ("[1, 2]", None, "not_an_object"),
    ('{"amount": 1, "amount": 2}', None, "duplicate_key"),
    ("\ufeff{}", None, "bom"),
    ("[" * 400, None, "too_deep"),
    ('{"amount": NaN}', None, "non_finite"),
    ("\0", "\0", "invalid_json"),
    ("</textarea><script>alert(1)</script>", "<", "invalid_json"),
]


def test_whatever_is_pasted_gets_its_reason(ask):
    """Bytes that cannot be read are a verdict, never an error of the page."""
    for text, mark, said in PASTED:
        answer = ask(text)

        assert said in text_of(answer["html"])
        assert "<script>" not in answer["html"]
        if mark:
            assert marked(text, answer)[0].startswith(mark)


def test_a_draft_is_held_against_what_is_active(ask, event):
    """Both verdicts, the columns that get another value, and nothing of it is live."""

    def change(document):
        document["columns"]["merchant_id"] = {"first": ["shop.id", "merchant_id"]}
        document["json_schema"].setdefault("required", []).append("terminal")

    draft = draft_of("schema", "transaction", change)
    text = json.dumps(event(1, shop={"id": "S-7"}, terminal="T"))

    passes, fails = ask(text, version=draft.pk), ask(json.dumps(event(1)), version=draft.pk)

    assert verdicts(passes) == ["Accepted", "Accepted"]
    assert "merchant_id edit differs M-1 merchant_id S-7 shop.id" in text_of(passes["html"])
    assert verdicts(fails) == ["Accepted", "Failed"]
    assert "terminal: expected a value, found nothing required" in text_of(fails["html"])
    assert " amount edit differs" not in text_of(fails["html"])


def test_a_draft_of_rules_shows_what_they_would_give(ask, event):
    """A rule that only the draft has, first among the rows."""

    def change(document):
        document["metrics"].append(
            {"name": "web_volume", "description": "Over the web.", "type": "COUNTER"}
        )

    draft = draft_of("metrics", "default", change)

    answer = ask(json.dumps(event(1)), version=draft.pk)

    text = text_of(answer["html"]).partition("Metrics what each rule gives")[2]
    assert "web_volume edit differs counter \N{EN DASH} 1" in text


def test_a_saved_draft_is_looked_at_as_it_is_now(ask, event):
    """Compiled drafts are kept by their text."""
    draft = draft_of("schema", "transaction", lambda document: None)
    before = ask(json.dumps(event(1)), version=draft.pk)
    document = {**draft.document, "columns": {**draft.document["columns"]}}
    document["columns"]["channel"] = {"constant": "pos"}
    save_draft(draft, yaml.safe_dump(document), by=None)

    after = ask(json.dumps(event(1)), version=draft.pk)

    assert "a constant of the mapping" not in before["html"]
    assert "pos a constant of the mapping" in text_of(after["html"])


def test_a_wrong_draft_says_what_is_wrong_beside_the_active_side(ask, event):
    """With the pointer to each problem."""
    wrong = create_draft(kind="metrics", name="default", text="name: default\nmetrics: 7\n")

    answer = ask(json.dumps(event(1)), version=wrong.pk)

    assert verdicts(answer) == ["Accepted", "Cannot be used"]
    assert '<span class="pf-mono">/metrics</span>: ' in answer["html"]


def test_parts_have_their_own_verdicts_places_and_headers(ask, demo):
    """One message, three events: the one that is looked at is marked within the array."""
    version = import_document(kind="schema", name="transaction", document=EXPLODED)
    activate(version, override_reason="Reports now.")
    entries = [{"id": "a", "cents": 1050}, {"id": "b", "cents": "x"}, {"id": "c", "cents": 7}]
    report = {"at": "2026-03-02T10:00:00Z", "currency": "EUR", "entries": entries}
    text = json.dumps({"report": report})

    first = ask(text, headers='{"event-channel": "pos"}')
    second = ask(text, part="1")
    last = ask(text, part="99")

    assert "3 parts, part 0 is looked at" in text_of(first["html"])
    assert "amount 10.5 report.entries.cents" in text_of(first["html"])
    assert "channel pos header:event-channel" in text_of(first["html"])
    assert (verdicts(second), marked(text, second)) == (["Failed"], ['"x"'])
    assert "transaction_id c report.entries.id" in text_of(last["html"])
    assert [first["html"].count(icon) for icon in ("check_circle", "data-try-part")] == [3, 3]


def test_card_numbers_are_masked_before_anything_looks(ask, event, caplog):
    """What is shown is what would be kept; nothing of the event is logged."""
    caplog.set_level(logging.DEBUG)

    answer = ask(json.dumps(event(1, card_number="4111111111111111", cvv="123")))

    text = text_of(answer["html"])
    assert "411111******1111" in text
    assert "masked: security code, card number" in text
    assert "4111111111111111" not in answer["html"] + caplog.text


def test_nothing_is_written(ask, event):
    """However often somebody looks."""
    ask(json.dumps(event(1)))
    ask(json.dumps(event(1, amount="abc")))

    assert not any(model.objects.exists() for model in NOTHING_WRITTEN)


def test_what_is_too_large_is_refused_with_its_size(staff, demo):
    """An event above 1 MiB is no event; the page says so with its status."""
    response = staff(VIEW).post(
        "/try/look/", {"event": "x" * (MAX_MESSAGE + 1), "source": str(demo.pk)}
    )

    assert response.status_code == 413
    assert "1,048,577 bytes" in response.json()["html"]


def test_an_event_of_the_greatest_size_is_looked_at(ask, event):
    """Up to the last byte that ingestion takes."""
    filler = MAX_MESSAGE - len(json.dumps(event(1, amount="abc", note="")))
    text = json.dumps(event(1, amount="abc", note="n" * filler))

    answer = ask(text)

    assert len(text) == MAX_MESSAGE
    assert marked(text, answer) == ['"abc"']


def test_a_picked_transaction_comes_with_its_coordinates(staff, ingest, event):
    """Bytes, broker time, offset and source, so that its verdict is the one it had."""
    ingest([event(1), event(2)])
    row = NormalizedTransaction.objects.get(transaction_id="tx-2")
    client = staff(VIEW, *BYTES)

    page = client.get(f"/try/?transaction={row.pk}").content.decode()

    assert json.loads(text_area(page)) == event(2)
    assert value_of(page, "offset") == "1"
    assert "transaction tx-2, as it arrived" in text_of(page)
    assert "Accepted by transaction v1" in text_of(page)


def test_a_failed_item_and_an_archive_row_are_picked_too(staff, ingest, event):
    """From their pages, which lead here."""
    ingest([event(1), event(2, amount="abc")])
    item, batch = FailedItem.objects.get(), Batch.objects.get()
    client = staff(VIEW, *BYTES, "deadletter.view_faileditem")

    failed = client.get(f"/try/?failed_item={item.pk}").content.decode()
    row = client.get(f"/try/?row=1&batch={batch.pk}").content.decode()
    newest = client.get(f"/try/?newest={batch.partition.source_id}").content.decode()
    its_page = client.get(f"/deadletter/faileditem/{item.pk}/change/").content.decode()

    assert text_area(failed) == text_area(row) == json.dumps(event(2, amount="abc"))
    assert json.loads(text_area(newest)) == event(1)
    assert f"/try/?failed_item={item.pk}" in its_page


def test_bytes_that_are_no_text_are_judged_as_they_are(staff, ingest):
    """What is shown of them is not what arrived, so the page judges the bytes."""
    ingest([b'{"a": "\xff"}'])
    item = FailedItem.objects.get()
    client = staff(VIEW, *BYTES, "deadletter.view_faileditem")

    page = client.get(f"/try/?failed_item={item.pk}").content.decode()

    assert "invalid_utf8" in text_of(page)


NOT_THERE = [
    ("transaction=77", "There is no transaction event 77"),
    ("failed_item=77", "There is no failed item 77"),
    ("row=0&batch=77", "Its batch is gone"),
    ("row=0", "needs the number of its batch"),
    ("newest=1", "No event of this source was stored"),
    ("transaction=" + "9" * 5000, "Transaction is a number"),
    ("transaction=x%27", "Transaction is a number"),
    ("transaction=%D9%A1", "Transaction is a number"),
]


def test_what_cannot_be_picked_is_said(staff, demo):
    """And the page stands, ready for another event."""
    client = staff(VIEW, *BYTES, "deadletter.view_faileditem")

    for query, said in NOT_THERE:
        response = client.get(f"/try/?{query}")

        assert response.status_code == 400
        assert said in text_of(response.content.decode())
        assert text_area(response.content.decode()) == ""


def test_who_may_not_read_bytes_picks_none(staff, ingest, event):
    """The permission that the archive asks for."""
    ingest([event(1)])
    row = NormalizedTransaction.objects.get()

    response = staff(VIEW, "metrics.view_normalizedtransaction").get(f"/try/?transaction={row.pk}")

    assert response.status_code == 400
    assert "may not read the bytes" in text_of(response.content.decode())
    assert "tx-1" not in response.content.decode()


def test_the_page_wants_its_permission(staff, demo):
    """And a login, and POST with a token."""
    from django.test import Client

    nobody, stranger = staff(), Client()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(staff(VIEW).get("/try/").wsgi_request.user)

    assert nobody.get("/try/").status_code == 403
    assert nobody.post("/try/look/", {"event": "{}"}).status_code == 403
    assert stranger.post("/try/look/", {"event": "{}"}).status_code == 302
    assert strict.post("/try/look/", {"event": "{}"}).status_code == 403
    assert staff(VIEW).get("/try/look/").status_code == 405


def test_the_page_works_without_script(staff, demo, event):
    """A POST of the form gives the page with the answer, and the event still in it."""
    text = json.dumps(event(1))

    response = staff(VIEW).post("/try/", {"event": text, "source": demo.pk})

    page = response.content.decode()
    assert "Accepted by transaction v1" in text_of(page)
    assert text_area(page) == text
    assert "no-store" in response["Cache-Control"]


def test_a_version_chooses_a_source_that_uses_it(staff, demo):
    """The button on a version's page needs no more; one that fits nowhere is left out."""
    stripe = create_draft(
        kind="schema",
        name="stripe",
        text=yaml.safe_dump(
            ConfigurationVersion.objects.get(kind="schema", name="stripe").document
        ),
    )
    fits = draft_of("schema", "transaction", lambda document: None)
    client = staff(VIEW)

    chosen = client.get(f"/try/?version={fits.pk}").content.decode()
    left_out = client.get(f"/try/?version={stripe.pk}").content.decode()

    assert f'<option value="{fits.pk}" selected>' in chosen
    assert "stripe v2" not in left_out


def test_without_a_source_it_says_how_to_get_one(staff, demo):
    """Nothing is active, so nothing can be tried."""
    Source.objects.update(active_bundle=None)

    page = staff(VIEW).get("/try/").content.decode()

    assert "No source yet" in text_of(page)
