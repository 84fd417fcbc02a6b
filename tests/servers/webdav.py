"""Servers for the WebDAV storage: nginx (makes folders itself), Apache (wants MKCOL), a Bazel-style cache (knows only GET and PUT)."""

import base64
import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from tests.servers.place import Address
from tests.servers.process import ServerProcess, free_port, listens

USERNAME, PASSWORD, TOKEN = "builder", "pa:ss wörd/%", "t0ken-of-the-test.abc_~+/="
APACHE_USER = "www-data"
APACHE_MODULES = "/usr/lib/apache2/modules"
BAZEL_CACHE = Path(__file__).with_name("bazel_cache.py")

NGINX = """
daemon off; pid nginx.pid; error_log stderr warn; worker_processes 2; {user}
events {{ worker_connections 512; }}
http {{
    access_log access.log; client_max_body_size 120m; client_body_temp_path body;
    proxy_temp_path other; fastcgi_temp_path other; uwsgi_temp_path other; scgi_temp_path other;
    server {{
        listen 127.0.0.1:{port}; root data;
        location / {{ {dav} {auth} }}
    }}
}}
"""
APACHE = """
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile apache.pid
DefaultRuntimeDir {folder}
Mutex file:{folder}
{modules}
User {user}
Group {user}
ErrorLog error.log
DocumentRoot {folder}/data
DavLockDB {folder}/lock/db
LimitRequestBody 125829120
<Directory {folder}/data>
    Dav On
    AuthType Basic
    AuthName test
    AuthUserFile {folder}/users
    Require valid-user
</Directory>
"""


class WebdavPlace:
    """One of the servers, with the variables that lead to it."""

    backend: ClassVar[str] = "webdav"
    max_object_bytes: ClassVar[int] = 120 << 20
    is_immutable: ClassVar[bool] = False

    def __init__(self, process: ServerProcess, port: int, path: str, credentials: Mapping[str, str], folder: Path) -> None:
        self.address: Address = ("127.0.0.1", port)
        self.folder = folder
        """Where the server keeps what it was given, in `data`, and its log."""
        self._process = process
        self._path = path
        self._credentials = credentials

    def environment(self, address: Address | None = None) -> Mapping[str, str]:
        host, port = address or self.address
        return {"SCCACHE_WEBDAV_ENDPOINT": f"http://{host}:{port}{self._path}", **self._credentials}

    def wrong_environment(self) -> Mapping[str, str] | None:
        if not self._credentials:
            return None
        return {**self.environment(), **{name: f"{value}x" for name, value in self._credentials.items()}}

    def stop(self) -> None:
        self._process.stop()

    def start(self) -> None:
        self._process.start()


BASIC = {"SCCACHE_WEBDAV_USERNAME": USERNAME, "SCCACHE_WEBDAV_PASSWORD": PASSWORD}
BEARER = {"SCCACHE_WEBDAV_TOKEN": TOKEN}


@contextlib.contextmanager
def nginx_open(folder: Path) -> Iterator[WebdavPlace]:
    """Everybody may read and write."""
    with _nginx(folder, "", {}) as place:
        yield place


@contextlib.contextmanager
def nginx_basic(folder: Path) -> Iterator[WebdavPlace]:
    """User name and password; the endpoint has a path."""
    with _nginx(folder, "auth_basic test; auth_basic_user_file users;", BASIC, "/some/path/") as place:
        yield place


@contextlib.contextmanager
def nginx_bearer(folder: Path) -> Iterator[WebdavPlace]:
    """A token; folders must be made."""
    auth = f'if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}'
    with _nginx(folder, auth, BEARER, dav=DAV.format("off")) as place:
        yield place


@contextlib.contextmanager
def nginx_read_only(folder: Path) -> Iterator[WebdavPlace]:
    """A plain web server: PUT is answered with 405."""
    with _nginx(folder, "", {}, dav="") as place:
        yield place


@contextlib.contextmanager
def nginx_log_in(folder: Path) -> Iterator[WebdavPlace]:
    """A gateway that sends everybody without a session to a page."""
    page = "if ($uri != /login) { return 302 /login; } default_type text/html; return 200 '<html>Who are you?</html>';"
    with _nginx(folder, "", {}, dav=page) as place:
        yield place


DAV = "dav_methods PUT DELETE MKCOL; create_full_put_path {};"


@contextlib.contextmanager
def _nginx(
    folder: Path, auth: str, credentials: Mapping[str, str], path: str = "", *, dav: str = DAV.format("on")
) -> Iterator[WebdavPlace]:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "nginx is not installed; scripts/setup installs it"
    port = free_port()
    (folder / "data").mkdir(parents=True)
    _write_users(folder)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(port=port, auth=auth, user=user, dav=dav))
    argv = [program, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "stderr"]
    yield from _running(ServerProcess(argv, folder, lambda: listens(port)), port, path, credentials, folder)


@contextlib.contextmanager
def apache_basic(_folder: Path) -> Iterator[WebdavPlace]:
    """User name and password; folders must be made.  Apache does not run as root, and pytest's folders are closed to others."""
    program = shutil.which("apache2", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "apache2 is not installed; scripts/setup installs it"
    port = free_port()
    modules = ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "dav", "dav_fs"]
    lines = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in modules)
    with tempfile.TemporaryDirectory(prefix="sccache-apache-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("data", "lock"):
            (folder / part).mkdir()
            if os.geteuid() == 0:
                os.chown(folder / part, pwd.getpwnam(APACHE_USER).pw_uid, -1)
        _write_users(folder)
        (folder / "apache.conf").write_text(APACHE.format(folder=folder, port=port, modules=lines, user=APACHE_USER))
        argv = [program, "-d", str(folder), "-f", "apache.conf", "-D", "FOREGROUND"]
        yield from _running(ServerProcess(argv, folder, lambda: listens(port)), port, "", BASIC, folder)


@contextlib.contextmanager
def bazel(folder: Path) -> Iterator[WebdavPlace]:
    """Our own strict server of Bazel's HTTP caching protocol; its data is lost when it stops."""
    port = free_port()
    argv = [sys.executable, str(BAZEL_CACHE), str(port), USERNAME, PASSWORD]
    yield from _running(ServerProcess(argv, folder, lambda: listens(port)), port, "/instance/ac/", BASIC, folder)


def _running(process: ServerProcess, port: int, path: str, credentials: Mapping[str, str], folder: Path) -> Iterator[WebdavPlace]:
    process.start()
    try:
        yield WebdavPlace(process, port, path, credentials, folder)
    finally:
        process.stop(signal.SIGTERM)


def _write_users(folder: Path) -> None:
    """The file of passwords, in the one form that both servers read and that allows a colon."""
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    (folder / "users").write_text(f"{USERNAME}:{{SHA}}{digest}\n")
