"""A strict S3, STS and metadata server for tests: `python s3_service.py PORT CERTIFICATE KEY`, the files for TLS or empty.

What other servers for tests let pass is checked here (moto and s3rver do not check version 4 signatures):
* every signature, as https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html says;
* session tokens, expiry, region of the bucket, length and hash of bodies; anonymous reads of the bucket `public` only;
* roles (STS AssumeRole, AssumeRoleWithWebIdentity), the token of IMDSv2, the token of ECS.
CONNECT makes it stand for any host, so that the fixed addresses of AWS lead here.  `/_control` takes wishes and gives the log.
"""

import hashlib
import hmac
import json
import ssl
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

REGION = "us-east-1"
BUCKETS = {"sccache-test": REGION, "public": REGION, "in-europe": "eu-west-1"}
KEY_ID, SECRET = "AKIDSTATIC", "static/Secret+0123456789"
WEB_TOKEN = "web.identity.token"
IMDS_TOKEN = "imds-session-token"
ECS_TOKEN = "ecs-authorization"
ROLE = "arn:aws:iam::123456789012:role/cache"
SERVICE_HOSTS = (
    "s3.amazonaws.com", "s3.us-east-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "*.s3.us-east-1.amazonaws.com",
    "sts.amazonaws.com", "sts.us-east-1.amazonaws.com",
)  # fmt: skip
"""What CONNECT may stand for."""
CLOCK_SKEW = timedelta(minutes=15)


