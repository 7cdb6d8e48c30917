"""Who asks, and what a route asks of them: every route says which role it needs, and a test walks all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts

from streamwatch.enums import Role
from streamwatch.web.problems import Problem


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes:
        name: a token's, a proxy's user, or ``local`` where no login is asked for.
    """

    name: str
    role: Role


def principal_of(request: Request) -> Principal | None:
    """Who asks; None for somebody who did not say who they are."""
    found = getattr(request.state, "principal", None)
    return found if isinstance(found, Principal) else None


@dataclass(frozen=True)
class RoleCheck:
    """What a route asks of who asks; None asks nothing."""

    role: Role | None

    def __call__(self, request: Request) -> Principal | None:
        """Let them pass.

        Raises:
            Problem: 401 for nobody, 403 for somebody who may not.
        """
        principal = principal_of(request)
        if self.role is None:
            return principal
        if principal is None:
            raise Problem(401, "who are you? send `Authorization: Bearer TOKEN`", headers={"WWW-Authenticate": "Bearer"})
        if not principal.role.covers(self.role):
            raise Problem(403, f"this needs the role {self.role}, and {principal.name} has {principal.role}")
        return principal


EVERYBODY: Any = Depends(RoleCheck(None))
VIEWER: Any = Depends(RoleCheck(Role.VIEWER))
OPERATOR: Any = Depends(RoleCheck(Role.OPERATOR))
ADMIN: Any = Depends(RoleCheck(Role.ADMIN))


@dataclass(frozen=True, slots=True)
class KnownRoute:
    """A route of an app, wherever it was included from.

    Attributes:
        checks: what it asks; empty if nobody decided that.
    """

    path: str
    methods: frozenset[str]
    checks: tuple[RoleCheck, ...]

    @property
    def role(self) -> Role | None:
        """The role that it needs; None for everybody."""
        roles = [check.role for check in self.checks if check.role is not None]
        return max(roles, key=list(Role).index, default=None)


def routes_of(app: FastAPI) -> Iterator[KnownRoute]:
    """All that were written as functions; files are given out by a mount."""
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        if dependant is not None and route.path is not None:
            asked = (dependency.call for dependency in dependant.dependencies)
            checks = tuple(call for call in asked if isinstance(call, RoleCheck))
            yield KnownRoute(route.path, frozenset(route.methods or ()), checks)


def require_declared(app: FastAPI) -> None:
    """Every route says who may use it.

    Raises:
        AssertionError: one does not.
    """
    forgotten = [route.path for route in routes_of(app) if not route.checks]
    if forgotten:
        raise AssertionError(f"who may use {', '.join(forgotten)}?")
