"""Every metric that streamwatch exposes, declared once (their names are fixed: docs/decisions/0011-metrics.md)."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from copy import copy

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streamwatch import __version__
from streamwatch.enums import CAMERA_EVENT_TYPES, AttemptResult, CameraState, DisconnectKind, DropReason

_UP = (CameraState.RUNNING, CameraState.CALIBRATING, CameraState.FINISHED)
_LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_DURATION_BUCKETS_S = (1, 2, 5, 10, 30, 60, 300, 900, 3600)


OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
OutboxReader = Callable[[], Mapping[str, tuple[int, float | None]]]
"""Messages that wait by endpoint, and the Unix time of the oldest; None if none does."""


class _OutboxGauges(Collector):
    """An endpoint for which nothing waits has no oldest message (docs/decisions/0011-metrics.md)."""

    def __init__(self, read: OutboxReader) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The two gauges."""
        pending = GaugeMetricFamily("streamwatch_outbox_pending", "Messages that wait to be delivered.", labels=["endpoint"])
        oldest = GaugeMetricFamily(
            "streamwatch_outbox_oldest_timestamp_seconds",
            "Unix time of the oldest message that waits; absent when none does.",
            labels=["endpoint"],
        )
        for endpoint, (waiting, oldest_s) in self._read().items():
            pending.add_metric([endpoint], waiting)
            if oldest_s is not None:
                oldest.add_metric([endpoint], oldest_s)
        yield pending
        yield oldest


class _OfShard(Collector):
    """A registry's series, each with the label ``shard``: what a process has of a site that several share."""

    def __init__(self, registry: CollectorRegistry, shard: str) -> None:
        self._registry, self._shard = registry, shard

    def collect(self) -> Iterator[Metric]:
        """The same with the label."""
        for metric in self._registry.collect():
            labelled = copy(metric)
            labelled.samples = [sample._replace(labels={"shard": self._shard, **sample.labels}) for sample in metric.samples]
            yield labelled


MemoryReader = Callable[[], Mapping[str, int]]
"""Bytes of a device's memory by what they are: ``allocated``, ``reserved``, ``used``, ``total``."""


class _DeviceGauges(Collector):
    """A device's memory, asked for when it is scraped."""

    def __init__(self, device: str, memory: MemoryReader) -> None:
        self._device, self._memory = device, memory

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge."""
        gauge = GaugeMetricFamily(
            "streamwatch_device_memory_bytes",
            "Memory of the GPU: allocated by tensors, reserved by this process, used by all, total.",
            labels=["device", "kind"],
        )
        for kind, count in self._memory().items():
            gauge.add_metric([self._device, kind], count)
        yield gauge


LinesReader = Callable[[], Mapping[str, int]]
"""Lines that were dropped because nobody read them, by stream."""


def none_dropped() -> dict[str, int]:
    """Of a daemon whose output nobody writes behind."""
    return {"stdout": 0, "log": 0}


class _LinesDropped(Collector):
    """Counted by the writers of the streams, and asked for when it is scraped."""

    def __init__(self, read: LinesReader) -> None:
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The counter."""
        text = "Lines dropped because their reader did not read: standard output, or the log."
        counter = CounterMetricFamily("streamwatch_lines_dropped", text, labels=["stream"])
        for stream, count in self._read().items():
            counter.add_metric([stream], count)
        yield counter


