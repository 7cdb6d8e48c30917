"""Models: what they were learned from, learning them anew, going back; and the work that this takes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Path

from streamwatch.config.units import parse_duration_s
from streamwatch.learning.publish_model import roll_back
from streamwatch.model.artifact.serialization import read_metadata
from streamwatch.model.artifact.versions import previous_path
from streamwatch.scenes.model_facts import model_facts
from streamwatch.scenes.model_files import other_regimes, path_for
from streamwatch.scenes.model_history import read_history
from streamwatch.scenes.policy import CalibratedPolicy
from streamwatch.scenes.statements import thresholds_document
from streamwatch.web.access.principals import ADMIN, OPERATOR, VIEWER
from streamwatch.web.api.answers.present import job_document
from streamwatch.web.api.documents.models import HistoryEntry, JobDocument, LearnRequest, ModelDocument, RollbackRequest
from streamwatch.web.context import Site, SiteContext
from streamwatch.web.jobs import Job
from streamwatch.web.problems import Problem, not_found

router = APIRouter(tags=["models"])
MAX_LIVE_S = 86_400.0
JobId = Annotated[str, Path(max_length=36)]


@router.get("/models/{camera}", dependencies=[VIEWER])
def get_models(camera: str, site: Site) -> list[ModelDocument]:
    """A camera's models, one for each regime, and the thresholds that are in force of the one that watches now."""
    path = _model_path(site, camera)
    zones = site.live.cameras.zones_of(camera) if site.live else {}
    paths = dict.fromkeys((path, *other_regimes(path).values()))
    return [_document(of, zones.values() if of == path else ()) for of in paths]


def _document(path: FilePath, zones: Iterable[CalibratedPolicy]) -> ModelDocument:
    documents = [thresholds_document(judged.known, judged.thresholds) for zone in zones for judged in zone.fields]
    return ModelDocument(
        file=path.name, **model_facts(read_metadata(path)), zones=documents, previous=previous_path(path).is_file()
    )


@router.get("/models/{camera}/history", dependencies=[VIEWER])
def get_history(camera: str, site: Site) -> list[HistoryEntry]:
    """What was done to its models and thresholds, the newest first."""
    path = site.config().model_path(site.require_camera(camera))
    paths = dict.fromkeys((path, *other_regimes(path).values()))
    entries = [HistoryEntry(**{"model": of.stem, **line}) for of in paths for line in read_history(of)]
    return sorted(entries, key=lambda entry: entry.time, reverse=True)


@router.post("/models/{camera}/rollback", dependencies=[ADMIN])
def rollback(camera: str, asked: RollbackRequest, site: Site) -> list[ModelDocument]:
    """Put its previous model back; what it replaces becomes the previous one."""
    path = path_for(_model_path(site, camera), asked.regime)
    roll_back(path, site.clock.wall_s())
    if site.control:
        site.control.reload()
    return get_models(camera, site)


@router.post("/models/{camera}/learn", dependencies=[ADMIN], status_code=202)
def learn(camera: str, asked: LearnRequest, site: Site) -> JobDocument:
    """Learn a camera, from its own stream or from its `normal`; watched by the new model when that is done."""
    return job_document(start_learning(site, site.require_camera(camera), asked))


@router.post("/models/{camera}/update", dependencies=[OPERATOR], status_code=202)
def update(camera: str, site: Site) -> JobDocument:
    """Have its model learn the frames that were judged normal since the last update, as every night."""
    control = site.require_control()
    arguments = ("model", "update", "--gently", "-c", str(control.editor.path), site.require_camera(camera))
    return job_document(control.jobs.ask("update", camera, arguments))


@router.get("/jobs", dependencies=[VIEWER])
def list_jobs(site: Site) -> list[JobDocument]:
    """Work that was asked for since the start, the newest first."""
    return [job_document(job) for job in site.control.jobs.list_jobs()] if site.control else []


@router.get("/jobs/{job_id}", dependencies=[VIEWER])
def get_job(job_id: JobId, site: Site) -> JobDocument:
    """One of them."""
    return job_document(_job(site, job_id))


@router.post("/jobs/{job_id}/cancel", dependencies=[ADMIN])
def cancel_job(job_id: JobId, site: Site) -> JobDocument:
    """End it; what it would have replaced stays as it was."""
    job = _job(site, job_id)
    site.require_control().jobs.cancel(job.id)
    return job_document(job)


def start_learning(site: SiteContext, camera: str, asked: LearnRequest, *, enable: bool = False) -> Job:
    """Ask for it.

    Args:
        enable: watch the camera when it is learned; so is one that is switched off.

    Raises:
        Problem: there is nothing to learn from.
    """
    control = site.require_control()
    known = site.config().cameras.get(camera)
    if asked.live is None and known is not None and not known.normal:
        raise Problem(422, f"camera {camera} has no `normal` footage; give `live`, like 20m")
    seconds = live_s(asked)
    options = ("--live", f"{seconds:g}s") if seconds else ()
    updating = ("--update",) if asked.update else ()
    arguments = ("fit", "-c", str(control.editor.path), camera, *options, *updating)
    watch = partial(control.editor.change_camera, camera, {"enabled": None})
    then = watch if enable or (known is not None and not known.enabled) else lambda: None
    return control.jobs.ask("learn", camera, arguments, then, long=True)


def live_s(asked: LearnRequest) -> float | None:
    """Seconds of its own stream; None to learn from `normal`.

    Raises:
        Problem: it is no duration, or not one of a second to a day.
    """
    if asked.live is None:
        return None
    try:
        seconds = parse_duration_s(asked.live)
    except ValueError as error:
        raise Problem(422, f"live: {error}") from None
    if not 1 <= seconds <= MAX_LIVE_S:
        raise Problem(422, "live: must be a second to a day")
    return seconds


def _model_path(site: SiteContext, camera: str) -> FilePath:
    path = site.config().model_path(site.require_camera(camera))
    if not path.is_file():
        raise not_found(f"model of camera {camera} yet: it was not learned")
    return path


def _job(site: SiteContext, job_id: str) -> Job:
    found = site.control.jobs.find(job_id) if site.control else None
    if found is None:
        raise not_found(f"job {job_id!r}")
    return found
