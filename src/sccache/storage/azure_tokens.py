"""Where tokens of Microsoft Entra ID come from.

Owns: service principals, workload identity, managed identity, in this order.  Must not know: blobs.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow (secrets, and assertions of other issuers)
https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token (IMDS)
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from sccache.errors import ConfigError, StorageError, Trouble
from sccache.storage.azure_connection import is_loopback
from sccache.storage.http import HttpClient
from sccache.storage.tokens import DirectHttpClient, Token, ask_form, ask_metadata, oauth_token

AUTHORITY = "https://login.microsoftonline.com"
SCOPE = "https://storage.azure.com/.default"
RESOURCE = "https://storage.azure.com/"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
IMDS = "http://169.254.169.254"
IMDS_PATH = "/metadata/identity/oauth2/token"
MAX_ASSERTION_BYTES = 64 << 10
ADVICE = "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or SCCACHE_AZURE_CONNECTION_STRING"


class EntraTokens:
    """Fetches tokens for storage; keeps nothing."""

    def __init__(self, ambient: Mapping[str, str], http: HttpClient) -> None:
        """Of the AZURE_ variables; ConfigError if AZURE_AUTHORITY_HOST is no address that secrets may be sent to."""
        names = ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "FEDERATED_TOKEN_FILE")
        self._tenant, self._client, self._secret, self._token_file = (ambient.get(f"AZURE_{name}", "") for name in names)
        self._authority = _authority(ambient.get("AZURE_AUTHORITY_HOST", ""))
        self._http = http
        self._direct = DirectHttpClient()

    async def aclose(self) -> None:
        """Close own connections; `http` is the caller's."""
        await self._direct.aclose()

    async def fetch(self) -> Token:
        """Of the first source that is configured; StorageError if it gives none."""
        is_known = bool(self._tenant and self._client)
        if is_known and self._secret:
            return await self._ask_authority({"client_secret": self._secret})
        if is_known and self._token_file:
            assertion = await asyncio.to_thread(_read_assertion, self._token_file)
            return await self._ask_authority({"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion})
        query = {"api-version": "2018-02-01", "resource": RESOURCE, **({"client_id": self._client} if self._client else {})}
        answer = await ask_metadata(self._direct, f"{IMDS}{IMDS_PATH}?{urlencode(query)}", {"Metadata": "true"}, ADVICE)
        return oauth_token(answer)

    async def _ask_authority(self, proof: Mapping[str, str]) -> Token:
        url = f"{self._authority}/{quote(self._tenant, safe='')}/oauth2/v2.0/token"
        form = {"grant_type": "client_credentials", "client_id": self._client, "scope": SCOPE, **proof}
        return oauth_token(await ask_form(self._http, url, form))


def _authority(text: str) -> str:
    """The address of Entra ID, or of a national cloud's; Azure's own tools also take a bare host."""
    text = text.strip()
    if not text:
        return AUTHORITY
    url = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(url)
        is_usable = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc and not parts.query and not parts.fragment
        is_secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    except ValueError:
        is_usable = is_secure = False
    if not is_usable or not is_secure:
        raise ConfigError("AZURE_AUTHORITY_HOST is not an https address such as https://login.microsoftonline.com")
    return url.rstrip("/")


def _read_assertion(path: str) -> str:
    """The federated token; Kubernetes replaces the file, so it is read each time."""
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_ASSERTION_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as e:
        reason = (e.strerror or "cannot be read").lower() if isinstance(e, OSError) else "is no token"
        raise StorageError(f"AZURE_FEDERATED_TOKEN_FILE: {path}: {reason}", Trouble.DENIED) from e
