"""What people called normal, taught to a scene's model.

Feedback does two things. The event's frames join the model's moments, together as much as 1 % of the footage. And because 50
frames among 5,000 silence nothing, the level that thresholds are compared with is from now on divided, at the event's cells
and two cells around, by what brings it to 0.9 of the end threshold (the suppression map): a repeat of the same thing stays
silent, something stronger there does not. The thresholds are then derived anew from the levels of the normal footage as they
are under that division, so that the scene keeps its budget.

Feedback is taken back by building the model anew, from the model before all feedback and from a journal; never by subtraction.
Beside ``CAMERA.safetensors`` lies ``CAMERA.lessons/`` with ``base.safetensors``, ``journal.json`` and each event's inputs. The
journal names the model that came of it: if another one is there (fitted, rolled back), its entries are no longer in force.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from streamwatch.clock import Clock, SystemClock
from streamwatch.config.schema import Config
from streamwatch.enums import ModelChangeKind
from streamwatch.errors import ModelFileError, ModelMissing, UsageError
from streamwatch.evidence.event_frames import EventFrames, inputs_path, load_frames
from streamwatch.files import write_atomically
from streamwatch.inference.engine import Engine
from streamwatch.inference.factory import engine_of
from streamwatch.learning.derive_calibration import recalibrated, take_calibration
from streamwatch.model.adaptation import teach
from streamwatch.model.artifact.serialization import load_model, read_metadata, save_model
from streamwatch.model.artifact.versions import replace_model
from streamwatch.model.batches import FrameBatch
from streamwatch.model.calibration.normal_levels import NormalLevels
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.model.scene import SceneModel
from streamwatch.records import Event, Float32Array
from streamwatch.scenes.calibration_policy import CalibrationPolicy, calibration_policy_of
from streamwatch.scenes.model_history import ModelChange, record_change

FEEDBACK_SHARE = 0.01
"""Of all frames, what one event's weigh together, unless there are more of them than that."""
AROUND_CELLS = 2
SILENCED_TO = 0.9
"""Of the end threshold."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """One event that was called normal.

    Attributes:
        weight: how often each of its frames counts.
    """

    event_id: str
    end_threshold: float
    weight: int
    zone: str = ""


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """What feedback came to: frames, the weight of each, and how many cells' thresholds it raised by how much at most.

    Attributes:
        share: of all cells, those that were raised.
        before, after: the calibration.
    """

    frames: int
    weight: int
    cells: int
    factor: float
    share: float
    before: Calibration | None
    after: Calibration | None


def weight_of(frames_known: int, frames: int) -> int:
    """How often each of an event's frames counts."""
    return max(1, round(FEEDBACK_SHARE * frames_known / frames))


def suppression_for(level: Float32Array, end_threshold: float, known: Float32Array | None) -> Float32Array:
    """(h, w) what levels are divided by, so that ``level``, two cells to every side, comes to 0.9 of the end threshold."""
    needed = np.maximum(level / (SILENCED_TO * end_threshold), 1.0).astype(np.float32)
    kernel = np.ones((2 * AROUND_CELLS + 1,) * 2, np.uint8)
    wide = np.asarray(cv2.dilate(needed, kernel), dtype=np.float32)
    return wide if known is None else np.maximum(wide, known)


def batch_of(kept: EventFrames, device: torch.device) -> FrameBatch:
    """An event's frames as a batch."""
    times = torch.arange(len(kept.pixels), dtype=torch.float64)
    return FrameBatch(torch.from_numpy(kept.pixels).to(device), torch.from_numpy(kept.speed).to(device), times)


def _level_of(model: SceneModel, engine: Engine, kept: EventFrames) -> Float32Array:
    """(h, w) highest level of each of an event's cells, as it was seen and as the model sees its frames by themselves."""
    alone = model.levels(engine.embedder, batch_of(kept, engine.device)).max(axis=0)
    return np.where(kept.level > 0, np.maximum(alone, kept.level), np.float32(0))


def _suppress(model: SceneModel, levels: Sequence[tuple[Feedback, Float32Array]]) -> None:
    """Silence the entries' events, below their own end thresholds and those of the model."""
    for entry, level in levels:
        end_threshold = min(entry.end_threshold, _end_threshold(model, entry.zone))
        model.suppression_ = suppression_for(level, end_threshold, model.suppression_)


def _end_threshold(model: SceneModel, zone: str) -> float:
    """Of the model's level, by what it knows itself."""
    calibration = model.calibration_
    if calibration is None:
        return float("inf")
    together = next((peaks for peaks in calibration.peaks_of(zone) if not peaks.field), None)
    if model.units_ is None:
        return together.end_threshold if together else float("inf")
    return calibration.end_threshold


