"""What a simulation is told: the models behind its YAML files, every key with a default.

Shares lie in 0..1. A mix names every value with its share; the
shares of a mix sum to 1 (within 0.01, and are scaled to it).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from simulator.compliance_config import ComplianceConfig
from simulator.mixes import (
    Categories,
    Channels,
    Countries,
    Currencies,
    Delay,
    Failure,
    Failures,
    Methods,
    Settlements,
    Share,
    Statuses,
    Zones,
    sums_to_one,
)


class Shape(StrEnum):
    """The two event shapes; each has a shipped schema of the same name."""

    #: a payment's life: pending, completed, failed, cancelled, refunded
    SIMULATOR = "simulator"
    #: one message per outcome: success, declined, timeout, error
    TRANSACTION = "transaction"


class Part(BaseModel):
    """A section of the file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


#: keys without which a destination is nowhere
_NEEDED = {
    "file": ("file_path",),
    "event_hub": ("connection_string", "hub"),
    "kafka": ("bootstrap_servers", "topic"),
}


class OutputConfig(Part):
    """Where events go and how fast."""

    destination: Literal["stream", "event_hub", "kafka", "file", "stdout"] = "stream"
    #: events handed over at once
    batch_size: int = Field(default=1_000, ge=1, le=10_000)
    #: events a second; null: as fast as it goes
    rate_limit: float | None = Field(default=None, ge=1, le=1_000_000)
    #: of the streams' server or of the Event Hubs namespace, as ${NAME}: it may hold a secret
    connection_string: str | None = None
    #: prefix of the streams and how many there are
    stream: str = Field(default="payflow.demo", min_length=1)
    partitions: int = Field(default=4, ge=1, le=1_024)
    #: of destination event_hub
    hub: str | None = None
    #: of destination kafka: host:port, separated by commas
    bootstrap_servers: str | None = None
    topic: str | None = None
    file_path: str | None = None

    @property
    def is_broker(self) -> bool:
        """Whether events go out at their own pace; a file takes them as fast as it goes."""
        return self.destination not in ("file", "stdout")

    @field_validator("destination", mode="before")
    @classmethod
    def _is_one_hub(cls, value: object) -> object:
        return "event_hub" if value == "event_hubs" else value

    @model_validator(mode="after")
    def _knows_where(self) -> OutputConfig:
        for name in _NEEDED.get(self.destination, ()):
            if not getattr(self, name):
                raise ValueError(f"destination {self.destination} needs {name}")
        return self


class VolumeConfig(Part):
    """How much: `total` events, or `rate` events a second for `duration` seconds (0: endless)."""

    total: int | None = Field(default=None, ge=1)
    #: events per second of event time
    rate: float = Field(default=100, ge=1, le=1_000_000)
    duration: float = Field(default=60, ge=0)


class Peak(Part):
    """One hump of a bimodal distribution."""

    mean: float = Field(gt=0)
    std_dev: float = Field(gt=0)
    share: Share


class AmountsConfig(Part):
    """How large payments are, in major units. What falls outside min and max is drawn again.

    `by_category` is log-normal with a median and spread for each merchant category; it knows no
    mean. `mean` and `std_dev` are those before the bounds cut.
    """

    distribution: Literal["by_category", "normal", "uniform", "exponential", "bimodal"] = (
        "by_category"
    )
    mean: float | None = Field(default=None, gt=0)
    std_dev: float | None = Field(default=None, gt=0)
    min: float = Field(default=0.01, gt=0)
    max: float = Field(default=1_000_000, le=10_000_000_000)
    bimodal_peaks: tuple[Peak, ...] = ()

    @model_validator(mode="after")
    def _is_complete(self) -> AmountsConfig:
        if self.min >= self.max:
            raise ValueError("min must be below max")
        needed = {"normal": ("mean", "std_dev"), "exponential": ("mean",)}
        for name in needed.get(self.distribution, ()):
            if getattr(self, name) is None:
                raise ValueError(f"distribution {self.distribution} needs {name}")
        centres = [peak.mean for peak in self.bimodal_peaks]
        if self.distribution in ("normal", "exponential") and self.mean is not None:
            centres = [self.mean]
        if any(not self.min <= centre <= self.max for centre in centres):
            raise ValueError("a mean lies outside min and max")
        if self.distribution == "bimodal":
            if len(self.bimodal_peaks) != 2:
                raise ValueError("distribution bimodal needs two bimodal_peaks")
            sums_to_one(dict(enumerate(peak.share for peak in self.bimodal_peaks)))
        return self


