from __future__ import annotations

import json

import psycopg

from tests.payflow.management.running import fresh_state_dir, manage


def test_servers_are_started_shown_and_stopped():
    """`services start|status|stop` work on an empty machine; the servers outlive the command."""
    with fresh_state_dir() as state_dir:
        before = manage("services", "status", state_dir=state_dir)
        started = manage("services", "start", state_dir=state_dir)
        status = manage("services", "status", "--json", state_dir=state_dir)
        urls = json.loads((state_dir / "services.json").read_text())
        with psycopg.connect(urls["database_url"]) as db:
            row = db.execute("SELECT current_user, current_database()").fetchone()
        stopped = manage("services", "stop", state_dir=state_dir)

    assert (before.returncode, before.stdout.count("stopped")) == (1, 3)
    assert (started.returncode, started.stdout.count("running")) == (0, 3), started.stderr
    assert status.returncode == 0
    assert {name: s["healthy"] for name, s in json.loads(status.stdout).items()} == {
        "postgres": True,
        "broker": True,
        "streams": True,
    }
    assert row == ("payflow", "payflow")
    assert (stopped.returncode, stopped.stdout.count("stopped")) == (0, 3)


def test_bad_environment_is_one_line(tmp_path):
    """A wrong variable ends every command with one line that names it, not with a traceback."""
    done = manage("services", "status", state_dir=tmp_path, PAYFLOW_LEASE_S="soon")

    assert done.returncode == 1
    assert done.stderr == "PAYFLOW_LEASE_S must be a whole number.\n"
