"""Who is asked to log in: nobody on this machine alone, everybody elsewhere."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from streamwatch.config.addresses import is_loopback
from streamwatch.config.schema import WebConfig
from streamwatch.enums import Role
from streamwatch.errors import ConfigError


@dataclass(frozen=True)
class TrustedProxy:
    """A reverse proxy that says who asks.

    Attributes:
        header: where it says so, in small letters.
        networks: from where it is believed.
        role: of everybody whom it names.
    """

    header: str
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    role: Role

    def is_it(self, address: str) -> bool:
        """Whether a request from ``address`` is the proxy's."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found  # as a listener of both kinds sees one of the older kind
        return any(found in network for network in self.networks)


@dataclass(frozen=True)
class AccessPolicy:
    """Who is asked to log in.

    Attributes:
        open: nobody is; whoever asks may do everything.
        local: that is so because this machine alone reaches it: not for what a proxy hands on from elsewhere.
        secure: people reach it by https, so that cookies are sent by nothing else.
        proxy: None where there is none.
    """

    open: bool
    local: bool = False
    secure: bool = False
    proxy: TrustedProxy | None = None


def access_policy(web: WebConfig) -> AccessPolicy:
    """What a configuration asks for."""
    host = (web.listen or "").rpartition(":")[0]
    proxy = TrustedProxy(web.proxy.header.lower(), web.proxy.networks, web.proxy.role) if web.proxy else None
    local = is_loopback(host) and not web.insecure
    nobody_asked = web.login == "auto" and proxy is None and (is_loopback(host) or web.insecure)
    secure = web.tls is not None or (web.public_url or "").startswith("https:")
    return AccessPolicy(nobody_asked, local, secure, proxy)


def require_somebody(web: WebConfig, *, any_token: bool) -> None:
    """Somebody can log in where a login is asked for.

    Raises:
        ConfigError: nobody could, and what to do.
    """
    policy = access_policy(web)
    if web.listen is None or policy.open or policy.proxy or any_token:
        return
    text = f"{web.listen} asks for a login, and there is no token yet"
    hint = "`streamwatch token create NAME --role admin -c CONFIG` makes one; or set `web.proxy`, or `web.insecure: true`"
    raise ConfigError(text, where="web.listen", hint=hint)
