"""Where S3's credentials come from, and AWS's own addresses, against a strict server: signatures, tokens and roles are checked.

The library looks at its process's environment, and AWS's addresses are fixed: so each case runs in a process of its own, whose
HTTPS proxy and certificate authority are the test's.
"""

import contextlib
import datetime as dt
import ipaddress
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.servers.s3 import S3Place, strict
from tests.servers.s3_service import ECS_TOKEN, KEY_ID, ROLE, SECRET, SERVICE_HOSTS, WEB_TOKEN

ROOT = Path(__file__).parents[2]
USE = """
import asyncio, json, os, sys, urllib.request
from sccache.config.load import load
from sccache.errors import StorageError
from sccache.storage.s3 import S3Backend

async def main():
    (remote,) = load({"SCCACHE_CONF": "/nonexistent", **os.environ}, "/").remotes
    backend = S3Backend(remote.settings, remote.ambient)
    for step in sys.argv[1:]:
        verb, _, name = step.partition(":")
        try:
            if verb == "write":
                print(await backend.write(name, b"value of " + name.encode()))
            elif verb == "read":
                print(await backend.read(name))
            elif verb == "run":
                exec(name)
        except StorageError as e:
            print(e.trouble.name, e)
    print(backend.location())
    await backend.aclose()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for the hosts of AWS, which is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName(host) for host in SERVICE_HOSTS] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    built = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return files


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[S3Place]:
    """All of AWS that is needed, behind an HTTPS proxy."""
    with strict(tmp_path_factory.mktemp("aws"), certificate) as place:
        yield place


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    return tmp_path


@pytest.fixture
def env(aws: S3Place, home: Path, certificate: tuple[Path, Path]) -> dict[str, str]:
    """A bucket of AWS's own address, without credentials."""
    proxy = f"http://127.0.0.1:{aws.address[1]}"
    return {
        "PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1",
        "HTTPS_PROXY": proxy, "SSL_CERT_FILE": str(certificate[0]), "AWS_EC2_METADATA_DISABLED": "true",
        "SCCACHE_BUCKET": "sccache-test", "SCCACHE_REGION": "us-east-1",
    }  # fmt: skip


def use(env: Mapping[str, str], *steps: str, prefix: tuple[str, ...] = ()) -> list[str]:
    """What a backend prints for `write:NAME` and `read:NAME`; its location is the last line."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", USE, *steps], env=dict(env), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for secret in (SECRET, WEB_TOKEN, "temporarySecret", "temporaryToken"):
        assert secret not in done.stdout + done.stderr
    return done.stdout.splitlines()


def works(env: Mapping[str, str], aws: S3Place, key_id: str, prefix: tuple[str, ...] = ()) -> None:
    """Writes and reads with keys whose id begins so."""
    aws.control()
    assert use(env, "write:x", "read:x", "read:none", prefix=prefix)[:3] == ["None", "b'value of x'", "None"]
    signed = [entry["headers"].get("authorization", "") for entry in aws.control() if "sccache-test" in entry["path"]]
    assert len(signed) == 3
    assert all(f"Credential={key_id}" in one for one in signed)


def test_keys_in_variables(env: dict[str, str], aws: S3Place) -> None:
    """AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, at AWS's own address over TLS."""
    works({**env, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}, aws, KEY_ID)


def test_a_session_token(env: dict[str, str], aws: S3Place) -> None:
    """AWS_SESSION_TOKEN is sent; without it the service refuses."""
    aws.control(keys=[["ASIASESSION", "sessionSecret", "sessionToken"]])
    temporary = {**env, "AWS_ACCESS_KEY_ID": "ASIASESSION", "AWS_SECRET_ACCESS_KEY": "sessionSecret"}
    works({**temporary, "AWS_SESSION_TOKEN": "sessionToken"}, aws, "ASIASESSION")
    assert use(temporary, "read:x", "write:x")[:2] == ["DENIED 400 InvalidToken"] * 2
    aws.control(expire="ASIASESSION")
    assert use({**temporary, "AWS_SESSION_TOKEN": "sessionToken"}, "read:x")[0] == "DENIED 400 ExpiredToken"


def test_no_credentials_at_all(env: dict[str, str], aws: S3Place) -> None:
    """Are told as a denial; nothing is sent unsigned."""
    aws.control()
    assert use(env, "read:x", "write:x")[:2] == ["DENIED no credentials could be loaded"] * 2
    assert aws.control() == []


