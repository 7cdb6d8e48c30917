"""The words that users meet in messages, metrics and the database, each declared once; their values never change."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """What a message tells of (docs/decisions/0009-events.md)."""

    ANOMALY_STARTED = "anomaly.started"
    ANOMALY_UPDATED = "anomaly.updated"
    ANOMALY_ENDED = "anomaly.ended"
    CAMERA_OFFLINE = "camera.offline"
    CAMERA_UNUSABLE = "camera.unusable"
    CAMERA_ONLINE = "camera.online"
    CAMERA_TAMPER = "camera.tamper"
    MODEL_DRIFT = "model.drift"
    MODEL_READY = "model.ready"
    SYSTEM_DEGRADED = "system.degraded"
    SYSTEM_DIGEST = "system.digest"
    SYSTEM_HEARTBEAT = "system.heartbeat"
    SYSTEM_TEST = "system.test"


CAMERA_EVENT_TYPES = (
    EventType.ANOMALY_STARTED,
    EventType.ANOMALY_UPDATED,
    EventType.ANOMALY_ENDED,
    EventType.CAMERA_OFFLINE,
    EventType.CAMERA_UNUSABLE,
    EventType.CAMERA_ONLINE,
    EventType.CAMERA_TAMPER,
    EventType.MODEL_DRIFT,
    EventType.MODEL_READY,
)
"""Those that are counted for each camera."""


class EndReason(StrEnum):
    """Why an event ended."""

    NORMAL = "normal"
    MAX_DURATION = "max_duration"
    CAMERA_LOST = "camera_lost"
    CAMERA_REMOVED = "camera_removed"
    SHUTDOWN = "shutdown"
    CRASH = "crash"
    TAMPER = "tamper"
    MODEL_REPLACED = "model_replaced"


class Severity(StrEnum):
    """How far an event's peak is out, the lesser first."""

    WARNING = "warning"
    ALERT = "alert"


class CameraState(StrEnum):
    """What a camera is doing."""

    STARTING = "starting"
    RUNNING = "running"
    CALIBRATING = "calibrating"
    RECONNECTING = "reconnecting"
    OFFLINE = "offline"
    UNUSABLE = "unusable"
    FINISHED = "finished"
    FAILED = "failed"


class DropReason(StrEnum):
    """Why a frame was not scored."""

    DISPLACED = "displaced"
    STALE = "stale"
    AWAIT_KEYFRAME = "await_keyframe"
    CORRUPT = "corrupt"
    FAULT = "fault"


class DisconnectKind(StrEnum):
    """How a live source was lost."""

    EOF = "eof"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    AUTH = "auth"
    INVALID_DATA = "invalid_data"
    STALL = "stall"


class TamperKind(StrEnum):
    """What makes a picture one that cannot be watched; ONVIF's words."""

    SIGNAL_LOSS = "SignalLoss"
    GLOBAL_SCENE_CHANGE = "GlobalSceneChange"
    TOO_DARK = "ImageTooDark"
    TOO_BRIGHT = "ImageTooBright"
    TOO_BLURRY = "ImageTooBlurry"


class Degradation(StrEnum):
    """What does not work as it should while detection goes on."""

    DISK_FULL = "disk is full"
    NO_EVIDENCE = "evidence cannot be written"
    EVIDENCE_GIVEN_UP = "evidence is given up: it is not written as fast as it comes"
    NO_CLIPS = "clips cannot be written"
    CHANGES_LOST = "the database has taken nothing for so long that events were not stored"
    THREAD_FAULTS = "a part of streamwatch fails again and again; see the log"
    DATABASE_REPLACED = "the database's file was removed or replaced while it was in use; it goes on with what is there now"
    STORE_WAITS = "the database does not take what happens; it waits in memory"


class MessageState(StrEnum):
    """Where a message of the outbox stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    COALESCED = "folded"


class AttemptResult(StrEnum):
    """What one attempt to deliver came to."""

    DELIVERED = "delivered"
    FAILED = "failed"
    DEAD = "dead"


class LatencyStage(StrEnum):
    """Between what a latency is measured."""

    CAPTURE_TO_SCORE = "capture_to_score"
    CAPTURE_TO_EVENT = "capture_to_event"
    EVENT_TO_DELIVERY = "event_to_delivery"


class ModelChangeKind(StrEnum):
    """What was done to a camera's model or its thresholds."""

    FITTED = "fitted"
    CALIBRATED = "calibrated"
    TAUGHT = "taught"
    FORGOTTEN = "forgotten"
    UPDATED = "updated"
    ROLLED_BACK = "rolled back"
    THRESHOLDS = "thresholds"
    THRESHOLDS_UNDONE = "thresholds undone"


class Role(StrEnum):
    """What a token lets its holder do, the lesser first; each may do what those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Whether it may do what ``needed`` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)
