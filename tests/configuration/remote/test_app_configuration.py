"""Azure App Configuration by Azure's own client, against a store that checks its signatures."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from configuration.models import (
    CompatibilityGate,
    ConfigurationVersion,
    RemoteDocument,
    RemoteState,
)
from configuration.remote.app_configuration import AppConfiguration as Store
from configuration.remote.app_configuration import endpoint_of
from configuration.remote.found import Unreachable
from payflow.lib import vault
from payflow.lib.env import BadEnvironment
from tests.azure_servers import (
    SECRET,
    AppConfiguration,
    AppConfigurationHandler,
    azure,
    serve,
)
from tests.configuration.remote.conftest import due, follower

pytestmark = pytest.mark.django_db

Versions = ConfigurationVersion.objects
Look = Callable[[], bool]
Schema = Callable[..., str]
KEY = "schemas:acme:v1"
ROOT = Path(__file__).resolve().parents[3]


def packed(data: bytes) -> str:
    """As `gzip | base64` writes it."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def states() -> list[str]:
    return list(Versions.filter(name="acme").order_by("number").values_list("status", flat=True))


def problem(key: str) -> str:
    (found,) = RemoteDocument.objects.get(key=key).problems
    return str(found["message"])


# --- reading -------------------------------------------------------------------------------------


def test_a_setting_goes_live_as_it_was_written(store: AppConfiguration, look: Look, schema: Schema):
    """YAML with comments comes through whole; each request was signed."""
    store.put(KEY, schema())

    look()

    version = Versions.get(name="acme")
    assert (version.status, version.text) == ("active", schema())
    assert version.origin == f"App Configuration localhost:{store.port}"
    assert set(store.statuses()) == {200}


def test_json_is_taken_as_text_too(store: AppConfiguration, look: Look, schema: Schema):
    """A JSON content type changes nothing: the text is kept, not what the client makes of it."""
    text = json.dumps(yaml.safe_load(schema()))
    store.put(KEY, text, content_type="application/json")

    look()

    assert Versions.get(name="acme").text == text
    assert states() == ["active"]


def test_a_change_is_live_after_the_next_look(store: AppConfiguration, look: Look, schema: Schema):
    """No sentinel key is needed: the page's ETag tells."""
    store.put(KEY, schema())
    look()
    store.put(KEY, schema("two"))

    look()

    assert states() == ["retired", "active"]


def test_a_look_at_what_did_not_change_is_three_short_answers(
    store: AppConfiguration, look: Look, schema: Schema
):
    """One 304 for each key pattern."""
    store.put(KEY, schema())
    look()
    store.asked.clear()

    look()

    assert store.statuses() == [304, 304, 304]


def test_the_keys_of_the_rule_sets_are_their_default_ones(store: AppConfiguration, look: Look):
    """metrics:definitions and compliance:rules are the sets `default`; others go by their name."""
    for key in ("metrics:definitions:v1", "compliance:rules:v1", "metrics:night:v1"):
        store.put(key, "x: [")

    look()

    found = Versions.order_by("kind", "name").values_list("kind", "name", "status")
    assert list(found) == [
        ("compliance", "default", "draft"),
        ("metrics", "default", "draft"),
        ("metrics", "night", "draft"),
    ]


def test_the_highest_number_of_a_key_counts(store: AppConfiguration, look: Look, schema: Schema):
    """v10 is after v9; the others say that they are not used."""
    for number in (9, 10):
        store.put(f"schemas:acme:v{number}", schema(f"number {number}"))

    look()

    assert Versions.get(name="acme").document["description"] == "number 10"
    assert problem("schemas:acme:v9") == "not used: schemas:acme:v10 gives acme too"


def test_only_the_label_that_is_set_is_read(
    store: AppConfiguration, look: Look, schema: Schema, settings: Any
):
    """Production takes nothing from staging, nor from what has no label."""
    settings.PAYFLOW = settings.PAYFLOW | {"APPCONFIG_LABEL": "production"}
    store.put(KEY, schema("none"))
    store.put(KEY, schema("staging"), label="staging")
    store.put(KEY, schema("production"), label="production")

    look()

    assert Versions.get(name="acme").document["description"] == "production"
    assert RemoteDocument.objects.get().key == "schemas:acme:v1 (production)"