def test_a_machine_that_is_none(env: dict[str, str]) -> None:
    """An address for metadata that never answers ends as missing credentials, long before a request's deadline."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):  # what is beyond the backlog is not answered
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        nowhere = f"http://127.0.0.1:{full.getsockname()[1]}"
        machine = {**env, "AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": nowhere}
        assert use(machine, "read:x")[0] == "DENIED no credentials could be loaded"


def test_anonymous(env: dict[str, str], aws: S3Place) -> None:
    """SCCACHE_S3_NO_CREDENTIALS reads a public bucket and cannot write; profiles are not looked at."""
    anonymous = {**env, "SCCACHE_BUCKET": "public", "SCCACHE_S3_NO_CREDENTIALS": "true"}
    Path(env["HOME"], ".aws/credentials").write_text("[default]\naws_access_key_id = X\naws_secret_access_key = Y\n")
    assert use(anonymous, "read:x", "write:x")[:2] == ["None", "DENIED 403 AccessDenied"]
    assert not any("authorization" in entry["headers"] for entry in aws.control())


def test_the_default_profile(env: dict[str, str], aws: S3Place) -> None:
    """~/.aws/credentials."""
    Path(env["HOME"], ".aws/credentials").write_text(f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key={SECRET}\n")
    works(env, aws, KEY_ID)


def test_a_named_profile_in_files_elsewhere(env: dict[str, str], aws: S3Place, home: Path) -> None:
    """AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE; the profile's region."""
    (home / "k").write_text(f"[default]\naws_access_key_id = X\naws_secret_access_key = Y\n[ci]\naws_access_key_id={KEY_ID}\n")
    (home / "c").write_text(f"[profile ci]\naws_secret_access_key = {SECRET}\nregion = us-east-1\n")
    named = {**env, "AWS_PROFILE": "ci", "AWS_SHARED_CREDENTIALS_FILE": str(home / "k"), "AWS_CONFIG_FILE": str(home / "c")}
    del named["SCCACHE_REGION"]
    works(named, aws, KEY_ID)


@pytest.mark.parametrize("profile", ["", "ci"])
def test_keys_in_files_that_are_renewed(env: dict[str, str], aws: S3Place, profile: str) -> None:
    """After a denial the files are read again: tools write new temporary keys into them."""
    aws.control(keys=[["ASIAOLD", "oldSecret", "oldToken"], ["ASIANEW", "newSecret", "newToken"]], expire="ASIAOLD")
    file = Path(env["HOME"], ".aws/credentials")

    def keys(name: str) -> str:
        return (
            f"[{profile or 'default'}]\naws_access_key_id = ASIA{name.upper()}\naws_secret_access_key = {name}Secret\n"
            f"aws_session_token = {name}Token\n"
        )

    file.write_text(keys("old"))
    renew = f"run:open({str(file)!r}, 'w').write({keys('new')!r})"
    named = {**env, "AWS_PROFILE": profile} if profile else env
    assert use(named, "read:x", renew, "read:x", "write:x")[:3] == ["DENIED 400 ExpiredToken", "b'value of x'", "None"]


def test_a_role_with_a_source_profile(env: dict[str, str], aws: S3Place) -> None:
    """`role_arn` and `source_profile`: STS AssumeRole, signed with the source's keys."""
    Path(env["HOME"], ".aws/credentials").write_text(f"[base]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n")
    Path(env["HOME"], ".aws/config").write_text(
        f"[profile ci]\nrole_arn = {ROLE}\nsource_profile = base\nexternal_id = outside\nrole_session_name = build\n"
        "duration_seconds = 3600\n"
    )
    works({**env, "AWS_PROFILE": "ci"}, aws, "ASIAROLE")


