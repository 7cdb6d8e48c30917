"""Every error that streamwatch raises on purpose, in one tree.

::

    StreamwatchError                 exit 1   something failed while running
    |-- UsageError                   exit 2   the command line asks for something impossible
    |   |-- ConfigError              exit 2   the configuration file is wrong
    |   |-- SourceNotFound           exit 2   no such file, folder, glob or device
    |   |-- ModelMissing             exit 2   a camera has no model yet
    |   `-- DeviceUnavailable        exit 2   the asked-for device or precision is not there
    |-- SourceError                  exit 1   a source cannot be opened or read
    |   |-- SourceEmpty              exit 1   it opens, and holds no picture
    |   |-- UnusablePicture          exit 1   one picture of it cannot be scaled
    |   `-- SourceDisconnected       exit 1   a live source ended; it is tried again
    |-- ModelError                   exit 1   a model file, or learning one, failed
    |   |-- ModelFileError           exit 1   truncated, altered, or another format version
    |   |-- ModelMismatch            exit 1   made with another backbone, weights or channels
    |   |-- NotEnoughFrames          exit 1   too little footage to learn from
    |   `-- SharedModelsError        exit 1   the models that machines share cannot be reached
    |-- WeightsError                 exit 1   backbone weights missing, altered, or not finite
    |-- EngineFailure                exit 1   the device fails, and does not come back
    |-- StoreError                   exit 1   the event database cannot be used
    |   |-- AlreadyStored            exit 1   it holds a record of this id
    |   |-- LeaseLost                exit 1   another process watches the camera now
    |   |-- NotStorable              exit 1   what was to be written is nothing that it can hold
    |   `-- StoreUnavailable         exit 1   it does not answer just now; it is tried again
    |-- ClusterError                 exit 1   Ray, or a worker of it, cannot be had
    |-- DeliveryError                exit 1   a message cannot be delivered
    |-- FolderInUse                  exit 1   another process watches with this data folder
    `-- ListenError                  exit 1   an address cannot be listened on

A message says what is wrong, where, and what to do, in one line, and never shows credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

from streamwatch.enums import DisconnectKind
from streamwatch.masking import mask_credentials

Retry = Literal["backoff", "at_once", "slowly"]


class StreamwatchError(Exception):
    """Base of the tree; ``exit_code`` is what the command line exits with.

    Args:
        what: the fault, as a short clause.
        where: the file, camera or key concerned; printed first.
        hint: what the user can do about it; printed last.
    """

    exit_code: ClassVar[int] = 1
    retry: Retry = "backoff"
    """How soon trying again makes sense, where it does at all."""

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        prefix = f"{where}: " if where is not None else ""
        suffix = f"; {hint}" if hint else ""
        super().__init__(mask_credentials(" ".join(f"{prefix}{what}{suffix}".split())))

    def __reduce__(self) -> tuple[Callable[[str], StreamwatchError], tuple[str], dict[str, Any]]:
        """Whole on its way from another process, which has no use for the object that ``where`` was."""
        where = None if self.where is None else str(self.where)
        return partial(type(self), where=where, hint=self.hint), (self.what,), {**self.__dict__, "where": where}


class UsageError(StreamwatchError):
    """The command line asks for something that cannot be done."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration is wrong; ``problems`` holds one line each."""

    def __init__(self, what: str, *, where: object = None, hint: str | None = None, problems: tuple[str, ...] = ()) -> None:
        super().__init__(what, where=where, hint=hint)
        self.problems = problems or (str(self),)


class SourceNotFound(UsageError):
    """No such file, folder, glob or device."""


class ModelMissing(UsageError):
    """A camera that is to be watched has no model."""


class DeviceUnavailable(UsageError):
    """The device or precision asked for is not on this machine."""


class SourceError(StreamwatchError):
    """A source cannot be opened or read."""


class SourceEmpty(SourceError):
    """A source opens but holds no picture."""


class UnusablePicture(SourceError):
    """A decoded picture that cannot be scaled to the model's input."""


class SourceDisconnected(SourceError):
    """A live source ended or fell silent.

    Args:
        kind: what happened.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        hint: str | None = None,
        kind: DisconnectKind = DisconnectKind.EOF,
        retry: Retry = "backoff",
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.kind, self.retry = kind, retry


class ModelError(StreamwatchError):
    """A scene model cannot be made or used."""


class ModelFileError(ModelError):
    """A model file is truncated, altered, or of another format version."""


class ModelMismatch(ModelError):
    """A model was made with another backbone, other weights or other channels."""


class NotEnoughFrames(ModelError):
    """Too few frames to learn a Gaussian from."""


class SharedModelsError(ModelError):
    """The models that several machines share cannot be reached."""


class WeightsError(StreamwatchError):
    """Backbone weights are missing, altered, or not finite."""


class EngineFailure(StreamwatchError):
    """The device fails on a single frame and on a new engine: a new process may help."""


class StoreError(StreamwatchError):
    """The event database cannot be used."""


class AlreadyStored(StoreError):
    """The event database holds a record of this id."""


class LeaseLost(StoreError):
    """What was to be written is of a camera that another process watches by now: it must not be."""


class NotStorable(StoreError):
    """What was to be written is nothing that a database can hold: a fault of ours."""


class StoreUnavailable(StoreError):
    """The event database does not answer just now: it is locked, its disk is full or fails, or its server is away."""


class ClusterError(StreamwatchError):
    """Ray cannot be reached, or its workers do not do what they are given."""


class DeliveryError(StreamwatchError):
    """A message cannot be delivered, or cannot be made."""


class FolderInUse(StreamwatchError):
    """Another process watches cameras with this data folder."""


class ListenError(StreamwatchError):
    """An address cannot be listened on."""
