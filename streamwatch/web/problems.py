"""Faults as answers: application/problem+json (RFC 9457) for programs, a page for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from streamwatch.errors import (
    ConfigError,
    DeliveryError,
    ListenError,
    ModelError,
    SourceError,
    SourceNotFound,
    StoreError,
    StoreUnavailable,
    StreamwatchError,
    UsageError,
)
from streamwatch.masking import mask_credentials

PROBLEM_TYPE = "application/problem+json"
STATUS_OF: tuple[tuple[type[StreamwatchError], int], ...] = (
    (ConfigError, 422),
    (SourceNotFound, 422),
    (UsageError, 422),
    (SourceError, 502),
    (DeliveryError, 502),
    (ListenError, 409),
    (ModelError, 409),
    (StoreUnavailable, 503),
    (StoreError, 503),
)
"""The first that a fault is one of; others are ours, 500."""


class Problem(Exception):
    """A request that is not done.

    Args:
        status: HTTP's.
        detail: what is wrong with this request, and what to do.
        more: what else programs are told.
    """

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, dict(headers or {}), more

    def answer(self) -> JSONResponse:
        """It as an answer."""
        title = HTTPStatus(self.status).phrase
        body = {"type": "about:blank", "title": title, "status": self.status, "detail": mask_credentials(self.detail)}
        return JSONResponse({**body, **self.more}, self.status, self.headers, media_type=PROBLEM_TYPE)


def not_found(what: str) -> Problem:
    """There is no such thing."""
    return Problem(404, f"there is no {what}")


def problem_of(error: StreamwatchError) -> Problem:
    """Our own error as a problem."""
    status = next((status for kind, status in STATUS_OF if isinstance(error, kind)), 500)
    more: dict[str, Any] = {"problems": list(error.problems)} if isinstance(error, ConfigError) else {}
    return Problem(status, str(error), **more)


Answer = Callable[[Request, Problem], Response]


def answer_problems(app: FastAPI, answer: Answer) -> None:
    """Have the app answer faults, whoever raised them."""

    @app.exception_handler(Problem)
    def answer_problem(request: Request, problem: Problem) -> Response:
        return answer(request, problem)

    @app.exception_handler(StreamwatchError)
    def answer_error(request: Request, error: StreamwatchError) -> Response:
        return answer(request, problem_of(error))

    @app.exception_handler(HTTPException)
    def answer_http(request: Request, error: HTTPException) -> Response:
        return answer(request, Problem(error.status_code, str(error.detail), headers=error.headers))

    @app.exception_handler(RequestValidationError)
    def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        wrong = [{"at": list(map(str, detail["loc"])), "rule": detail["msg"]} for detail in error.errors()]
        first = f"{'.'.join(wrong[0]['at'])}: {wrong[0]['rule']}" if wrong else "it is not what it should be"
        return answer(request, Problem(422, first, errors=wrong))
