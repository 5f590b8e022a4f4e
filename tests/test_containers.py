"""docker-compose.yml and Dockerfile, as text: neither is built or started here."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.compose import ROOT, SERVICES

DOCKERFILE = (ROOT / "Dockerfile").read_text()
#: ends when its work is done
ENDS = {"prepare"}
#: its image holds the program and no shell: nothing could look from inside
UNWATCHED = {"eventhubs"}
OURS = {"prepare", "web", "ingest", "tasks", "simulator"}


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("vendor.compose-spec", "docker-compose.yml"),
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
    ],
)
def test_files_keep_to_their_schema(schema, path):
    """Compose and GitHub would refuse a key that does not exist; here it is this test."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_services_are_those_of_an_installation():
    """payflow's processes and their servers; brokers to try it with start only when asked for."""
    asked_for = {name: s["profiles"] for name, s in SERVICES.items() if "profiles" in s}

    assert set(SERVICES) == OURS | {"postgres", "broker", "streams", *asked_for}
    assert asked_for == {
        "azurite": ["azure", "eventhubs"],
        "eventhubs": ["eventhubs"],
        "kafka": ["kafka"],
    }


def test_one_service_carries_beat():
    """Two beats would send everything twice."""
    assert [name for name in OURS if "-B" in SERVICES[name].get("command", ())] == ["tasks"]


def test_ports_are_published_on_loopback_only():
    """No port of the compose file is open to the network."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_file_holds_no_secret():
    """Every secret is a required variable of the environment, or generated when it is empty."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|_KEY|AUTH|_URL|TOKEN", name):
                assert re.search(r"\$\{[A-Z_]+:\?", value) or value == f"${{{name}:-}}", name


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ENDS - UNWATCHED))
def test_it_is_known_who_is_well(name):
    """Every service that goes on has a health check with a time limit."""
    check = SERVICES[name]["healthcheck"]

    assert check["test"]
    assert check["timeout"]
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_nothing_starts_before_what_it_needs():
    """Servers healthy, database prepared."""
    for name in OURS - ENDS:
        needs = {need: how["condition"] for need, how in SERVICES[name]["depends_on"].items()}
        assert needs == {
            "prepare": "service_completed_successfully",
            "postgres": "service_healthy",
            "broker": "service_healthy",
            "streams": "service_healthy",
        }


def test_streams_lose_nothing():
    """The streams' Valkey syncs every write and evicts nothing; it is not the broker's."""
    command = " ".join(SERVICES["streams"]["command"])

    assert "--appendonly yes" in command
    assert "--appendfsync always" in command
    assert "--maxmemory-policy noeviction" in command


def test_files_that_are_mounted_exist():
    """Docker would make a directory of a path that is not there."""
    mounted = [
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]

    assert mounted
    assert [path for path in mounted if not (ROOT / path).is_file()] == []


def test_images_name_their_version():
    """Nobody gets another server than was tried, just because the day is another."""
    images = [s["image"] for name, s in SERVICES.items() if name not in OURS]
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert len(images) == 6
    assert len(bases) == 2
    for image in images:
        assert re.search(r":\d+\.\d+(\.\d+)?$", image), image
    assert set(bases) == {"python:3.11-slim-bookworm"}


def test_the_image_does_not_run_as_root():
    """By number, so that Kubernetes can tell; and no container of ours may become root."""
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)

    assert users == ["10001"]
    assert "--uid 10001 " in DOCKERFILE
    for name in OURS:
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in SERVICES[name]
        assert "privileged" not in SERVICES[name]


def test_the_image_holds_what_runs_and_no_more():
    """Tools for building stay in the first stage; secrets and state never get in."""
    build, _, final = DOCKERFILE.rpartition("\nFROM ")
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert "pip install" in build
    assert "pip install" not in final
    assert "COPY --from=build " in final
    assert {".env", ".git", ".venv", "var"} <= set(ignored)
