"""Configuration files: checked with the place of every mistake, secrets by reference, watched."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from math import exp, sqrt
from pathlib import Path
from statistics import fmean, median

import pytest

from payflow.lib.errors import ConfigurationError
from simulator.config import Shape, SimulatorConfig
from simulator.config_file import WatchedFile, parse, scenarios
from simulator.generator import Generator

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def _variability(text: str) -> str:
    return f"simulator: {{transaction: {{variability: {{{text}}}}}}}"


def _compliance(text: str) -> str:
    return f"simulator: {{compliance: {{enabled: true, scenarios: {text}}}}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("simulator: {seeed: 1}", "/simulator/seeed: Extra inputs are not permitted"),
        ("simulator: {output: {batch_size: 0}}", "/simulator/output/batch_size: "),
        ("simulator: {output: {batch_size: 10001}}", "/simulator/output/batch_size: "),
        (
            "simulator: {output: {destination: kafka, topic: payments}}",
            "/simulator/output: destination kafka needs bootstrap_servers",
        ),
        (
            "simulator: {output: {destination: event_hub, connection_string: '${HUBS}'}}",
            "/simulator/output: destination event_hub needs hub",
        ),
        ("simulator: {output: {destination: rabbit}}", "/simulator/output/destination: "),
        ("simulator: {output: {destination: file}}", "destination file needs file_path"),
        (
            "simulator: {output: {connection_string: 'redis://:hunter2@h'}}",
            "/simulator/output/connection_string: may hold a password",
        ),
        (
            "simulator: {output: {file_path: '${PAYFLOW_NO_SUCH}/x'}}",
            "/simulator/output/file_path: PAYFLOW_NO_SUCH is not set",
        ),
        (
            "simulator: {transaction: {variability: {currencies: {USD: 0.5, EUR: 0.4}}}}",
            "/simulator/transaction/variability/currencies: the shares sum to 0.9, not to 1",
        ),
        (
            "simulator: {transaction: {variability: {payment_methods: {cheque: 1}}}}",
            "/simulator/transaction/variability/payment_methods: 'cheque' is not known",
        ),
        (
            _variability("temporal: {timezone_distribution: {Mars: 1}}"),
            "timezone_distribution: there is no time zone Mars",
        ),
        (
            "simulator: {transaction: {variability: {amounts: {distribution: normal}}}}",
            "/simulator/transaction/variability/amounts: distribution normal needs mean",
        ),
        (
            "simulator: {transaction: {incidents: [{processor: nobody}]}}",
            "incidents.0.processor is 'nobody', which is not among",
        ),
        (
            _variability(
                "payment_status: "
                "{completed: 0.1, failed: 0.1, pending: 0.8, cancelled: 0, refunded: 0}"
            ),
            "more payments settle as completed than payment_status has",
        ),
        (
            _compliance("{aml: {percentage: 0.5, patterns: {rapid_fire: {frequency: 1}}}}"),
            "scenarios.<name>.percentage of what is enabled sums to 0.5",
        ),
        (
            _compliance("{aml: {percentage: 1, patterns: {smurfing: {frequency: 1}}}}"),
            "scenarios.aml.patterns.smurfing is not known",
        ),
        (
            _compliance(
                "{kyc: {percentage: 1, patterns: {invalid_email: {frequency: 1, threshold: 5}}}}"
            ),
            "scenarios.kyc.patterns.invalid_email.threshold means nothing",
        ),
        ("simulator: [1", "not YAML"),
        ("output: {}", "one key, simulator"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, message: str):
    """The path of the field and the rule; never a secret."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text)

    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_all_mistakes_are_named_at_once():
    """Nobody mends a file one run at a time."""
    with pytest.raises(ConfigurationError) as caught:
        parse("simulator: {seeed: 1, output: {batch_size: 0, rate_limit: 0}}")

    assert len(caught.value.problems) == 3


def test_secrets_are_references(monkeypatch: pytest.MonkeyPatch):
    """A connection string stays one until somebody connects; other texts are filled in."""
    monkeypatch.setenv("SIM_URL", "redis://:hunter2@h")
    monkeypatch.setenv("SIM_DIR", "/data")

    config = parse(
        "simulator: {output: {connection_string: '${SIM_URL}', file_path: '${SIM_DIR}/x'}}"
    )

    assert config.output.connection_string == "env:SIM_URL"
    assert config.output.file_path == "/data/x"
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize("word", ["event_hub", "event_hubs"])
def test_event_hubs_have_two_spellings(word: str, monkeypatch: pytest.MonkeyPatch):
    """The destination's own, and that of a source's broker type."""
    monkeypatch.setenv("HUBS", "Endpoint=sb://hunter2")

    config = parse(
        f"simulator: {{output: {{destination: {word}, connection_string: '${{HUBS}}', hub: pay}}}}"
    )

    assert config.output.destination == "event_hub"
    assert config.output.is_broker
    assert "hunter2" not in repr(config)


def test_the_shipped_scenarios_are_five_and_valid():
    """The first one is what runs when nobody has said anything."""
    assert list(scenarios()) == [
        "normal-day",
        "processor-fails",
        "card-testing",
        "compliance-mix",
        "traffic-spike",
    ]
    assert all(config.title and config.description for config in scenarios().values())


def test_a_changed_file_counts_and_a_wrong_one_is_reported_once(tmp_path: Path):
    """The old content goes on until it is right again."""
    path = tmp_path / "sim.yaml"
    path.write_text("simulator: {seed: 1}")
    watched = WatchedFile(path)
    assert watched.changed() is None

    path.write_text("simulator: {seed: 22}")
    changed = watched.changed()
    assert changed is not None
    assert changed.seed == 22

    path.write_text("simulator: {seed: x}")
    with pytest.raises(ConfigurationError, match="/simulator/seed"):
        watched.changed()
    assert watched.changed() is None
    assert watched.config.seed == 22


