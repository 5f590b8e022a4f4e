"""Rule sets pushed into a blob container by Azure's own client.

The account checks SharedKey. With PAYFLOW_AZURITE, a connection string, the same is tried against
Azurite.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from io import StringIO
from uuid import uuid4

import pytest
from azure.storage.blob import ContainerClient
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from configuration.models import AuditEntry, ConfigurationVersion
from configuration.remote.push import NotPushed, PushedBefore, push_rules
from payflow.lib.env import BadEnvironment
from tests.azure_servers import BlobHandler, BlobStorage, serve

pytestmark = pytest.mark.django_db

ADDRESSES = ["here", *(["azurite"] if "PAYFLOW_AZURITE" in os.environ else [])]


@pytest.fixture(params=ADDRESSES)
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A storage account that is set."""
    with serve(BlobHandler, BlobStorage()) as state:
        found = state.connection_string
        if request.param == "azurite":
            found = os.environ["PAYFLOW_AZURITE"]
        monkeypatch.setenv("PAYFLOW_RULES_STORAGE", found)
        yield found


@pytest.fixture
def container(address: str) -> Iterator[ContainerClient]:
    """A container that is not there yet."""
    name = f"rules-{uuid4().hex[:12]}"
    with ContainerClient.from_connection_string(address, name) as client:
        yield client


def version(
    kind: str = "compliance", name: str = "default", **values: object
) -> ConfigurationVersion:
    given = {
        "activated_at": timezone.now(),
        "number": 3,
        "status": "active",
        "checksum": "c3",
        "document": {"name": "ü"},
        **values,
    }
    return ConfigurationVersion.objects.create(kind=kind, name=name, **given)


def content(client: ContainerClient, path: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(client.download_blob(path).readall())
    return found


def test_active_rule_sets_are_written_by_version(container: ContainerClient):
    """Both kinds of rules, not schemas and not drafts; the container is made."""
    version()
    version("metrics", number=12)
    version("schema", "acme")
    version("compliance", "next", status="draft")

    pushed = push_rules(container=container.container_name)

    assert [(item.path, item.status) for item in pushed] == [
        ("compliance/default/v000003.json", "written"),
        ("metrics/default/v000012.json", "written"),
    ]
    found = content(container, "compliance/default/v000003.json")
    assert (found["version"], found["checksum"], found["document"]) == (3, "c3", {"name": "ü"})
    assert content(container, "compliance/default/active.json") == found
    assert AuditEntry.objects.filter(action="pushed").count() == 2


def test_pushing_again_writes_nothing_again(container: ContainerClient):
    """The version stands there already; that is said."""
    version()
    push_rules(container=container.container_name)

    (pushed,) = push_rules(container=container.container_name)

    assert pushed.status == "there"
    assert AuditEntry.objects.filter(action="pushed").count() == 1


def test_a_new_version_stands_beside_the_old_one(container: ContainerClient):
    """active.json follows, the old version stays."""
    old = version()
    push_rules(container=container.container_name)
    ConfigurationVersion.objects.filter(pk=old.pk).update(status="retired")
    version(number=4, checksum="c4")

    push_rules(["default"], kinds=["compliance"], container=container.container_name)

    assert content(container, "compliance/default/v000003.json")["checksum"] == "c3"
    assert content(container, "compliance/default/active.json")["version"] == 4


def test_another_document_is_not_overwritten(container: ContainerClient):
    """Two installations with one container do not mix their histories."""
    container.create_container()
    path = "compliance/default/v000003.json"
    container.upload_blob(path, b"theirs", metadata={"checksum": "other"})
    version()

    with pytest.raises(PushedBefore, match=r"v000003\.json is another document"):
        push_rules(container=container.container_name)

    assert container.download_blob(path).readall() == b"theirs"
    assert not container.get_blob_client("compliance/default/active.json").exists()


def test_the_command_says_what_it_wrote(container: ContainerClient):
    """A line for each; a name that no active rule set has is an error."""
    version()
    out = StringIO()
    where = ["--container", container.container_name]

    call_command("configure", "push", *where, stdout=out)
    call_command("configure", "push", "default", *where, stdout=out)

    assert out.getvalue().splitlines() == [
        "Compliance rule set default v3: compliance/default/v000003.json written",
        "Compliance rule set default v3: compliance/default/v000003.json there",
    ]
    with pytest.raises(CommandError, match="no active rule set"):
        call_command("configure", "push", "nothing", *where)
    with pytest.raises(CommandError, match="InvalidResourceName"):
        call_command("configure", "push", "--container", "No Name!")


def test_a_wrong_key_is_said_without_it(address: str, monkeypatch: pytest.MonkeyPatch):
    """The account's own code, and not the key."""
    version()
    parts = address.split("AccountKey=")
    wrong = f"{parts[0]}AccountKey=d3Jvbmc=;{parts[1].partition(';')[2]}"
    monkeypatch.setenv("PAYFLOW_RULES_STORAGE", wrong)

    with pytest.raises(NotPushed, match=r"Authenti|Authori") as exc:
        push_rules()

    assert "d3Jvbmc" not in str(exc.value)


@pytest.mark.parametrize("text", ["nonsense", "AccountName=a;AccountKey=b;x", "http://account"])
def test_an_address_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch):
    """The variable is named."""
    monkeypatch.setenv("PAYFLOW_RULES_STORAGE", text)

    with pytest.raises(BadEnvironment, match="PAYFLOW_RULES_STORAGE"):
        push_rules()


def test_no_address_is_said(monkeypatch: pytest.MonkeyPatch):
    """Nothing is pushed by default."""
    monkeypatch.delenv("PAYFLOW_RULES_STORAGE", raising=False)

    with pytest.raises(BadEnvironment, match="PAYFLOW_RULES_STORAGE is not set"):
        push_rules()


def test_storage_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch):
    """An error that may pass, not a trace."""
    version()
    with serve(BlobHandler, BlobStorage()) as state:
        address = state.connection_string
    monkeypatch.setenv("PAYFLOW_RULES_STORAGE", address)
    monkeypatch.setattr("configuration.remote.push._TIMEOUTS", {"retry_total": 0})

    with pytest.raises(NotPushed, match="ServiceRequestError"):
        push_rules()