def test_more_keys_than_a_page_are_read(store: AppConfiguration, look: Look, schema: Schema):
    """A change on the second page is found."""
    store.page_size = 2
    for number in range(5):
        store.put(f"schemas:acme{number}:v1", schema(name=f"acme{number}"))
    look()
    CompatibilityGate.objects.create(schema_name="acme4", mode="none")
    store.put("schemas:acme4:v1", schema("changed", name="acme4"))

    look()

    assert Versions.filter(status="active").count() == 5
    assert Versions.get(name="acme4", number=2).status == "active"


def test_a_directory_counts_more_than_the_store(
    store: AppConfiguration,
    look: Look,
    schema: Schema,
    write: Callable[[str, str], Any],
):
    """A document in both is taken from the directory, and the store's says so."""
    write("acme.yaml", schema("directory"))
    follower("directory").follow()
    store.put(KEY, schema("store"))

    look()

    assert Versions.get(name="acme").document["description"] == "directory"
    assert problem(KEY) == "not used: acme.yaml in the directory gives acme too"


# --- what is wrong -------------------------------------------------------------------------------


def test_a_bad_value_is_a_draft_and_never_live(store: AppConfiguration, look: Look, schema: Schema):
    """What was active stays; the draft says where it is wrong."""
    store.put(KEY, schema())
    look()
    store.put(KEY, schema().replace("rfc3339", "stardate"), content_type="application/json")

    look()

    assert states() == ["active", "draft"]
    draft = Versions.get(name="acme", number=2)
    assert draft.problems[0]["pointer"] == "/columns/occurred_at/format"


def test_a_document_has_to_have_the_name_of_its_key(
    store: AppConfiguration, look: Look, schema: Schema
):
    """schemas:acme:v1 cannot hold the schema `other`."""
    store.put(KEY, schema(name="other"))

    look()

    assert states() == ["draft"]
    assert "'acme'" in problem(KEY)


@pytest.mark.parametrize(
    "key", ["schemas:acme", "schemas:acme:1", "schemas::v1", "metrics:../x:v1"]
)
def test_a_key_that_is_none_is_said(store: AppConfiguration, look: Look, schema: Schema, key: str):
    """A mistyped key is shown instead of overlooked."""
    store.put(key, schema())

    look()

    assert not Versions.exists()
    assert "schemas:NAME:v1" in problem(key)


def test_a_document_in_a_vault_is_refused(store: AppConfiguration, look: Look):
    """Else a secret would be written into the versions; other documents are not held up."""
    store.put(
        "schemas:secret:v1",
        '{"uri": "https://vault.azure.net/secrets/x"}',
        content_type="application/vnd.microsoft.appconfig.keyvaultref+json;charset=utf-8",
    )

    look()

    assert "refers to Key Vault" in problem("schemas:secret:v1")
    assert not Versions.exists()


def test_a_large_document_is_read_packed(store: AppConfiguration, look: Look):
    """The shipped metric rules, 26 KB of YAML, fit into a setting as gzip in base64."""
    text = (ROOT / "metrics/rule_sets/default.yaml").read_text(encoding="utf-8")
    store.put("metrics:definitions:v1", packed(text.encode()))

    look()

    version = Versions.get(kind="metrics", name="default")
    assert (version.status, version.text) == ("active", text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (packed(b"x" * 2**21), "larger than"),
        (packed(b"name: acme")[:-9], "no gzip"),
        ("H4sIAAAA", "no gzip"),
        ("H4sI, not base64", "no gzip"),
        (packed(b"\xff"), "no UTF-8"),
    ],
)
def test_what_cannot_be_unpacked_is_said(store: AppConfiguration, look: Look, data: str, text: str):
    """Nor is more unpacked than a document may have: 2 MB of one letter take 2 KB."""
    store.put(KEY, data)

    look()

    assert not Versions.exists()
    assert text in problem(KEY)


@pytest.mark.parametrize("value", ["", "\ud800", "a\0b", "null", "[]"])
def test_odd_values_are_refused(store: AppConfiguration, look: Look, value: str):
    """Nothing that PostgreSQL cannot hold gets as far as a row."""
    store.put(KEY, value)

    look()

    assert states() in ([], ["draft"])
    assert problem(KEY)


# --- outages -------------------------------------------------------------------------------------


