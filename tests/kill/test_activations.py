"""The configuration changes all the time while events flow: each batch holds one bundle alone."""

from __future__ import annotations

import json
import os
import threading

import pytest

from tests.kill.live import seconds_to_live
from tests.kill.traffic import make
from tests.kill.world import World

pytestmark = [pytest.mark.kill, pytest.mark.timeout(600)]

#: four to each kill of the other tests: 100 in the long form
ACTIVATIONS = 4 * int(os.environ.get("PAYFLOW_KILLS", "5"))
#: events of a batch that carry another mark than the bundle of the batch says
_MIXED = """
SELECT count(*) FROM normalized_transactions t
JOIN batches b ON b.id = t.batch
JOIN configuration_bundles c ON c.id = b.bundle_id
WHERE t.merchant_category IS DISTINCT FROM coalesce(
    c.content #>> '{routes,0,schema,document,columns,merchant_category,constant}', '')
"""


def test_activations_while_events_flow_mix_no_batch_and_let_nothing_wrong_live(
    payflow_world: World,
) -> None:
    """2,000 events a second on two workers; every tenth version is wrong. Afterwards every event
    carries the mark of its batch's bundle, and verify agrees across all versions."""
    messages, expected = make(max(8_000, 600 * ACTIVATIONS), seed=ACTIVATIONS)
    for _ in range(2):
        payflow_world.start_drain()
    payflow_world.publish(messages[:1000])
    payflow_world.wait_for(1000)
    publisher = threading.Thread(
        target=payflow_world.publish, args=(messages[1000:],), kwargs={"per_second": 2_000}
    )
    publisher.start()
    out = payflow_world.services.state_dir / "activations.json"
    activator = payflow_world.start(
        "-m", "tests.kill.activator", "--count", str(ACTIVATIONS), "--every", "0.3",
        "--out", str(out),
    )  # fmt: skip
    activator.wait(300)
    publisher.join()
    payflow_world.wait_for(expected.messages, seconds=120)

    assert activator.returncode == 0, payflow_world.state()
    said = json.loads(out.read_text())
    assert len(said["live"]) == ACTIVATIONS - ACTIVATIONS // 10
    assert len(said["refused"]) == ACTIVATIONS // 10
    assert payflow_world.sql(_MIXED) == [(0,)]
    used = payflow_world.sql("SELECT count(DISTINCT bundle_id) FROM batches")[0][0]
    assert used > ACTIVATIONS // 3
    assert payflow_world.sql(
        "SELECT count(*) FROM configuration_activations WHERE version_id = ANY(%s)", said["refused"]
    ) == [(0,)]
    assert payflow_world.sql(
        "SELECT DISTINCT status FROM configuration_versions WHERE id = ANY(%s)", said["refused"]
    ) == [("draft",)]
    live = seconds_to_live(payflow_world, said["live"])
    assert len(live) == len(said["live"])
    assert max(live) < 5
    payflow_world.assert_exactly_once(expected)
    payflow_world.assert_verified()
