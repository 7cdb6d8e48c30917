"""Each camera's last result, which holds for frames in which nothing has changed since."""

from __future__ import annotations

from dataclasses import replace

from streamwatch.records import Frame
from streamwatch.scores import FrameScore


class LastResults:
    """Of the cameras whose frames say whether they are still (``Frame.still``); nothing is kept of others."""

    def __init__(self) -> None:
        self._last: dict[str, FrameScore] = {}

    def holds_for(self, frame: Frame) -> bool:
        """Whether the frame is still, and its camera's last result is of the same segment."""
        last = self._last.get(frame.camera)
        return bool(frame.still) and last is not None and last.frame.segment == frame.segment

    def of(self, frame: Frame) -> FrameScore:
        """The last result as that of ``frame``, for which it holds."""
        last = self._last[frame.camera]
        return replace(last, frame=replace(frame, speed=last.frame.speed), reused=True)

    def keep(self, scored: FrameScore) -> FrameScore:
        """The result itself, which is remembered, without the decoded picture that it is of."""
        if scored.frame.still is not None:
            self._last[scored.frame.camera] = replace(scored, frame=replace(scored.frame, picture=None))
        return scored

    def forget(self, camera: str) -> None:
        """The camera's results are made in another way from now on."""
        self._last.pop(camera, None)