class FeedbackJournal:
    """The feedback of one model file.

    Args:
        make_engine: gives the engine that makes the model's embeddings; called only if something is learned.
        policy_at: by what its alarms are judged, given the grid (h, w); None leaves the thresholds of a taught model alone.
    """

    def __init__(
        self,
        model_path: Path,
        make_engine: Callable[[], Engine],
        policy_at: Callable[[tuple[int, int]], CalibrationPolicy] | None,
        clock: Clock | None = None,
    ) -> None:
        self._model_path, self._make_engine, self._policy_at = model_path, make_engine, policy_at
        self._clock = clock or SystemClock()
        self._folder = model_path.with_name(f"{model_path.stem}.lessons")
        self._base = self._folder / "base.safetensors"

    def entries(self) -> tuple[Feedback, ...]:
        """What was taught to the model that is there now; a model that cannot be read is not the journal's.

        Raises:
            ModelFileError: the journal cannot be read.
        """
        journal = self._folder / "journal.json"
        if not journal.is_file():
            return ()
        try:
            document = json.loads(journal.read_text())
            entries, made = tuple(Feedback(**entry) for entry in document["lessons"]), document["model_sha256"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelFileError(f"the journal cannot be read ({error})", where=journal, hint="remove its folder") from error
        with suppress(ModelMissing, ModelFileError):
            if made == read_metadata(self._model_path)["sha256"]:
                return entries
        return ()

    def base_path(self) -> Path:
        """The model before all feedback: where more footage is to be added."""
        return self._base if self.entries() else self._model_path

    def teach(self, event: Event, inputs_folder: Path) -> FeedbackResult | None:
        """Teach an event that was called normal; None if its frames were not kept.

        Raises:
            ModelMissing, ModelFileError: the model cannot be read or written; ModelMismatch: it is of another backbone.
        """
        entries = tuple(entry for entry in self.entries() if entry.event_id != event.id)
        source = inputs_path(inputs_folder, event.id)
        kept = load_frames(source)
        if kept is None:
            return None
        if not self.entries():
            self._start()
        if not inputs_path(self._folder, event.id).exists():
            shutil.copyfile(source, inputs_path(self._folder, event.id))
        weight = weight_of(int(read_metadata(self._base)["frames"]), len(kept.pixels))
        before = load_model(self._model_path)[0].calibration_
        model = self._rebuild((*entries, Feedback(event.id, event.end_threshold, weight, event.zone)))
        self._record(ModelChangeKind.TAUGHT, event.id)
        raised = suppression_for(kept.level, event.end_threshold, None) > 1
        highest = float(model.suppression_.max()) if model.suppression_ is not None else 1.0
        cells, share = int(raised.sum()), float(raised.mean())
        return FeedbackResult(len(kept.pixels), weight, cells, highest, share, before, model.calibration_)

    def forget(self, event_id: str) -> bool:
        """Take an entry back; whether there was one. Raises as ``teach``."""
        entries = self.entries()
        left = tuple(entry for entry in entries if entry.event_id != event_id)
        if len(left) == len(entries):
            return False
        self._rebuild(left)
        self._record(ModelChangeKind.FORGOTTEN, event_id)
        return True

    def rebase(self, entries: Sequence[Feedback]) -> None:
        """The model is new; teach it what its predecessor was taught. Raises as ``teach``."""
        if entries:
            self._replace_base()
            self._rebuild(tuple(entries))

    def recalibrate(self, calibration: Calibration, levels: Mapping[str, NormalLevels] | None) -> None:
        """The model before all feedback gets the thresholds that go with the taught one's; call before that is saved.

        Args:
            levels: what they were derived from, before any suppression map; None gives it the same ones.

        Raises:
            ModelFileError: it cannot be read or written.
        """
        if self.entries():
            base, provenance = load_model(self._base, with_moments=True)
            take_calibration(base, calibration)
            base.levels_ = levels
            self._derive(base)
            save_model(base, self._base, provenance)

    def confirm(self, entries: Sequence[Feedback]) -> None:
        """The model that is there now holds ``entries``."""
        if entries:
            self._write_journal(entries)

    def _record(self, kind: ModelChangeKind, event_id: str) -> None:
        change = ModelChange(self._clock.wall_s(), kind, "command", f"event {event_id}", {"event": event_id})
        record_change(self._model_path, change)

    def _start(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._replace_base()

    def _replace_base(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._base.unlink(missing_ok=True)
            self._base.hardlink_to(self._model_path)
        except OSError as error:
            raise ModelFileError(f"the model cannot be kept ({error})", where=self._base, hint="check the folder") from error

    def _rebuild(self, entries: tuple[Feedback, ...]) -> SceneModel:
        """The base with these entries, in their order, becomes the model."""
        model, provenance = load_model(self._base, with_moments=True)
        engine = self._make_engine()
        engine.identity.require_same(model.identity, where=self._model_path)
        pairs = [(entry, kept) for entry in entries if (kept := load_frames(inputs_path(self._folder, entry.event_id)))]
        for entry, kept in pairs:
            teach(model, engine.embedder, [batch_of(kept, engine.device)], entry.weight)
        levels = [(entry, _level_of(model, engine, kept)) for entry, kept in pairs]
        _suppress(model, levels)
        if levels:
            self._derive(model)
            _suppress(model, levels)  # the end threshold may have come down: what is normal stays below it
        replace_model(model, self._model_path, provenance)
        self._write_journal([entry for entry, _ in pairs])
        return model

    def _derive(self, model: SceneModel) -> None:
        """Its thresholds, from its normal levels under its suppression map."""
        if self._policy_at and model.calibration_:
            policy = self._policy_at(model.grid)
            take_calibration(model, recalibrated(model, policy))

    def _write_journal(self, entries: Sequence[Feedback]) -> None:
        sha256 = read_metadata(self._model_path)["sha256"]
        document = {"model_sha256": sha256, "lessons": [asdict(entry) for entry in entries]}
        try:
            write_atomically(self._folder / "journal.json", json.dumps(document, indent=1) + "\n")
        except UsageError as error:
            raise ModelFileError(f"the journal {error}", where=self._folder, hint="check the folder") from error


def journal_of(config: Config, camera: str, path: Path, engine: Engine | None = None) -> FeedbackJournal:
    """The feedback of one of a camera's model files.

    Args:
        engine: makes the model's embeddings; None makes one when it is needed.
    """
    return FeedbackJournal(path, lambda: engine or engine_of(config), partial(calibration_policy_of, config, camera))