class Metrics:
    """The metrics of one daemon, in a registry of their own.

    ``frames_dropped`` counts by reason; ``frame_latency`` by stage; see each help text.

    Args:
        shard: the share of a site's cameras that the daemon watches, which every series has as a label; None is all of them.
    """

    def __init__(self, shard: str | None = None) -> None:
        self.registry = CollectorRegistry()
        self._shard = shard
        self._declare_cameras()
        self._declare_inference()
        self._declare_events()
        self._declare_deliveries()
        self.thread_faults = self._counter(
            "thread_faults", "Faults that a thread was begun again after, or a camera's scoring tried again.", ("thread",)
        )
        build = Info("streamwatch_build", "Version of streamwatch and of Python.", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})
        ProcessCollector(registry=self.registry)
        if shard:
            self.shard_info.labels(shard).set(1)

    def expect_camera(self, camera: str) -> None:
        """Show a camera's counters at 0: one that begins at 1 has no increase that an alert could see."""
        self.frames_received.labels(camera)
        self.frames_scored.labels(camera)
        self.frames_reused.labels(camera)
        for reason in DropReason:
            self.frames_dropped.labels(camera, reason)
        for kind in DisconnectKind:
            self.reconnects.labels(camera, kind)
        for event_type in CAMERA_EVENT_TYPES:
            self.events.labels(camera, event_type)
        self.events_open.labels(camera)

    def expect_endpoint(self, endpoint: str) -> None:
        """Show an endpoint's counters at 0."""
        for result in AttemptResult:
            self.delivery_attempts.labels(endpoint, result)
        self.dead_letters.labels(endpoint)

    def show_device(self, device: str, memory: MemoryReader) -> None:
        """Expose a GPU's memory, read whenever the metrics are."""
        self.registry.register(_DeviceGauges(device, memory))

    def show_outbox(self, read: OutboxReader) -> None:
        """Expose what waits to be delivered, read whenever the metrics are."""
        self.registry.register(_OutboxGauges(read))

    def show_dropped_lines(self, read: LinesReader) -> None:
        """Expose what was dropped of the output, read whenever the metrics are."""
        self.registry.register(_LinesDropped(read))

    def exposition(self, accept: str = OPEN_METRICS) -> tuple[bytes, str]:
        """All metrics in the format that an HTTP Accept header asks for, OpenMetrics or Prometheus' text, and its type."""
        encode, content_type = choose_encoder(accept)
        body: bytes = encode(_OfShard(self.registry, self._shard) if self._shard else self.registry)
        return body, content_type

    def camera_state_is(self, camera: str, state: CameraState) -> None:
        """Set the one state a camera is in; the others become 0."""
        for other in CameraState:
            self.camera_state.labels(camera, other).set(1 if other == state else 0)
        self.camera_up.labels(camera).set(1 if state in _UP else 0)

    def _declare_cameras(self) -> None:
        by_camera = ("camera",)
        self.camera_up = self._gauge("camera_up", "1 while the camera delivers frames, or has played to its end.", by_camera)
        self.camera_state = self._gauge("camera_state", "1 for the state the camera is in.", ("camera", "state"))
        self.frames_received = self._counter("camera_frames_received", "Frames decoded and resized.", by_camera)
        self.frames_scored = self._counter("camera_frames_scored", "Frames that have a score.", by_camera)
        reused = "Frames of those scored whose score is the last one, because nothing had changed (gate: motion)."
        self.frames_reused = self._counter("camera_frames_reused", reused, by_camera)
        self.frames_dropped = self._counter("camera_frames_dropped", "Frames not scored, by reason.", ("camera", "reason"))
        self.reconnects = self._counter("camera_reconnects", "Times a live source was lost.", ("camera", "reason"))
        self.last_frame_s = self._gauge("camera_last_frame_timestamp_seconds", "Unix time of the last frame.", by_camera)
        self.last_scored_s = self._gauge(
            "camera_last_scored_timestamp_seconds", "Unix time of the last scored frame.", by_camera
        )
        self.anomaly_score = self._gauge(
            "anomaly_score", "Level of the last frame: what thresholds are compared with.", by_camera
        )
        self.anomaly_score_ratio = self._gauge(
            "anomaly_score_ratio", "Last level divided by the start threshold; of zones, the highest.", by_camera
        )
        self.threshold = self._gauge("threshold", "Start threshold of the picture outside of named zones.", by_camera)
        self.alarm_budget = self._gauge("alarm_budget_per_day", "False alarms allowed, all zones together.", by_camera)
        self.alarms_bound = self._gauge(
            "calibration_alarms_per_day_bound",
            "False alarms per day that the normal footage rules out (95 %), by counting alone, all zones together.",
            by_camera,
        )
        self.tamper = self._gauge("camera_tamper", "1 while the picture is not to be trusted.", ("camera", "kind"))
        self.drift_ratio = self._gauge(
            "model_drift_ratio", "How far the usual frame is from normal, over what it was when learned.", by_camera
        )
        self.drift_limit = self._gauge("model_drift_limit", "The drift ratio from which the scene has drifted.", by_camera)
        self.config_reloaded = self._gauge("config_last_reload_successful", "0 if the last reload was refused.")
        self.config_reloaded.set(1)
        self.model_fitted_s = self._gauge("model_fitted_timestamp_seconds", "Unix time of the model's fit.", by_camera)

    def _declare_inference(self) -> None:
        self.frame_latency = self._histogram(
            "frame_latency_seconds", "From decoder to the named stage.", ("stage",), _LATENCY_BUCKETS_S
        )
        self.inference_duration = self._histogram(
            "inference_duration_seconds", "Time of one batch on the device.", ("device",), _LATENCY_BUCKETS_S
        )
        self.inference_batch_size = self._histogram(
            "inference_batch_size", "Frames in one batch.", ("device",), (1, 2, 4, 8, 16, 32, 64, 128, 256)
        )
        what = "1 of a process that watches a share of a site's cameras; its other series have `shard`, too."
        self.shard_info = self._gauge("shard_info", what, ("shard",))
        what = "Cameras of this process's share (`--shard`) that another process watches."
        self.cameras_elsewhere = self._gauge("cameras_elsewhere", what)
        what = "Cameras of the whole configuration that no process watches, of those that share it; each process says the same."
        self.cameras_unwatched = self._gauge("cameras_unwatched", what)
        self.queue_length = self._gauge("queue_length", "Items waiting.", ("queue",))

    def _declare_events(self) -> None:
        self.events = self._counter("events", "Event messages, by type.", ("camera", "type"))
        self.events_open = self._gauge("events_open", "Events open now.", ("camera",))
        self.event_duration = self._histogram("event_duration_seconds", "Length of ended events.", (), _DURATION_BUCKETS_S)

    def _declare_deliveries(self) -> None:
        by_endpoint = ("endpoint",)
        self.delivery_attempts = self._counter(
            "delivery_attempts", "Attempts to deliver a message: delivered, failed or dead.", (*by_endpoint, "result")
        )
        self.changes_dropped = self._counter(
            "changes_dropped", "Event changes and notices that were never stored: the database took none for too long."
        )
        self.evidence_dropped = self._counter("evidence_dropped", "Events whose pictures were given up: the disk is too slow.")
        self.storage_bytes = self._gauge("storage_bytes", "Bytes of evidence, by kind.", ("kind",))
        self.storage_free_bytes = self._gauge("storage_free_bytes", "Bytes that are free where evidence is kept.")
        self.storage_size_bytes = self._gauge("storage_size_bytes", "Bytes of the file system that evidence is kept on.")
        self.dead_letters = self._counter("dead_letters", "Messages that were given up.", by_endpoint)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"streamwatch_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"streamwatch_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"streamwatch_{name}", text, labels, buckets=buckets, registry=self.registry)
