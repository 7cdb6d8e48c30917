"""Pictures and files as answers, which are not sent again to who has them."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import FileResponse

from streamwatch.web.live.pictures import Shown

REVALIDATED = "private, no-cache"


def picture_answer(request: Request, shown: Shown) -> Response:
    """A picture, or 304 if the one who asks has it."""
    headers = {"ETag": f'"{shown.tag}"', "Cache-Control": REVALIDATED, "X-Captured-At": f"{shown.wall_s:.3f}"}
    if has_it(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(shown.content, media_type=shown.media_type, headers=headers)


def file_answer(request: Request, path: Path, media_type: str) -> Response:
    """A file, or 304 if the one who asks has it; parts of it where a player asks for them."""
    stat = path.stat()
    tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    headers = {"ETag": tag, "Cache-Control": REVALIDATED}
    if has_it(request, tag):
        return Response(status_code=304, headers=headers)
    return FileResponse(path, media_type=media_type, headers=headers, content_disposition_type="inline", filename=path.name)


def has_it(request: Request, tag: str) -> bool:
    """Whether ``If-None-Match`` names it."""
    known = request.headers.get("if-none-match", "")
    return known == "*" or tag in (part.strip().removeprefix("W/") for part in known.split(","))
