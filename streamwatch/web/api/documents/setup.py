"""The configuration, and cameras that are set up."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from streamwatch.config.schema import CameraName, Number, Polygon
from streamwatch.web.api.documents.common import example
from streamwatch.web.api.documents.models import JobDocument

_CREDENTIALS = {"user": "viewer", "password": "secret"}


class ConfigDocument(BaseModel):
    """The configuration file; secrets are masked."""

    model_config = example(text="version: 1\ncameras: ...\n", tag="5f1d...", refused=None)
    text: str
    tag: str
    refused: str | None = Field(description="why the last one was not taken up; null if it was")


class ConfigText(BaseModel):
    """A configuration file."""

    model_config = example(text="version: 1\ncameras: ...\n")
    text: Annotated[str, StringConstraints(max_length=4_000_000)]


class ConfigCheck(BaseModel):
    """What is wrong with a configuration; nothing if it is valid."""

    model_config = example(valid=False, problems=["site.yaml:4: cameras.dock.fps = '-1': must be greater than 0"])
    valid: bool
    problems: list[str]


class ConfigTag(BaseModel):
    """Names what stands in the file now."""

    model_config = example(tag="5f1d...")
    tag: str


class Credentials(BaseModel):
    """Of a camera; the password is kept as a secret in a file of its own."""

    model_config = example(**_CREDENTIALS)
    user: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    password: Annotated[str, StringConstraints(max_length=200)]


class ProbeRequest(BaseModel):
    """A source to look at."""

    model_config = example(source="rtsp://10.0.0.5/stream2", credentials={"user": "viewer", "password": "secret"})
    source: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    credentials: Credentials | None = None


class NewCamera(ProbeRequest):
    """A camera to add, and how long to learn it from its own stream."""

    model_config = example(name="loading-dock", source="rtsp://10.0.0.5/stream2", credentials=None, learn="20m")
    name: CameraName
    learn: str | None = Field(
        "20m", max_length=32, pattern=r"^[0-9.]+(s|m|h)$", description="null takes `normal`, or learns later"
    )
    normal: Annotated[list[Annotated[str, StringConstraints(max_length=2000)]], Field(max_length=100)] = []


class Added(BaseModel):
    """A camera that was added; it is watched when it is learned."""

    model_config = example(name="loading-dock", tag="5f1d...", job=None)
    name: str
    tag: str
    job: JobDocument | None


class ZoneChange(BaseModel):
    """A zone; its alarm budget is its camera's unless it has its own."""

    model_config = example(polygon=[[0.1, 0.2], [0.3, 0.2], [0.3, 0.6]], alarm_budget="1/week")
    polygon: Polygon
    alarm_budget: Annotated[str, StringConstraints(max_length=32)] | None = None


class CameraChange(BaseModel):
    """Keys of a camera to set, as in the configuration file; null takes a key away, what is not given stays."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"alarm_budget": "1/week", "ignore": [[[0, 0], [1, 0], [1, 0.1]]], "zones": {"door": None}}]
        },
    )
    enabled: bool | None = None
    alarm_budget: Annotated[str, StringConstraints(max_length=32)] | None = None
    ignore: Annotated[list[Polygon], Field(max_length=100)] | None = None
    privacy: Annotated[list[Polygon], Field(max_length=100)] | None = None
    zones: dict[CameraName, ZoneChange | None] | None = None
    fps: Number | Literal["native"] | None = None
