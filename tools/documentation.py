"""Pages that are generated from the code: every configuration key, every metric, every message.

python -m tools.documentation

A test asserts that the pages in docs/ are what this writes.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Iterator
from datetime import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from benchmarks import results
from streamwatch.config.changes import ON_CAMERA_RELOAD, ON_RELOAD, Effect
from streamwatch.config.schema import CameraDefaults, Config
from streamwatch.config.units import parse_budget_per_day, parse_duration_s, parse_share, parse_size_bytes
from streamwatch.enums import CameraState
from streamwatch.metrics import Metrics, none_dropped
from tools.footage import REPOSITORY
from tools.performance_page import performance_page

DOCS = REPOSITORY / "docs"
GENERATED = "<!-- Made by `make docs`; do not edit. -->\n\n"
TYPES = {
    "anomaly.started": "a scene does something it never did before",
    "anomaly.updated": "the event became more severe",
    "anomaly.ended": "the event is over; sent once",
    "camera.offline": "a camera was silent for `offline_after`",
    "camera.unusable": "pictures came for `offline_after`, `pictures` of them, and none can be scored (`reason`: corrupt, "
    "await_keyframe)",
    "camera.online": "it is back",
    "camera.tamper": "the picture cannot be watched (`tamper`: GlobalSceneChange, ImageTooDark, ImageTooBright, "
    "ImageTooBlurry, SignalLoss), or can again (`active`)",
    "model.drift": "the scene has slowly become another (`ratio`, `limit`), or is back (`active`)",
    "model.ready": "the camera was watched for as long as its alarm budget needs, and is no longer `calibrating` "
    "(`alarms_per_day`, `watched_days`, `regime`)",
    "system.degraded": "something does not work while detection goes on (`what`), or works again (`active`)",
    "system.digest": "more events than `rate_limit` lets through, in one message",
    "system.heartbeat": "all is well; its absence is an alarm",
    "system.test": "of `streamwatch alerts test`",
}


def metrics_page() -> str:
    """Every metric, with its labels."""
    metrics = Metrics()
    metrics.expect_camera("CAMERA")
    metrics.camera_state_is("CAMERA", CameraState.RUNNING)
    metrics.expect_endpoint("ENDPOINT")
    metrics.show_outbox(lambda: {"ENDPOINT": (0, 0.0)})
    metrics.show_device("cuda", lambda: {"total": 0})
    metrics.show_dropped_lines(none_dropped)
    rows = "\n".join(_metric_rows(metrics.registry))
    return (
        f"# Metrics\n\n{GENERATED}`/metrics` is in OpenMetrics format, at `metrics.listen` or `--metrics-listen`. Names "
        "are fixed: dashboards and rules depend on them. Counters of a camera or an endpoint are there from the start, at 0. "
        "Histograms of latency carry the event as exemplar. Of a process that watches a share of a site every "
        "series has the label `shard`, too. Rules and dashboards are in `deploy/`.\n\n"
        f"| metric | kind | labels | what it says |\n|---|---|---|---|\n{rows}\n"
    )


def _metric_rows(registry: CollectorRegistry) -> Iterator[str]:
    labels = _labels_of(registry)
    for family in sorted(registry.collect(), key=lambda family: (family.name.startswith("process_"), family.name)):
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        shown = ", ".join(f"`{label}`" for label in labels.get(family.name, ()))
        yield f"| `{name}` | {family.type} | {shown} | {family.documentation} |"


def _labels_of(registry: CollectorRegistry) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for collector in list(registry._collector_to_names):
        names = getattr(collector, "_labelnames", None)
        if names is not None:
            found[collector._name] = tuple(names)  # type: ignore[attr-defined]
        else:
            for family in collector.collect():
                samples = family.samples
                found[family.name] = tuple(samples[0].labels) if samples else ()
    return found


def configuration_page() -> str:
    """Every key of a configuration file, and what a reload does with it."""
    body = "\n".join([*_sections(Config, "", "A whole file"), *_reload_section()])
    return (
        f"# Configuration\n\n{GENERATED}One YAML file; unknown keys are errors, and `streamwatch check FILE` says where. "
        "`${NAME}` is replaced from the environment, or from a file of that name in /run/secrets or $CREDENTIALS_DIRECTORY. "
        "Durations are like `500ms`, `5s`, `2m`, `1h`; sizes like `20GB`; budgets and rate limits like `1/day`, `2/hour`, "
        "`0.5/week`. [A file with every key](../configs/example.yaml); the JSON schema for editors is printed by "
        f"`streamwatch schema`.\n{body}\n"
    )


def _reload_section() -> Iterator[str]:
    yield "\n## What a reload does with each key\n\n| keys | on SIGHUP, or when the file changes |\n|---|---|"
    own = {f"cameras.*.{key}": effect for key, effect in ON_CAMERA_RELOAD.items()}
    for effect in Effect:
        keys = [key for key, its in {**ON_RELOAD, **own}.items() if its is effect]
        yield f"| {', '.join(f'`{key}`' for key in keys)} | {effect.value} |"


def _sections(model: type[BaseModel], prefix: str, title: str) -> Iterator[str]:
    yield f"\n## {title}\n\n| key | default | what it says |\n|---|---|---|"
    inner: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        models = list(_models_in(field.annotation))
        inner += [(f"{prefix}{name}{_suffix(field)}", kind) for kind in models]
        inherited = model.__name__ == "CameraConfig" and name in CameraDefaults.model_fields
        if not inherited:
            yield f"| `{prefix}{name}` | {_default(field)} | {_description(field, models)} |"
    if model.__name__ == "CameraConfig":
        yield f"| | | and every key of `defaults`: {', '.join(f'`{name}`' for name in CameraDefaults.model_fields)} |"
    for path, kind in inner:
        yield from _sections(kind, f"{path}.", f"`{path}`: {(kind.__doc__ or '').splitlines()[0].rstrip('.')}")


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (types.UnionType, typing.Union, tuple, dict, typing.Annotated):
        for argument in typing.get_args(annotation):
            yield from _models_in(argument)


def _suffix(field: FieldInfo) -> str:
    origin = typing.get_origin(field.annotation)
    return ".NAME" if origin is dict else "[]" if origin is tuple else ""


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined and field.default_factory is None:
        return "required"
    if field.default_factory is not None or isinstance(field.default, BaseModel) or field.default in ((), None):
        return ""
    return f"`{_spoken(field.default, {getattr(part, 'func', None) for part in field.metadata})}`"


def _spoken(value: Any, read_by: set[Any]) -> str:
    """A default as a file would say it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, time):
        return f"{value:%H:%M}"
    speak = next(
        (say for reader, say in _SPEAK.items() if reader in read_by),
        lambda value: f"{value:g}" if isinstance(value, float) else str(value),
    )
    return speak(value)