class Spike(Part):
    """For a while, traffic times `factor`; again and again with `every_seconds`."""

    after_seconds: float = Field(ge=0)
    duration_seconds: float = Field(gt=0)
    factor: float = Field(gt=0, le=100)
    every_seconds: float | None = Field(default=None, gt=0)


class TemporalConfig(Part):
    """The rate's factor at an hour of the day, weighted over the time zones of the customers."""

    #: 08:00 to 18:00, Monday to Friday
    business_hours: float = Field(default=1, gt=0, le=100)
    #: 18:00 to 23:00, Monday to Friday
    evening: float = Field(default=1, gt=0, le=100)
    #: 23:00 to 08:00, every day
    night: float = Field(default=1, gt=0, le=100)
    #: 08:00 to 23:00, Saturday and Sunday
    weekend: float = Field(default=1, gt=0, le=100)
    timezone_distribution: Zones = {"UTC": 1.0}
    spikes: tuple[Spike, ...] = ()


class VariabilityConfig(Part):
    """The mixes."""

    amounts: AmountsConfig = AmountsConfig()
    #: of all valid events of shape `simulator`; `transaction` has neither pending nor cancelled
    payment_status: Statuses = {
        "completed": 0.85,
        "failed": 0.10,
        "pending": 0.03,
        "cancelled": 0.01,
        "refunded": 0.01,
    }
    #: how pending payments end
    settlements: Settlements = {"completed": 0.9, "failed": 0.1}
    #: why payments fail, in the words of shape `transaction`
    failures: Failures = {
        "declined": 0.7,
        "timeout": 0.2,
        "error": 0.1,
    }
    currencies: Currencies = {
        "USD": 0.60,
        "EUR": 0.20,
        "GBP": 0.10,
        "JPY": 0.05,
        "CAD": 0.03,
        "AUD": 0.02,
    }
    payment_methods: Methods = {
        "credit_card": 0.45,
        "debit_card": 0.25,
        "digital_wallet": 0.15,
        "bank_transfer": 0.10,
        "cryptocurrency": 0.02,
        "cash_equivalent": 0.03,
    }
    channels: Channels = {
        "web": 0.40,
        "mobile": 0.35,
        "pos": 0.20,
        "api": 0.05,
    }
    countries: Countries = {
        "US": 0.50,
        "DE": 0.10,
        "GB": 0.10,
        "FR": 0.08,
        "JP": 0.06,
        "CA": 0.05,
        "ES": 0.04,
        "AU": 0.04,
        "NL": 0.03,
    }
    merchant_categories: Categories = {
        "retail": 0.35,
        "food_beverage": 0.25,
        "travel": 0.10,
        "entertainment": 0.10,
        "healthcare": 0.08,
        "education": 0.05,
        "other": 0.07,
    }
    temporal: TemporalConfig = TemporalConfig()

    @field_validator("payment_status")
    @classmethod
    def _names_all(cls, mix: dict[str, float]) -> dict[str, float]:
        missing = {"completed", "failed", "pending", "cancelled", "refunded"} - set(mix)
        if missing or not mix["completed"]:
            raise ValueError(f"shares are missing: {', '.join(sorted(missing)) or 'completed'}")
        return mix

    @model_validator(mode="after")
    def _settles(self) -> VariabilityConfig:
        mix = self.payment_status
        for status, share in self.settlements.items():
            if mix["pending"] * share > mix[status] + 1e-12:
                raise ValueError(f"more payments settle as {status} than payment_status has")
        return self


