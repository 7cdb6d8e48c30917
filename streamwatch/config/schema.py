"""The configuration's shape (docs/decisions/0006-configuration.md, fixed): frozen, unknown keys refused."""

from __future__ import annotations

import re
from datetime import time
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from streamwatch.config.addresses import is_host, require_source_address, require_topic, require_url
from streamwatch.config.arming import ArmedWindow
from streamwatch.config.units import BudgetPerDay, DurationS, Share, SizeBytes, TimeOfDay
from streamwatch.enums import Role


def _require_own_files(name: str) -> str:
    if name.endswith(".previous"):
        raise ValueError("must not end with .previous: its model would be another camera's previous one")
    return name


Number = Annotated[float, Field(strict=True)]
"""No text, and neither yes nor no, which YAML reads as 1 and 0."""
Count = Annotated[int, Field(strict=True)]
Coordinate = Annotated[Number, Field(ge=0, le=1)]
Point = tuple[Coordinate, Coordinate]
Polygon = Annotated[list[Point], Field(min_length=3)]
Fps = Annotated[Number, Field(gt=0, le=240)] | Literal["native"]
Threshold = Annotated[Number, Field(gt=0)] | Literal["auto"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
CameraName = Annotated[Name, AfterValidator(_require_own_files)]
HttpUrl = Annotated[SecretStr, AfterValidator(partial(require_url, schemes=("http", "https")))]
MqttUrl = Annotated[SecretStr, AfterValidator(partial(require_url, schemes=("mqtt", "mqtts")))]
Topic = Annotated[str, AfterValidator(require_topic)]
MotionStep = Annotated[DurationS, Field(ge=0.02, le=2.0)]
Precision = Literal["auto", "float32", "bf16", "fp16", "reference"]


class Model(BaseModel):
    """Base of all: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=False, allow_inf_nan=False)


class BackboneConfig(Model):
    """The pretrained network whose activations describe a patch."""

    name: Literal["resnet18", "wide_resnet50_2", "efficientnet_b5"] = Field(
        "resnet18", description="resnet18 | wide_resnet50_2 | efficientnet_b5"
    )
    weights: str = Field(
        "default",
        description="default | builtin | untrained | path of a state dict, or of a folder that mirrors torchvision's cache",
    )
    dims: Count | None = Field(None, ge=1, description="kept channels; unset = the paper's number for the backbone")
    seed: Count = Field(1024, ge=0, lt=2**63, description="seed of the channel choice, and of untrained weights")


class CameraDefaults(Model):
    """What a camera uses unless it says otherwise."""

    fps: Fps = Field(5.0, description="frames per second to score, or native = every frame")
    frame_rate: Number = Field(
        10.0, gt=0, le=1000, description="frames per second of an image folder, or of a file without times and rate"
    )
    stream: Count | None = Field(
        None, ge=0, le=99, description="which of several video streams, from 0; unset = the default one, else the largest"
    )
    alarm_budget: BudgetPerDay = Field(1.0, description="false alarms allowed, like 1/day")
    min_duration: DurationS = Field(1.0, description="how long a score must hold to open an event")
    end_delay: DurationS = Field(2.0, description="how long a dip is bridged")
    cooldown: DurationS = Field(30.0, description="how long a new crossing reopens the same event")
    max_duration: DurationS = Field(600.0, description="after which an event is ended and a linked one begins")
    features: Literal["appearance", "motion", "both"] = Field("both", description="the fields that `fit` learns")
    motion_step: MotionStep = Field(0.2, description="age of the picture that motion is measured against")
    regimes: Literal["auto", "off"] = Field("auto", description="auto = a model each for colour, infrared and dark pictures")
    pixelate: bool = Field(False, description="show only the event's region: the rest of stored pictures in coarse squares")
    nightly_update: bool = Field(False, description="learn the day's normal frames every night, at update_at")
    transport: Literal["tcp", "udp"] = Field("tcp", description="RTSP transport")
    open_timeout: DurationS = Field(10.0, description="how long connecting may take")
    read_timeout: DurationS = Field(10.0, description="how long a live source may be silent")
    offline_after: DurationS = Field(30.0, description="silence after which a camera is offline")
    max_age: DurationS = Field(2.0, description="age at which a live frame is stale")
    gate: Literal["off", "motion"] = Field(
        "off", description="motion = where nothing has changed, the last result holds for up to 2 s"
    )


class Zone(Model):
    """A named part of the picture with its own budget."""

    polygon: Polygon = Field(description="corners in 0..1")
    alarm_budget: BudgetPerDay | None = Field(None, description="of its own; unset = its camera's")
    schedule: tuple[ArmedWindow, ...] = Field((), description="when it is armed; empty = as its camera is")


class CameraConfig(Model):
    """One camera; every key of ``defaults`` may stand here too."""

    source: Annotated[SecretStr, AfterValidator(require_source_address)] = Field(
        description="RTSP URL, file, folder, glob or device; may hold credentials"
    )
    normal: tuple[str, ...] = Field((), description="what `fit` learns from if no SOURCE is given")
    enabled: bool = Field(True, description="false leaves it out")
    ignore: tuple[Polygon, ...] = Field((), description="polygons in 0..1 whose anomalies do not count")
    threshold: Threshold = Field(
        "auto",
        description="auto = from alarm_budget and normal footage; or a level",
    )
    zones: dict[Name, Zone] = Field(default_factory=dict, description="parts of the picture with events of their own")
    schedule: tuple[ArmedWindow, ...] = Field((), description="when it is armed, local time; empty = always")
    privacy: tuple[Polygon, ...] = Field((), description="polygons blacked out in what is stored or shown")
    fps: Fps | None = None
    frame_rate: Number | None = Field(None, gt=0, le=1000)
    stream: Count | None = Field(None, ge=0, le=99)
    alarm_budget: BudgetPerDay | None = None
    min_duration: DurationS | None = None
    end_delay: DurationS | None = None
    cooldown: DurationS | None = None
    max_duration: DurationS | None = None
    features: Literal["appearance", "motion", "both"] | None = None
    motion_step: MotionStep | None = None
    regimes: Literal["auto", "off"] | None = None
    pixelate: bool | None = None
    nightly_update: bool | None = None
    transport: Literal["tcp", "udp"] | None = None
    open_timeout: DurationS | None = None
    read_timeout: DurationS | None = None
    offline_after: DurationS | None = None
    max_age: DurationS | None = None
    gate: Literal["off", "motion"] | None = None


class Webhook(Model):
    """Where messages are posted."""

    name: Name = Field(description="what it is called in metrics and commands")
    url: HttpUrl = Field(description="where messages are posted; it may hold a token")
    secret: SecretStr | tuple[SecretStr, ...] | None = Field(None, description="signs; of several, the newest first")
    format: Literal["cloudevents", "alertmanager", "slack", "template"] = Field(
        "cloudevents", description="cloudevents | alertmanager | slack | template"
    )
    template: str | None = Field(None, description="of format template: Jinja2, sandboxed")
    events: tuple[str, ...] = Field(("anomaly.started", "anomaly.ended"), description="types; * stands for anything")
    cameras: tuple[str, ...] = Field((), description="only these; * stands for anything; empty = all")
    severity: Literal["warning", "alert"] = Field("warning", description="the least that an anomaly must have")
    schedule: tuple[ArmedWindow, ...] = Field((), description="when it is told, local time; empty = always")
    heartbeat: DurationS | None = Field(None, description="a system.heartbeat so often; unset = none")
    rate_limit: BudgetPerDay | None = Field(None, description="messages of anomalies; what is more is told in one digest")
    timeout: Annotated[DurationS, Field(gt=0)] = Field(10.0, description="how long an attempt may take")
    concurrency: Count = Field(8, ge=1, le=64, description="attempts under way at once")

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """All secrets, the newest first."""
        if self.secret is None:
            return ()
        return self.secret if isinstance(self.secret, tuple) else (self.secret,)

    @model_validator(mode="after")
    def _template_if_asked_for(self) -> Webhook:
        if (self.format == "template") != (self.template is not None):
            raise ValueError("`template` belongs to `format: template`, and the other way round")
        return self


class Mqtt(Model):
    """An MQTT broker to publish to."""

    url: MqttUrl = Field(description="mqtt://USER:PASSWORD@HOST:1883, or mqtts://")
    topic: Topic = Field("streamwatch", description="all is below it")
    events: tuple[str, ...] = Field(("anomaly.*", "camera.*", "model.*"), description="types; * stands for anything")
    discovery: Topic | None = Field("homeassistant", description="Home Assistant's discovery prefix; null = none")
    timeout: Annotated[DurationS, Field(gt=0)] = Field(10.0, description="how long a message may take")


class Alerts(Model):
    """Where events are delivered."""

    webhooks: tuple[Webhook, ...] = ()
    mqtt: Mqtt | None = None

    @model_validator(mode="after")
    def _names_once(self) -> Alerts:
        names = [*(webhook.name for webhook in self.webhooks), *(["mqtt"] if self.mqtt else [])]
        if len(set(names)) < len(names):
            raise ValueError("two endpoints have the same name (the broker's is mqtt)")
        return self


def _require_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not is_host(host.strip("[]")) or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("must be HOST:PORT, like 127.0.0.1:9464")
    return value


Address = Annotated[str, AfterValidator(_require_address)]


class MetricsConfig(Model):
    """The listener of /metrics, /healthz and /readyz."""

    listen: Address | None = Field("127.0.0.1:9464", description="HOST:PORT; null = no listener")


class Tls(Model):
    """Certificate and key of the page."""

    certificate: Path = Field(description="PEM file, with the certificates that lead to it")
    key: Path = Field(description="PEM file, without a passphrase")


class Proxy(Model):
    """A reverse proxy before the page that has its own login."""

    header: str = Field("X-Forwarded-User", pattern=r"^[A-Za-z0-9-]+$", description="in which it names who asks")
    networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (IPv4Network("127.0.0.1/32"), IPv6Network("::1/128")), min_length=1, description="from where it is believed"
    )
    role: Role = Field(Role.OPERATOR, description="of everybody whom it names: viewer | operator | admin")


class WebConfig(Model):
    """The listener of page and API."""

    listen: Address | None = Field("127.0.0.1:8466", description="HOST:PORT; null = no listener")
    login: Literal["auto", "required"] = Field(
        "auto", description="auto = asked for where other machines reach `listen`; required = also on this machine"
    )
    proxy: Proxy | None = Field(None, description="a reverse proxy that has its own login; null = none")
    tls: Tls | None = Field(None, description="certificate and key for https; null = http")
    public_url: str | None = Field(None, pattern=r"^https?://[^/@]+(/.*)?$", description="where people find the page")
    peer_url: str | None = Field(
        None,
        pattern=r"^https?://[^/@]+$",
        description="where the other processes of a site reach this one's page; null = by its address (`listen`)",
    )
    insecure: bool = Field(False, description="true asks nobody for a login, though other machines reach `listen`")


class HealthConfig(Model):
    """When /readyz says yes."""

    ready_share: Share = Field(1.0, description="share of the cameras that must have scored a frame lately")
    ready_within: DurationS = Field(60.0, description="how lately")


class Clips(Model):
    """The video of events."""

    enabled: bool = Field(True, description="false keeps none")
    pre_roll: DurationS = Field(5.0, description="how long before an event its clip begins")
    post_roll: DurationS = Field(5.0, description="how long after it the clip ends")
    max_length: Annotated[DurationS, Field(gt=0)] = Field(
        300.0, description="of a clip; the rest of a longer event is not in it"
    )
    buffer: SizeBytes = Field(32 * 10**6, description="coded video held in memory, for each camera, at most")


class Retention(Model):
    """How long evidence is kept."""

    days: Count = Field(30, ge=1, le=36_500, description="events older than this go, and messages that were delivered")
    max_bytes: SizeBytes = Field(20 * 10**9, description="of evidence; then the oldest events go")
    min_free: Share = Field(0.05, description="of the file system; below it the oldest events go")


class Logging(Model):
    """What is logged on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug | info | warning | error")


class Config(Model):
    """A whole configuration file."""

    version: Literal[1] = Field(description="1")
    data_dir: Path = Field(Path("streamwatch-data"), description="models, events.db, snapshots, clips")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$", description="auto | cpu | cuda | cuda:1")
    precision: Precision = Field("auto", description="auto | float32 | bf16 | fp16 | reference")
    backbone: BackboneConfig = BackboneConfig()
    shared_models: SecretStr | None = Field(
        None,
        description="where machines share the cameras' models: a folder, or a URL that fsspec opens (s3://BUCKET/SITE); "
        "null = they are in data_dir alone",
    )
    database: SecretStr | None = Field(None, description="SQLAlchemy URL; unset = data_dir/events.db")
    defaults: CameraDefaults = CameraDefaults()
    cameras: dict[CameraName, CameraConfig] = Field(min_length=1)
    alerts: Alerts = Alerts()
    metrics: MetricsConfig = MetricsConfig()
    web: WebConfig = WebConfig()
    health: HealthConfig = HealthConfig()
    clips: Clips = Clips()
    retention: Retention = Retention()
    logging: Logging = Logging()
    update_at: TimeOfDay = Field(time(3), description="local time of the nightly update, for cameras that have one")
    shutdown_timeout: DurationS = Field(5.0, description="how long stopping may take")
    drain_timeout: DurationS = Field(180.0, description="how long deliveries may take at the end of a run --until-eof")

    @model_validator(mode="after")
    def _one_enabled(self) -> Config:
        if not any(camera.enabled for camera in self.cameras.values()):
            raise ValueError("at least one camera must be enabled")
        return self

    @property
    def enabled_cameras(self) -> list[str]:
        """The cameras that are to be watched."""
        return [name for name, camera in self.cameras.items() if camera.enabled]

    def settings(self, camera: str) -> CameraDefaults:
        """The defaults with what ``camera`` says instead."""
        own = {
            name: value for name in CameraDefaults.model_fields if (value := getattr(self.cameras[camera], name)) is not None
        }
        return self.defaults.model_copy(update=own)

    def nightly_at(self) -> time | None:
        """When models are updated, local time; None if no camera's is."""
        return self.update_at if any(self.settings(camera).nightly_update for camera in self.enabled_cameras) else None

    def model_path(self, camera: str) -> Path:
        """Where a camera's model lives (docs/decisions/0007-command-line.md, fixed)."""
        return self.data_dir / "models" / f"{camera}.safetensors"
