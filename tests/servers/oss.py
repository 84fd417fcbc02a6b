"""Alibaba Cloud OSS, as our own strict server: signatures of version 1 in the Authorization header.

Written from https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header (what is
signed), https://www.alibabacloud.com/help/en/oss/support/0002-00000504 (the time) and
https://www.alibabacloud.com/help/en/object-storage-service/latest/oss-error-response (errors).
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from aiohttp import web
from tests.servers.signed_store import BUCKET, Names, RefusedError, SignedStorePlace, running, secret_of, serve

MAX_SKEW_S = 15 * 60


class OssPlace(SignedStorePlace):
    """OSS."""

    backend: ClassVar[str] = "oss"
    names: ClassVar[Names] = Names(
        "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"
    )  # fmt: skip


@contextmanager
def oss(folder: Path) -> Iterator[OssPlace]:
    """A pair of keys."""
    with running(OssPlace, folder) as place:
        yield place


@contextmanager
def oss_temporary(folder: Path) -> Iterator[OssPlace]:
    """Temporary keys with their token."""
    with running(OssPlace, folder, is_temporary=True) as place:
        yield place


def check(request: web.Request) -> None:
    """Refuse what is not signed as the documents say."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    kind, _, signed = headers.get("authorization", "").partition(" ")
    key_id, colon, signature = signed.partition(":")
    if kind != "OSS" or not colon:
        raise RefusedError(403, "AccessDenied", "You have no right to access this object.")
    date = headers.get("x-oss-date") or headers.get("date") or ""
    try:
        sent_s = parsedate_to_datetime(date).timestamp()
    except ValueError:
        raise RefusedError(403, "AccessDenied", "OSS authentication requires a valid Date.") from None
    if abs(sent_s - time.time()) > MAX_SKEW_S:
        raise RefusedError(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
    ours = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers) if name.startswith("x-oss-"))
    # Sub-resources would follow the object's name, but nobody here asks for any.
    resource = f"/{BUCKET}{unquote(request.rel_url.raw_path)}"
    if request.query_string:
        raise RefusedError(400, "InvalidArgument", "No query is expected.")
    text = "\n".join((request.method, headers.get("content-md5", ""), headers.get("content-type", ""), date, f"{ours}{resource}"))
    secret = secret_of(key_id, headers.get("x-oss-security-token", ""))
    if not hmac.compare_digest(base64.b64encode(hmac.digest(secret.encode(), text.encode(), hashlib.sha1)).decode(), signature):
        raise RefusedError(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")


if __name__ == "__main__":
    serve(check, "x-oss-request-id")
