"""Tencent Cloud COS, as our own strict server: `q-sign-algorithm=sha1` in the Authorization header.

Written from https://www.tencentcloud.com/document/product/436/7778 (what is signed) and
https://intl.cloud.tencent.com/document/api/436/7730 (errors).
"""

import hashlib
import hmac
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, unquote

from aiohttp import web
from tests.servers.signed_store import Names, RefusedError, SignedStorePlace, running, secret_of, serve

FIELDS = ["q-sign-algorithm", "q-ak", "q-sign-time", "q-key-time", "q-header-list", "q-url-param-list", "q-signature"]


class CosPlace(SignedStorePlace):
    """COS."""

    backend: ClassVar[str] = "cos"
    names: ClassVar[Names] = Names("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_SECURITY_TOKEN")


@contextmanager
def cos(folder: Path) -> Iterator[CosPlace]:
    """A pair of keys."""
    with running(CosPlace, folder) as place:
        yield place


@contextmanager
def cos_temporary(folder: Path) -> Iterator[CosPlace]:
    """Temporary keys with their token."""
    with running(CosPlace, folder, is_temporary=True) as place:
        yield place


def check(request: web.Request) -> None:
    """Refuse what is not signed as the documents say."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    text = headers.get("authorization", "")
    fields = dict(part.split("=", 1) for part in text.split("&") if "=" in part)
    if not text:
        raise RefusedError(403, "AccessDenied", "Access Denied.")
    if sorted(fields) != sorted(FIELDS) or fields["q-sign-algorithm"] != "sha1":
        raise RefusedError(400, "InvalidArgument", "The authorization has another form.")
    _check_time(fields["q-sign-time"])
    _check_time(fields["q-key-time"])
    secret = secret_of(fields["q-ak"], headers.get("x-cos-security-token", ""))
    signed_headers = _listed(fields["q-header-list"], headers)
    parameters = _listed(fields["q-url-param-list"], {name.lower(): value for name, value in request.query.items()})
    http_string = "\n".join((request.method.lower(), unquote(request.rel_url.raw_path), parameters, signed_headers, ""))
    digest = hashlib.sha1(http_string.encode()).hexdigest()
    sign_key = hmac.digest(secret.encode(), fields["q-key-time"].encode(), hashlib.sha1).hex()
    signature = hmac.digest(sign_key.encode(), f"sha1\n{fields['q-sign-time']}\n{digest}\n".encode(), hashlib.sha1).hex()
    if not hmac.compare_digest(signature, fields["q-signature"]):
        raise RefusedError(403, "SignatureDoesNotMatch", "The Signature you specified is invalid.")


def _check_time(text: str) -> None:
    match = re.fullmatch(r"(\d+);(\d+)", text)
    if match is None or not int(match[1]) < int(match[2]):
        raise RefusedError(400, "InvalidArgument", "The signature's time has another form.")
    # A minute for clocks that differ, as the service grants some.
    if not int(match[1]) - 60 <= time.time() <= int(match[2]):
        raise RefusedError(403, "AccessDenied", "Request has expired.")


def _listed(names: str, values: Mapping[str, str]) -> str:
    """`name=value&…` of what the list says was signed: lower-case, sorted, encoded."""
    listed = names.split(";") if names else []
    if listed != sorted(listed) or any(name not in values for name in listed):
        raise RefusedError(403, "SignatureDoesNotMatch", "The list of what is signed is not sorted, or names what is not there.")
    return "&".join(f"{quote(name, safe='')}={quote(values[name], safe='')}" for name in listed)


if __name__ == "__main__":
    serve(check, "x-cos-request-id")