def test_web_identity(env: dict[str, str], aws: S3Place, home: Path) -> None:
    """AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN: EKS, GitHub's OIDC."""
    (home / "token").write_text(WEB_TOKEN + "\n")
    works({**env, "AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "token"), "AWS_ROLE_ARN": ROLE}, aws, "ASIAWEB")
    (home / "token").write_text("wrong.token")
    assert use({**env, "AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "token"), "AWS_ROLE_ARN": ROLE}, "read:x")[0].startswith("DENIED ")


def test_credential_process(env: dict[str, str], aws: S3Place, home: Path) -> None:
    """A program that prints keys."""
    keys = {"Version": 1, "AccessKeyId": KEY_ID, "SecretAccessKey": SECRET}
    (home / "keys.json").write_text(json.dumps(keys))
    Path(env["HOME"], ".aws/config").write_text(f"[default]\ncredential_process = /bin/cat '{home / 'keys.json'}'\n")
    works(env, aws, KEY_ID)
    Path(env["HOME"], ".aws/config").write_text("[default]\ncredential_process = /bin/false\n")
    assert use(env, "read:x")[0] == "DENIED no credentials could be loaded"


def test_credential_process_is_run_again(env: dict[str, str], aws: S3Place, home: Path) -> None:
    """When its keys expire, and not before."""
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    late = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for expiration, runs in ((late, 1), (soon, 2)):
        keys = {"Version": 1, "AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, "Expiration": expiration}
        (home / "keys.sh").write_text(f"echo run >> {home}/{runs}\necho '{json.dumps(keys)}'\n")
        Path(env["HOME"], ".aws/config").write_text(f"[default]\ncredential_process = /bin/sh {home}/keys.sh\n")
        passes = "run:import time; time.time = lambda at=time.time(): at + 1800"
        assert use(env, "read:none", "read:none", passes, "read:none")[:3] == ["None"] * 3
        assert (home / str(runs)).read_text().count("run") == runs


def test_ecs(env: dict[str, str], aws: S3Place) -> None:
    """A task's or a pod's credentials, with the authorization token."""
    url = f"http://127.0.0.1:{aws.address[1]}/ecs"
    works({**env, "AWS_CONTAINER_CREDENTIALS_FULL_URI": url, "AWS_CONTAINER_AUTHORIZATION_TOKEN": ECS_TOKEN}, aws, "ASIAECS")


def test_ec2_at_another_address(env: dict[str, str], aws: S3Place) -> None:
    """IMDSv2 where AWS_EC2_METADATA_SERVICE_ENDPOINT says."""
    machine = {**env, "AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{aws.address[1]}"}
    works(machine, aws, "ASIAIMDS")


@pytest.mark.parametrize("lifetime_s", [30, 3600])
def test_credentials_of_a_machine_are_renewed(env: dict[str, str], aws: S3Place, lifetime_s: int) -> None:
    """Before they expire; and asked for once if they live long."""
    machine = {**env, "AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{aws.address[1]}"}
    aws.control(lifetime_s=lifetime_s)
    use(machine, "write:a", "write:b", "write:c")
    asked = [entry for entry in aws.control(lifetime_s=3600) if entry["path"].endswith("/cache-role")]
    assert len(asked) == (3 if lifetime_s == 30 else 1)


def test_ec2_at_its_own_address(env: dict[str, str], aws: S3Place, home: Path) -> None:
    """IMDSv2 at 169.254.169.254, in a network of its own."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--net", "--map-root-user", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs to make a network namespace")
    port = 18080
    service = ROOT / "tests/servers/s3_service.py"
    script = (
        f"ip link set lo up; ip addr add 169.254.169.254/32 dev lo; {sys.executable} {service} 80 '' '' 169.254.169.254 & "
        f"{sys.executable} {service} {port} '' '' & "
        f"for i in $(seq 200); do {sys.executable} -c 'import socket; [socket.create_connection(a).close() for a in "
        f'(("169.254.169.254", 80), ("127.0.0.1", {port}))]\' 2>/dev/null && break; sleep 0.05; done; "$@"; code=$?; kill %1 %2; exit $code'
    )
    # Two servers share no keys: this one serves only the metadata, so the service must refuse the key's id, and not its lack.
    machine = {**env, "AWS_EC2_METADATA_DISABLED": "false", "SCCACHE_ENDPOINT": f"http://127.0.0.1:{port}"}
    del machine["HTTPS_PROXY"]
    machine["PATH"] = "/usr/sbin:/sbin:/usr/bin:/bin"
    lines = use(machine, "read:x", prefix=(unshare, "--net", "--map-root-user", "bash", "-mc", script, "bash"))
    assert lines[0] == "DENIED 403 InvalidAccessKeyId"


def test_wrong_region(env: dict[str, str], aws: S3Place) -> None:
    """The bucket's region is told; without one, that us-east-1 was taken."""
    keys = {**env, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
    assert (
        use({**keys, "SCCACHE_BUCKET": "in-europe"}, "read:x", "write:x")[:2]
        == ["WRONG_PLACE the bucket in-europe is in the region eu-west-1; set SCCACHE_REGION (301 PermanentRedirect)"] * 2
    )
    assert use({**keys, "SCCACHE_REGION": "eu-west-1"}, "read:x")[0].startswith(
        "WRONG_PLACE the bucket sccache-test is in the region us-east-1"
    )
    assert (
        use({**keys, "SCCACHE_BUCKET": "nowhere"}, "read:x", "write:x")[:2]
        == ["WRONG_PLACE there is no bucket nowhere (404 NoSuchBucket)"] * 2
    )


def test_a_certificate_that_nobody_trusts(env: dict[str, str]) -> None:
    """Is no unreachable server."""
    keys = {**env, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
    del keys["SSL_CERT_FILE"]
    assert use(keys, "read:x", "write:x")[:2] == ["BAD_TLS the certificate's issuer is not trusted"] * 2


@pytest.mark.parametrize("endpoint", ["", "https://s3.us-east-1.amazonaws.com", "https://sccache-test.s3.us-east-1.amazonaws.com"])
def test_virtual_host_style(env: dict[str, str], aws: S3Place, endpoint: str) -> None:
    """The bucket is in the host's name, once."""
    keys = {**env, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "SCCACHE_S3_ENABLE_VIRTUAL_HOST_STYLE": "true"}
    aws.control()
    assert use({**keys, **({"SCCACHE_ENDPOINT": endpoint} if endpoint else {})}, "write:v", "read:v")[:2] == ["None", "b'value of v'"]
    requests = [(entry["headers"]["host"], entry["path"]) for entry in aws.control()]
    assert requests == [("sccache-test.s3.us-east-1.amazonaws.com", "/v")] * 2