def test_an_outage_leaves_the_last_good(
    store: AppConfiguration, look: Look, schema: Schema, caplog: pytest.LogCaptureFixture
):
    """Nothing changes, one warning; the change made meanwhile is live when it answers again."""
    store.put(KEY, schema())
    look()
    store.fault = 503
    store.put(KEY, schema("two"))

    look()
    look()

    state = RemoteState.objects.get(origin="app_configuration")
    assert state.error == f"App Configuration localhost:{store.port} answers with HTTP 503"
    assert states() == ["active"]
    assert [r.levelname for r in caplog.records if r.name.startswith("configuration")] == [
        "WARNING"
    ]
    store.fault = 0
    look()
    state.refresh_from_db()
    assert (state.error, states()) == ("", ["retired", "active"])


def test_a_store_that_goes_away_is_noted_and_found_again(schema: Schema):
    """A connection that breaks is an outage; the next look after it finds what changed."""
    state = AppConfiguration()
    state.put(KEY, schema())
    with serve(AppConfigurationHandler, state):
        origin = Store(state.connection_string)
        origin.read()
    state.put(KEY, schema("two"))
    due(origin)

    with pytest.raises(Unreachable, match="does not answer"):
        origin.read()

    with serve(AppConfigurationHandler, state):
        due(origin)
        assert [found.text for found in origin.read()] == [schema("two")]


def test_a_store_that_is_away_from_the_start_is_found_later(schema: Schema, db: None):
    """A worker that starts without the store waits for it; nothing listens there at first."""
    state = AppConfiguration()
    with serve(AppConfigurationHandler, state):
        pass
    origin = Store(state.connection_string)
    began = time.monotonic()

    with pytest.raises(Unreachable, match="does not answer"):
        origin.read()

    assert time.monotonic() - began < 8
    with serve(AppConfigurationHandler, state):
        state.put(KEY, schema())
        assert [found.name for found in origin.read()] == ["acme"]


def test_a_wrong_secret_is_said_without_it(
    store: AppConfiguration, monkeypatch: pytest.MonkeyPatch
):
    """HTTP 401 names the store, not the key."""
    # the client holds a start that failed back for five seconds
    monkeypatch.setattr("azure.appconfiguration.provider._load.delay_failure", lambda _: None)
    wrong = store.connection_string.replace(SECRET, "d3Jvbmc=")

    with pytest.raises(
        Unreachable, match=r"does not accept the key or identity \(HTTP 401\)"
    ) as exc:
        Store(wrong).read()

    assert "d3Jvbmc" not in str(exc.value)


def test_an_identity_needs_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: Schema
):
    """https://NAME.azconfig.io is read with a token of the machine's identity, over TLS."""
    vault.azure_credential.cache_clear()
    with (
        azure(tmp_path, monkeypatch) as tls,
        serve(AppConfigurationHandler, AppConfiguration(), tls) as state,
    ):
        state.put(KEY, schema())

        found = Store(f"https://localhost:{state.port}").read()

    vault.azure_credential.cache_clear()
    assert [item.text for item in found] == [schema()]


# --- the address ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "acme",
        "http://acme.azconfig.io",
        "Endpoint=https://acme.azconfig.io",
        "Id=a;Secret=b;Endpoint=https://acme.azconfig.io",
        "Endpoint=;Id=a;Secret=b",
        "https://",
        "https://user:password@acme.azconfig.io",
        "https://[",
    ],
)
def test_an_address_that_is_none_is_refused(address: str):
    """The variable is named, its value is not repeated."""
    with pytest.raises(BadEnvironment, match="PAYFLOW_APPCONFIG") as exc:
        endpoint_of(address)

    assert "password" not in str(exc.value)


def test_the_host_of_an_address():
    """Of either form; a secret may hold an equals sign."""
    assert endpoint_of("https://acme.azconfig.io") == "acme.azconfig.io"
    text = "Endpoint=https://acme.azconfig.io;Id=x;Secret=aGk="
    assert endpoint_of(text) == "acme.azconfig.io"


def test_a_key_that_is_too_long_keeps_no_other_from_being_taken(
    store: AppConfiguration, look: Look, schema: Schema
):
    """Keys of that store may have thousands of characters."""
    for end in ("b", "c"):
        store.put(f"compliance:{'a' * 400}{end}", "x")
    store.put(KEY, schema())

    look()

    odd = RemoteDocument.objects.exclude(key=KEY)
    assert [len(row.key) for row in odd] == [256, 256]
    assert states() == ["active"]