def _events(config: SimulatorConfig, count: int, *, rate: float = 10, start: datetime = START):
    generator = Generator(config, shape=Shape.TRANSACTION, seed=3, start=start, rate=rate)
    return list(islice(generator, count))


def _amounts(text: str) -> list[float]:
    config = parse(
        "simulator: {transaction: {delivery: {invalid_share: 0, duplicate_share: 0}, "
        "variability: {currencies: {USD: 1}, payment_status: {completed: 0.9, failed: 0.1, "
        f"pending: 0, cancelled: 0, refunded: 0}}, amounts: {text}}}}}}}"
    )
    return [json.loads(event.body)["amount"] for event in _events(config, 4_000)]


@pytest.mark.parametrize(
    ("text", "mean", "deviation"),
    [
        ("{distribution: normal, mean: 100, std_dev: 10}", 100, 10),
        ("{distribution: uniform, min: 50, max: 150}", 100, 100 / sqrt(12)),
        ("{distribution: exponential, mean: 40}", 40, 40),
        (
            (
                "{distribution: bimodal, bimodal_peaks: [{mean: 20, std_dev: 2, share: 0.7}, "
                "{mean: 200, std_dev: 10, share: 0.3}]}"
            ),
            74,
            sqrt(0.7 * (4 + 54**2) + 0.3 * (100 + 126**2)),
        ),
    ],
)
def test_amounts_follow_the_stated_distribution(text: str, mean: float, deviation: float):
    """Mean within five standard errors. A retry repeats its amount: 3 % fewer draws than events."""
    amounts = _amounts(text)

    assert abs(fmean(amounts) - mean) < 5 * deviation / sqrt(0.9 * len(amounts)) + 0.01


def test_amounts_keep_their_bounds():
    """What falls outside is drawn again, not piled up at the bound."""
    amounts = _amounts("{distribution: normal, mean: 100, std_dev: 50, min: 80, max: 120}")

    assert 80 <= min(amounts) < 81
    assert 119 < max(amounts) <= 120
    assert sum(amount in (80, 120) for amount in amounts) < 10


def test_amounts_by_category_have_their_median():
    """Half of the retail payments lie below 45."""
    config = parse(
        "simulator: {transaction: {variability: {merchant_categories: {retail: 1}, "
        "currencies: {EUR: 1}}, delivery: {invalid_share: 0}}}"
    )
    amounts = [json.loads(event.body)["amount"] for event in _events(config, 4_000)]

    assert abs(median(amounts) / 45 - 1) < exp(5 * 1.25 * 0.9 / sqrt(4_000)) - 1


def test_the_rate_follows_the_hours_of_each_zone():
    """At noon in Berlin on a Monday it is night in New York: half of each."""
    config = parse(
        "simulator: {transaction: {variability: {temporal: {business_hours: 1, night: 0.2, "
        "timezone_distribution: {Europe/Berlin: 0.5, America/New_York: 0.5}}}}}"
    )
    start = datetime(2026, 3, 2, 11, tzinfo=UTC)

    events = _events(config, 601, start=start)

    assert (events[-1].at_us - events[0].at_us) / 1e6 == pytest.approx(600 / (10 * 0.6), rel=0.01)


def test_a_spike_multiplies_the_rate_again_and_again():
    """Five times for 60 seconds from the 30th on, every 240 seconds."""
    events = _events(scenarios()["traffic-spike"], 9_000)

    since = [(event.at_us - events[0].at_us) / 1e6 for event in events]
    per_phase = [sum(a <= t < a + 20 for t in since) for a in (5, 50, 120, 290, 400)]
    assert per_phase == pytest.approx([200, 1_000, 200, 1_000, 200], rel=0.03)


def test_a_processor_fails_when_it_is_said_to_and_no_other_does():
    """Nine of ten of its payments time out from the thirtieth second on."""
    events = _events(scenarios()["processor-fails"], 6_000, rate=50)
    failed = {"acquira": [0, 0, 0, 0], "others": [0, 0, 0, 0]}
    for event in events:
        try:
            body = json.loads(event.body)
            processor = body["metadata"]["processor"]
        except (ValueError, KeyError):
            continue
        late = (event.at_us - events[0].at_us) / 1e6 >= 31
        row = failed["acquira" if processor == "acquira" else "others"]
        row[2 * late] += body.get("status") == "timeout"
        row[2 * late + 1] += 1

    shares = {name: (row[0] / row[1], row[2] / row[3]) for name, row in failed.items()}
    assert shares["acquira"][0] < 0.06
    assert shares["acquira"][1] > 0.8
    assert max(shares["others"]) < 0.06


def test_a_running_generator_takes_another_configuration():
    """Rate and mixes change from the next event on, and time goes on from where it was."""
    before = SimulatorConfig()
    generator = Generator(before, shape=Shape.TRANSACTION, seed=3, start=START, rate=10)
    stream = iter(generator)
    first = list(islice(stream, 200))

    generator.change(
        parse(
            "simulator: {transaction: {variability: {currencies: {CHF: 1}}, "
            "delivery: {invalid_share: 0, duplicate_share: 0}}}"
        ),
        rate=100,
    )
    second = list(islice(stream, 200))

    assert second[0].at_us - first[-1].at_us == 100_000
    assert second[-1].at_us - second[0].at_us == 199 * 10_000
    new = [event for event in second if b'"CHF"' in event.body]
    assert len(new) > 150
