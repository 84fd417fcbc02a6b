"""What a failure of the opendal library means: its messages read, and told again in one sentence without a secret.

Owns: how opendal writes its errors (Rust's Debug text, no attributes), which trouble each is, services' own codes.
Must not know: any operator or setting.

Its text has the address of the request (with a signature, for SAS), all headers and a backtrace.  Nothing of it is passed
on but: the status, the service's code (one word), Retry-After, the region, and causes that are known here.
"""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from msgspec import Struct

from sccache.errors import StorageError, Trouble
from sccache.storage.http import parse_retry_after

NOT_FOUND = "NotFound"
WRONG_PLACE_CODES = frozenset({
    "AuthorizationHeaderMalformed",  # AWS: signed for another region than the bucket's
    "BucketNotFound",
    "ContainerBeingDeleted",
    "ContainerDisabled",
    "ContainerNotFound",
    "IllegalLocationConstraintException",
    "IncorrectEndpoint",
    "InvalidBucketName",
    "NoSuchBucket",
    "PermanentRedirect",
    "SecondLevelDomainForbidden",
    "TemporaryRedirect",
    "UserDisable",
})  # fmt: skip
"""Codes of S3, Azure Blob, OSS and COS for a bucket that is not there, or elsewhere."""
DENIED_CODES = frozenset({
    "AccessDenied", "AccountProblem", "AllAccessDisabled", "AuthenticationFailed", "AuthorizationFailure",
    "AuthorizationPermissionMismatch",
    "ExpiredToken", "InvalidAccessKeyId", "InvalidAuthenticationInfo", "InvalidClientTokenId", "InvalidSecurity", "InvalidSecurityToken",
    "InvalidToken", "NoAuthenticationInformation", "NotSignedUp", "RequestTimeTooSkewed", "SecurityTokenExpired", "SignatureDoesNotMatch",
    "TokenRefreshRequired", "UnauthorizedAccess", "UnrecognizedClientException",
})  # fmt: skip
"""Codes that come with status 400, too."""
CODE_TROUBLE = {
    "SlowDown": Trouble.RATE_LIMITED,
    "ServerBusy": Trouble.RATE_LIMITED,
    "TooManyRequests": Trouble.RATE_LIMITED,
    "RequestTimeout": Trouble.TIMED_OUT,
    "OperationTimedOut": Trouble.TIMED_OUT,
    "EntityTooLarge": Trouble.TOO_LARGE,
    "RequestBodyTooLarge": Trouble.TOO_LARGE,
}
STATUS_TROUBLE = {
    301: Trouble.WRONG_PLACE,
    307: Trouble.WRONG_PLACE,
    308: Trouble.WRONG_PLACE,
    401: Trouble.DENIED,
    403: Trouble.DENIED,
    407: Trouble.DENIED,
    408: Trouble.TIMED_OUT,
    413: Trouble.TOO_LARGE,
    429: Trouble.RATE_LIMITED,
    504: Trouble.TIMED_OUT,
}
KIND_TROUBLE = {"PermissionDenied": Trouble.DENIED, "RateLimited": Trouble.RATE_LIMITED, "ConfigInvalid": Trouble.WRONG_PLACE}
CAUSES = (
    ("invalid peer certificate: UnknownIssuer", Trouble.BAD_TLS, "the certificate's issuer is not trusted"),
    ("invalid peer certificate: certificate expired", Trouble.BAD_TLS, "the certificate has expired"),
    ("invalid peer certificate: certificate not valid for name", Trouble.BAD_TLS, "the certificate is for another host"),
    ("certificate", Trouble.BAD_TLS, "the certificate is not valid"),
    ("received corrupt message", Trouble.BAD_TLS, "the service does not speak TLS"),
    ("tls handshake", Trouble.BAD_TLS, "no TLS connection"),
    ("received fatal alert", Trouble.BAD_TLS, "no TLS connection"),
    ("no valid credential", Trouble.DENIED, "no credentials were found"),
    ("no credential", Trouble.DENIED, "no credentials were found"),
    ("dns error", Trouble.UNREACHABLE, "the host is not known"),
    ("Connection refused", Trouble.UNREACHABLE, "connection refused"),
    ("etwork unreachable", Trouble.UNREACHABLE, "the network cannot be reached"),
    ("etwork is unreachable", Trouble.UNREACHABLE, "the network cannot be reached"),
    ("No route to host", Trouble.UNREACHABLE, "no route to the host"),
    ("timed out", Trouble.TIMED_OUT, "timed out"),
    ("deadline has elapsed", Trouble.TIMED_OUT, "timed out"),
    ("onnection reset", Trouble.UNREACHABLE, "the connection was cut off"),
    ("roken pipe", Trouble.UNREACHABLE, "the connection was cut off"),
    ("connection closed", Trouble.UNREACHABLE, "the connection was cut off"),
    ("end of file", Trouble.UNREACHABLE, "the connection was cut off"),
    ("unexpected eof", Trouble.UNREACHABLE, "the connection was cut off"),
    ("failed to load signing credential", Trouble.DENIED, "no credentials could be loaded"),
    ("reqsign", Trouble.DENIED, "no credentials could be loaded"),
    ("read data from http response", Trouble.UNREACHABLE, "the connection was cut off"),
    ("client error (Connect)", Trouble.UNREACHABLE, "no connection can be made"),
    ("error sending request", Trouble.UNREACHABLE, "no connection"),
    ("reader got too little data", Trouble.UNREACHABLE, "the connection was cut off"),
    ("got too much data", Trouble.ERROR, "the answer is longer than announced"),
)  # fmt: skip
"""Phrases of hyper, rustls, reqsign and opendal where no answer came; the first that occurs counts."""

