"""Azure Storage's connection strings and blob endpoints, as values.

    <string> ::= <field> { ";" <field> }        ; line ends anywhere, white space around, empty fields mean nothing
    <field> ::= <name> "=" <value>              ; the value may have "=": keys and signatures do

https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string
Owns: what the fields mean.  Must not know: requests.
"""

import base64
import binascii
import ipaddress
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from sccache.errors import ConfigError

DEVELOPMENT_ACCOUNT = "devstoreaccount1"
DEVELOPMENT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Public: every Azurite has them (https://learn.microsoft.com/azure/storage/common/storage-use-azurite)."""
DEVELOPMENT_ENDPOINT = "http://127.0.0.1:10000"
STRING_SOURCE = "cache.azure.connection_string, SCCACHE_AZURE_CONNECTION_STRING"
ENDPOINT_SOURCE = "cache.azure.endpoint, SCCACHE_AZURE_ENDPOINT"
ACCOUNT_SOURCE = "cache.azure.storage_account, SCCACHE_AZURE_STORAGE_ACCOUNT"


class Connection(Struct, frozen=True):
    """Where blobs are, and what a string has to get at them; neither key nor signature: public, or another way."""

    endpoint: str
    """An address without a slash at its end; Azurite's has the account as its path."""
    account: str = ""
    key: bytes = b""
    signature: str = ""
    """A shared access signature: a query without `?`."""


def parse_connection(text: str) -> Connection:
    """Of a connection string (reference 9.7); ConfigError if it cannot be used, in words that do not hold its values."""
    fields = _fields(text)
    account, key = fields.get("accountname", ""), fields.get("accountkey", "")
    endpoint = fields.get("blobendpoint", "")
    if fields.get("usedevelopmentstorage", "").lower() == "true":
        account, key = account or DEVELOPMENT_ACCOUNT, key or DEVELOPMENT_KEY
        endpoint = endpoint or f"{_development_host(fields)}/{account}"
    elif not endpoint:
        suffix = fields.get("endpointsuffix", "")
        if not account or not suffix:
            raise ConfigError(f"Invalid connection string, it needs BlobEndpoint, or AccountName and EndpointSuffix ({STRING_SOURCE})")
        endpoint = f"{fields.get('defaultendpointsprotocol') or 'https'}://{account}.blob.{suffix}"
    endpoint = endpoint.rstrip("/")
    _parts(endpoint, "the blob endpoint of the connection string", STRING_SOURCE)
    signature = fields.get("sharedaccesssignature", "").removeprefix("?")
    if signature:
        return Connection(endpoint, account, signature=signature)
    if not account or not key:
        return Connection(endpoint, account)
    return Connection(endpoint, account, decode_key(key, STRING_SOURCE))


def entra_endpoint(account: str, endpoint: str) -> str:
    """Where tokens of Entra ID are sent: only to https, or to this machine.  The endpoint wins over the account."""
    if not endpoint:
        if not account.isascii() or not account.isalnum():
            raise ConfigError(f"the storage account may have ASCII letters and digits only ({ACCOUNT_SOURCE})")
        return f"https://{account}.blob.core.windows.net"
    endpoint = endpoint.rstrip("/")
    parts = _parts(endpoint, "the blob endpoint", ENDPOINT_SOURCE)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ConfigError(f"the blob endpoint must use https; http is for this machine only ({ENDPOINT_SOURCE})")
    return endpoint


def is_loopback(host: str) -> bool:
    """Whether what is sent to `host` stays on this machine."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # All of 127.0.0.0/8, but not the IPv4 addresses inside IPv6.
    return address.is_loopback and (address.version == 4 or address == ipaddress.IPv6Address("::1"))


def decode_key(key: str, source: str) -> bytes:
    """An account's key; ConfigError if it is not base64."""
    try:
        return base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"the account key is not valid base64 ({source})") from None


def _fields(text: str) -> dict[str, str]:
    """By lower-case name; the first of two counts."""
    fields: dict[str, str] = {}
    for field in text.strip().replace("\n", "").replace("\r", "").split(";"):
        if not field.strip():
            continue
        name, separator, value = field.partition("=")
        if not separator:
            # A field without a name may be a part of a key: only its length is told.
            raise ConfigError(f"Invalid connection string, expected '=' in field: one of {len(field)} characters ({STRING_SOURCE})")
        fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _development_host(fields: dict[str, str]) -> str:
    """Azurite, perhaps on another host: `DevelopmentStorageProxyUri=http://azurite` (its port stays, if none is named)."""
    proxy = fields.get("developmentstorageproxyuri", "").rstrip("/")
    if not proxy:
        return DEVELOPMENT_ENDPOINT
    parts = _parts(proxy, "DevelopmentStorageProxyUri", STRING_SOURCE)
    return proxy if parts.port else f"{parts.scheme}://{parts.netloc}:10000"


def _parts(url: str, what: str, source: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or any(character.isspace() for character in url):
        raise ConfigError(f"{what} is not an http or https address ({source})")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"{what} may have a host, a port and a path only ({source})")
    return parts