class State:
    """What the server knows."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.objects: dict[str, bytes] = {}
        self.keys: dict[str, tuple[str, str]] = {KEY_ID: (SECRET, "")}
        self.expired: set[str] = set()
        self.log: list[dict[str, Any]] = []
        self.lifetime_s = 3600
        self.issued = 0

    def issue(self, origin: str) -> dict[str, str]:
        """New temporary credentials; `origin` is part of the key's id."""
        with self.lock:
            self.issued += 1
            key_id = f"ASIA{origin}{self.issued}".ljust(20, "X")
            secret, token = f"temporarySecret{self.issued}".ljust(40, "s"), f"temporaryToken{self.issued}".ljust(200, "t")
            self.keys[key_id] = (secret, token)
        expiration = (datetime.now(UTC) + timedelta(seconds=self.lifetime_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"AccessKeyId": key_id, "SecretAccessKey": secret, "SessionToken": token, "Token": token, "Expiration": expiration}


STATE = State()
TLS: ssl.SSLContext | None = None


class Refusal(Exception):  # noqa: N818 -- an answer, not a mistake
    """An error document."""

    def __init__(self, status: int, code: str, **headers: str) -> None:
        super().__init__(code)
        self.status, self.code, self.headers = status, code, headers


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, *arguments: object) -> None:
        """Nothing: the log is asked for."""

    def do_CONNECT(self) -> None:
        assert TLS is not None
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.wfile.flush()
        self.connection = TLS.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb", -1)
        self.wfile = self.connection.makefile("wb", self.wbufsize)
        self.close_connection = False

    def do_GET(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path if self.path.startswith("/") else "/" + self.path.split("/", 3)[3]  # a proxy gets whole addresses
        try:
            self._answer(200, self._respond(path, body))
        except Refusal as e:
            xml = f"<?xml version='1.0'?><Error><Code>{e.code}</Code><Message>Refused.</Message></Error>"
            self._answer(e.status, xml.encode(), **e.headers)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("x-amz-id-2", "u5bjM3RyaWN0c2VydmVyc3RyaWN0c2VydmVyc3RyaWN0c2VydmVyc3RyaWN0c2VydmVyc3RyaWN0")
        self.send_header("x-amz-request-id", "0123456789ABCDEF")
        self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 20:00:00 GMT")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "binary/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _respond(self, path: str, body: bytes) -> bytes:
        if path == "/_control":
            return self._control(body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        STATE.log.append({"method": self.command, "path": path, "headers": headers})
        if path.startswith("/latest/"):
            return self._metadata(path, headers)
        if path.startswith("/ecs"):
            if headers.get("authorization") != ECS_TOKEN:
                raise Refusal(401, "Unauthorized")
            return json.dumps({**STATE.issue("ECS"), "RoleArn": ROLE}).encode()
        if headers["host"].startswith("sts."):
            return self._sts(path, headers, body)
        return self._s3(path, headers, body)

    def _control(self, body: bytes) -> bytes:
        wishes = json.loads(body or b"{}")
        if "lifetime_s" in wishes:
            STATE.lifetime_s = wishes["lifetime_s"]
        if "expire" in wishes:
            STATE.expired.add(wishes["expire"])
        if "keys" in wishes:
            STATE.keys.update({key_id: (secret, token) for key_id, secret, token in wishes["keys"]})
        log, STATE.log = STATE.log, []
        return json.dumps(log).encode()

    def _metadata(self, path: str, headers: dict[str, str]) -> bytes:
        if path == "/latest/api/token":
            if self.command != "PUT" or not 1 <= int(headers.get("x-aws-ec2-metadata-token-ttl-seconds", "0")) <= 21600:
                raise Refusal(400, "BadRequest")
            return IMDS_TOKEN.encode()
        if headers.get("x-aws-ec2-metadata-token") != IMDS_TOKEN:
            raise Refusal(401, "Unauthorized")
        if path == "/latest/meta-data/iam/security-credentials/":
            return b"cache-role"
        if path == "/latest/meta-data/iam/security-credentials/cache-role":
            return json.dumps({"Code": "Success", "Type": "AWS-HMAC", **STATE.issue("IMDS")}).encode()
        raise Refusal(404, "NotFound")

    def _sts(self, path: str, headers: dict[str, str], body: bytes) -> bytes:
        query = dict(parse_qsl(urlsplit(path).query) + parse_qsl(body.decode()))
        action = query.get("Action", "")
        if query.get("RoleArn") != ROLE or query.get("Version") != "2011-06-15":
            raise Refusal(403, "AccessDenied")
        if action == "AssumeRole":
            check_signature(self.command, path, headers, body, "sts", REGION)
            if query.get("ExternalId", "") not in {"", "outside"}:
                raise Refusal(403, "AccessDenied")
        elif action != "AssumeRoleWithWebIdentity" or query.get("WebIdentityToken") != WEB_TOKEN:
            raise Refusal(400, "InvalidIdentityToken")
        fields = STATE.issue("ROLE" if action == "AssumeRole" else "WEB")
        xml = "".join(f"<{name}>{fields[name]}</{name}>" for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"))
        return f"<{action}Response><{action}Result><Credentials>{xml}</Credentials></{action}Result></{action}Response>".encode()

    def _s3(self, path: str, headers: dict[str, str], body: bytes) -> bytes:
        bucket, _, name = unquote(urlsplit(path).path).lstrip("/").partition("/")
        first_label = headers["host"].split(".", 1)[0]
        if first_label in BUCKETS or headers["host"].endswith(".localhost"):
            bucket, name = first_label, unquote(urlsplit(path).path).lstrip("/")
        is_public = bucket == "public" and self.command == "GET" and "authorization" not in headers
        region = BUCKETS.get(bucket)
        if not is_public:
            check_signature(self.command, path, headers, body, "s3", region or REGION)
        if region is None:
            raise Refusal(404, "NoSuchBucket")
        if region != REGION:
            raise Refusal(301, "PermanentRedirect", x_amz_bucket_region=region)
        if self.command == "PUT":
            STATE.objects[f"{bucket}/{name}"] = body
            return b""
        blob = STATE.objects.get(f"{bucket}/{name}")
        if blob is None:
            raise Refusal(404, "NoSuchKey")
        return blob


def check_signature(method: str, path: str, headers: dict[str, str], body: bytes, service: str, region: str) -> None:  # noqa: C901 -- one refusal after the other
    """Refusal if the request is not signed with a key that is known and valid."""
    authorization = headers.get("authorization", "")
    if not authorization.startswith("AWS4-HMAC-SHA256 "):
        raise Refusal(403, "AccessDenied")
    fields = dict(part.strip().split("=", 1) for part in authorization.split(" ", 1)[1].split(","))
    key_id, day, signed_region, signed_service, end = fields["Credential"].split("/")
    if key_id not in STATE.keys:
        raise Refusal(403, "InvalidAccessKeyId")
    secret, token = STATE.keys[key_id]
    if headers.get("x-amz-security-token", "") != token:
        raise Refusal(400, "InvalidToken")
    if key_id in STATE.expired:
        raise Refusal(400, "ExpiredToken")
    if (signed_service, end) != (service, "aws4_request"):
        raise Refusal(400, "AuthorizationHeaderMalformed")
    if signed_region != region and (service == "sts" or region == REGION):
        raise Refusal(400, "AuthorizationHeaderMalformed", x_amz_bucket_region=region)
    date = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(datetime.now(UTC) - date) > CLOCK_SKEW or not headers["x-amz-date"].startswith(day):
        raise Refusal(403, "RequestTimeTooSkewed")
    names = fields["SignedHeaders"].split(";")
    must = {"host", "x-amz-date"} | {name for name in headers if name.startswith("x-amz-")}
    if not must <= set(names):
        raise Refusal(403, "AccessDenied")
    content = headers.get("x-amz-content-sha256") or hashlib.sha256(body).hexdigest()
    if content not in {"UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()}:
        raise Refusal(400, "XAmzContentSHA256Mismatch")
    parts = urlsplit(path)
    query = "&".join(sorted(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in parse_qsl(parts.query, keep_blank_values=True)))
    lines = [method, parts.path, query, *(f"{name}:{' '.join(headers[name].split())}" for name in names), "", ";".join(names), content]
    scope = f"{day}/{signed_region}/{service}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(key, to_sign.encode(), "sha256").hex(), fields["Signature"]):
        raise Refusal(403, "SignatureDoesNotMatch")


class Server(ThreadingHTTPServer):
    """Many connections may come at once."""

    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are part of the tests."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    if sys.argv[2]:
        TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        TLS.load_cert_chain(sys.argv[2], sys.argv[3])
    Server(("127.0.0.1" if len(sys.argv) < 5 else sys.argv[4], int(sys.argv[1])), Handler).serve_forever()