class Population(Part):
    """Who pays whom, and through whom."""

    customers: int = Field(default=2_000, ge=1, le=1_000_000)
    merchants: int = Field(default=300, ge=1, le=100_000)
    processors: tuple[Annotated[str, Field(pattern="^[a-z0-9_-]+$")], ...] = Field(
        default=("northpay", "acquira", "cardlink"), min_length=1
    )


class Lifecycle(Part):
    """What comes after an event, and when."""

    #: failed payments that the customer tries again, as a new payment
    retry_share: Share = 0.3
    settle_seconds: Delay = (2, 30)
    refund_seconds: Delay = (20, 120)
    retry_seconds: Delay = (3, 20)
    redeliver_seconds: Delay = (0.5, 10)


class Delivery(Part):
    """What goes wrong between a producer and its broker: shares of what is no violation."""

    #: events that no schema accepts
    invalid_share: float = Field(default=0.02, ge=0, le=0.5)
    #: events delivered a second time, byte for byte
    duplicate_share: float = Field(default=0.01, ge=0, le=0.3)


class Incident(Part):
    """A processor that fails for a while; `every_seconds`: again and again."""

    processor: str
    after_seconds: float = Field(default=0, ge=0)
    #: null: to the end
    duration_seconds: float | None = Field(default=None, gt=0)
    every_seconds: float | None = Field(default=None, gt=0)
    #: of the payments that the processor gets meanwhile
    failure_share: Share = 0.9
    failure: Failure = "timeout"


class TransactionConfig(Part):
    """The payments."""

    volume: VolumeConfig = VolumeConfig()
    variability: VariabilityConfig = VariabilityConfig()
    population: Population = Population()
    lifecycle: Lifecycle = Lifecycle()
    delivery: Delivery = Delivery()
    incidents: tuple[Incident, ...] = ()

    @model_validator(mode="after")
    def _knows_processors(self) -> TransactionConfig:
        for number, incident in enumerate(self.incidents):
            if incident.processor not in self.population.processors:
                known = ", ".join(self.population.processors)
                raise ValueError(
                    f"incidents.{number}.processor is {incident.processor!r}, which is not among "
                    f"population.processors ({known})"
                )
        return self


class MetadataConfig(Part):
    """What `metadata` holds beside what the shape always has."""

    include_ip_address: bool = True
    include_user_agent: bool = True
    include_card_details: bool = True
    include_3ds: bool = True
    risk_score: bool = True
    fraud_indicators: bool = True


class LoggingConfig(Part):
    """What a run says about itself, to standard error or a file."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = "text"
    file: str | None = None
    #: null: figures are said at the end only
    metrics_interval_seconds: float | None = Field(default=None, ge=0.1)


class MetricsConfig(Part):
    """The figures of a run."""

    #: to the simulation's row, which the page shows
    publish_interval_seconds: float = Field(default=1, ge=0.5, le=4)
    #: which of them a line of the log holds
    track: tuple[Literal["published", "rate", "invalid", "duplicates", "violations"], ...] = (
        "published",
        "rate",
        "invalid",
        "duplicates",
        "violations",
    )


class SimulatorConfig(Part):
    """The whole file, below its one key `simulator`."""

    #: one line that a person chooses a scenario by
    title: str = ""
    description: str = ""
    #: null: another one each time
    seed: int | None = None
    #: null: that of the source's schema, else `transaction`
    shape: Shape | None = None
    output: OutputConfig = OutputConfig()
    transaction: TransactionConfig = TransactionConfig()
    compliance: ComplianceConfig = ComplianceConfig()
    metadata: MetadataConfig = MetadataConfig()
    logging: LoggingConfig = LoggingConfig()
    metrics: MetricsConfig = MetricsConfig()