_KIND = re.compile(r"\s*(\w+) \(\w+\) at ")
_STATUS = re.compile(r"\bParts \{ status: (\d{3})\b")
_CODE = re.compile(r"""\b(?:code: |<Code>)"?(\w{1,64})\b""")
_RETRY_AFTER = re.compile(r'"retry-after": "([^"]{1,64})"', re.IGNORECASE)
_REGION = re.compile(r'"x-amz-bucket-region": "([a-z0-9-]{1,40})"', re.IGNORECASE)
_BACKTRACE = "\n\nBacktrace:"


class Failure(Struct, frozen=True):
    """One error of opendal, taken apart."""

    kind: str
    """NotFound, PermissionDenied …: the class of the exception, which an OSError has as its first word."""
    status: int
    """Of the HTTP answer; 0: there was none."""
    code: str
    """The service's own word: `NoSuchBucket`; empty if there is none."""
    region: str
    """Where AWS says that the bucket is; empty if it did not say."""
    retry_after_s: float | None
    text: str
    """The service's answer and the causes, without the context: addresses there could read like a cause.  Not to be shown."""


def take_apart(error: Exception) -> Failure:
    """What `error`, an exception of opendal or an OSError of its files, says."""
    text = str(error).split(_BACKTRACE, 1)[0]
    kind = _KIND.match(text)
    status = _STATUS.search(text)
    # Debug: `kind at operation => answer`, the context, the causes.  Display: `kind at operation, context => answer, causes`.
    head, _, causes = text.partition("\n\nContext:")
    _, arrow, answer = head.partition(" => ")
    answer = answer if arrow else head
    code = _CODE.search(answer)
    retry = _RETRY_AFTER.search(text)
    region = _REGION.search(text)
    return Failure(
        kind=kind[1] if kind else type(error).__name__,
        status=int(status[1]) if status else 0,
        code=code[1] if code and not code[1].isdigit() else "",
        region=region[1] if region else "",
        retry_after_s=parse_retry_after(retry[1]) if retry else None,
        text=answer + causes.partition("\n\nSource:")[2],
    )


def is_absent(failure: Failure, wrong_place_phrases: Iterable[str] = ()) -> bool:
    """Whether there is no such object, in a bucket that exists."""
    return failure.kind == NOT_FOUND and not _is_wrong_place(failure, wrong_place_phrases)


def storage_error(failure: Failure, wrong_place_phrases: Iterable[str] = (), notes: Mapping[Trouble, str] | None = None) -> StorageError:
    """What to raise; `wrong_place_phrases` of the answer tell that the bucket does not exist, `notes` are added to messages."""
    trouble, message = _explained(failure, wrong_place_phrases)
    note = (notes or {}).get(trouble, "")
    retry_after_s = failure.retry_after_s if trouble is Trouble.RATE_LIMITED else None
    return StorageError(f"{message}; {note}" if note else message, trouble, retry_after_s=retry_after_s)


def _explained(failure: Failure, wrong_place_phrases: Iterable[str]) -> tuple[Trouble, str]:
    if not failure.status:
        cause, message = _cause(failure.text)
        return (KIND_TROUBLE.get(failure.kind, cause) if cause is Trouble.ERROR else cause), message
    answer = f"{failure.status} {failure.code or _phrase(failure.status)}".rstrip()
    if _is_wrong_place(failure, wrong_place_phrases) or failure.kind == NOT_FOUND:
        return Trouble.WRONG_PLACE, answer
    if failure.code in DENIED_CODES:
        return Trouble.DENIED, answer
    trouble = CODE_TROUBLE.get(failure.code) or STATUS_TROUBLE.get(failure.status)
    if trouble is not None:
        return trouble, answer
    return KIND_TROUBLE.get(failure.kind, Trouble.ERROR), answer


def _is_wrong_place(failure: Failure, phrases: Iterable[str]) -> bool:
    return failure.code in WRONG_PLACE_CODES or any(phrase in failure.text for phrase in phrases)


def _cause(text: str) -> tuple[Trouble, str]:
    """Trouble and sentence for a failure without an answer."""
    for phrase, trouble, message in CAUSES:
        if phrase in text:
            return trouble, message
    return Trouble.ERROR, "the storage library failed"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
