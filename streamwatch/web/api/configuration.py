"""The configuration file as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from streamwatch.config.editing import FileChanged
from streamwatch.config.schema import Config
from streamwatch.errors import ConfigError
from streamwatch.web.access.principals import ADMIN
from streamwatch.web.api.documents.setup import ConfigCheck, ConfigDocument, ConfigTag, ConfigText
from streamwatch.web.context import Site
from streamwatch.web.problems import Problem

router = APIRouter(prefix="/config", tags=["configuration"])
IfMatch = Annotated[str | None, Header(max_length=100)]


@router.get("", dependencies=[ADMIN])
def get_config(site: Site, response: Response) -> ConfigDocument:
    """What stands in the file, secrets masked, and its tag, which a change names so that nobody's is overwritten."""
    control = site.require_control()
    text, tag = control.editor.shown()
    response.headers["ETag"] = f'"{tag}"'
    return ConfigDocument(text=text, tag=tag, refused=control.refused())


@router.post("/validate", dependencies=[ADMIN])
def validate(asked: ConfigText, site: Site) -> ConfigCheck:
    """What is wrong with a configuration; nothing is changed."""
    try:
        site.require_control().editor.check(asked.text)
    except ConfigError as error:
        return ConfigCheck(valid=False, problems=list(error.problems))
    return ConfigCheck(valid=True, problems=[])


@router.put("", dependencies=[ADMIN])
def put_config(asked: ConfigText, site: Site, if_match: IfMatch = None) -> ConfigTag:
    """Put another configuration in its place, if it is valid; the daemon takes it up within a second.

    With `If-Match: "TAG"` only if the file is still the one that has this tag: 412 otherwise.
    """
    with conflict_if_changed():
        tag = site.require_control().editor.replace(asked.text, tag_in(if_match))
    return ConfigTag(tag=tag)


@router.get("/schema", dependencies=[ADMIN])
def get_schema() -> dict[str, Any]:
    """Its JSON schema."""
    return Config.model_json_schema()


def tag_in(if_match: str | None) -> str | None:
    """What ``If-Match`` asks for; None if any will do."""
    return None if if_match in (None, "*") else str(if_match).strip('"')


@contextmanager
def conflict_if_changed() -> Iterator[None]:
    """Answer 412 where the file was changed meanwhile."""
    try:
        yield
    except FileChanged as error:
        raise Problem(412, str(error)) from None
