"""Endpoints of services that put the bucket before the host name: `https://<bucket>.<host>/<object>`.

Owns: which texts are such an endpoint.  Must not know: any service.
"""

import ipaddress
from urllib.parse import urlsplit

from msgspec import Struct

from sccache.errors import ConfigError


class BucketEndpoint(Struct, frozen=True):
    """A checked endpoint."""

    url: str
    """Scheme, host and port; https where no scheme was given."""
    is_ip_address: bool
    """No name can be put before it."""
    source: str
    """The setting and its variable, for messages."""


def bucket_endpoint(backend: str, text: str | None, example: str) -> BucketEndpoint:
    """Of the setting `cache.<backend>.endpoint`; ConfigError if it is missing or something else.

    The value is not repeated in messages: somebody may have put a password into it.
    """
    source = f"cache.{backend}.endpoint (SCCACHE_{backend.upper()}_ENDPOINT)"
    if not text:
        raise ConfigError(f"{source} is missing; it is the address of the bucket's region, such as {example}")
    try:
        parts = urlsplit(text.strip() if "://" in text else f"https://{text.strip()}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    is_bare = parts.path in {"", "/"} and not (parts.query or parts.fragment or parts.username or parts.password)
    if not host or parts.scheme not in {"http", "https"} or not is_bare:
        raise ConfigError(f"{source} is not an address such as {example}")
    name = f"[{host}]" if ":" in host else host
    return BucketEndpoint(f"{parts.scheme}://{name}{f':{port}' if port else ''}", _is_ip(host), source)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