_SPEAK: dict[Any, Callable[[Any], str]] = {
    parse_duration_s: lambda value: f"{value:g}s" if value >= 1 else f"{1000 * value:g}ms",
    parse_budget_per_day: lambda value: f"{value:g}/day",
    parse_size_bytes: lambda value: f"{value / 10**9:g}GB" if value >= 10**9 else f"{value / 10**6:g}MB",
    parse_share: lambda value: f"{100 * value:g}%",
}


def _description(field: FieldInfo, models: list[type[BaseModel]]) -> str:
    return (field.description or ("see below" if models else "")).replace("|", "\\|")


def messages_page() -> str:
    """Every type of message."""
    schema = json.loads((REPOSITORY / "configs/message.schema.json").read_text())
    parts = [f"# Messages\n\n{GENERATED}What webhooks of format `cloudevents`, MQTT and the output of `run` say. "]
    parts.append("[The JSON schema](../configs/message.schema.json) is normative. Receivers ignore what they do not know.\n")
    parts.append("\n## Types\n\n| `type`, after `streamwatch.` | when |\n|---|---|\n")
    parts += [f"| `{name}` | {when} |\n" for name, when in TYPES.items()]
    for name, part in _defined(schema):
        parts.append(f"\n## {name}\n\n{part.get('description', '')}\n\n| field | type | what it says |\n|---|---|---|\n")
        required = set(part.get("required", ()))
        for key, value in part.get("properties", {}).items():
            always = "" if key in required else " (may be missing)"
            parts.append(f"| `{key}`{always} | {_type_of(value)} | {value.get('description', '')} |\n")
    return "".join(parts)


def _defined(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "The envelope", schema
    yield "`data` of `anomaly.*`", schema["$defs"]["anomaly"]


def _type_of(value: dict[str, Any]) -> str:
    if "enum" in value:
        return ", ".join(f"`{item}`" for item in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "$ref" in value:
        return {"time": "RFC 3339 in UTC", "fraction": "0..1"}[value["$ref"].rpartition("/")[2]]
    if "anyOf" in value:
        return " or ".join(_type_of(kind) for kind in value["anyOf"])
    kinds = value.get("type", "")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def benchmarks_page() -> str:
    """Every measured figure."""
    return f"# Benchmarks\n\n{GENERATED}{results.page()}"


def speed_page() -> str:
    """How fast it is, what made it so and what did not."""
    return f"# Speed\n\n{GENERATED}{performance_page()}"


PAGES = {
    "benchmarks.md": benchmarks_page,
    "metrics.md": metrics_page,
    "configuration.md": configuration_page,
    "messages.md": messages_page,
    "performance/README.md": speed_page,
}


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        path: Path = DOCS / name
        path.write_text(page())
    (REPOSITORY / "configs/config.schema.json").write_text(json.dumps(Config.model_json_schema(), indent=2) + "\n")


if __name__ == "__main__":
    main()
