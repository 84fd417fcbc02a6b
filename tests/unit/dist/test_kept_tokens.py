"""The cached configuration file: what sccache wrote is read, what we write is private, whole and nobody else's loss."""

import os
import stat
import threading
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.config.load import load as load_config
from sccache.config.schema import Config
from sccache.dist import kept_tokens
from sccache.dist.kept_tokens import INSECURE_TOKEN, ClientToken, NoToken, client_token
from sccache.errors import ConfigError

AUTH_URL = "https://login.example/authorize?audience=farm"
IMPLICIT = f'[dist.auth]\ntype = "oauth2_implicit"\nclient_id = "c"\nauth_url = "{AUTH_URL}"\n'


def config(folder: Path, text: str) -> Config:
    (folder / "config").write_text(text)
    return load_config({"HOME": str(folder), "SCCACHE_CONF": str(folder / "config"), "SCCACHE_CACHED_CONF": str(folder / "kept")})


def test_a_saved_token_is_the_one_that_is_shown(tmp_path: Path) -> None:
    """Also to a daemon that has looked before; nothing but the login has to happen."""
    token = ClientToken(config(tmp_path, IMPLICIT))
    assert token.read() == NoToken("could not load client auth token, run `sccache --dist-auth`")
    kept_tokens.save(str(tmp_path / "kept"), AUTH_URL, "first")
    assert token.read() == "first"
    kept_tokens.save(str(tmp_path / "kept"), AUTH_URL, "second")
    assert token.read() == "second"
    (tmp_path / "kept").unlink()
    assert isinstance(token.read(), NoToken)


def test_a_file_of_sccache_is_read(tmp_path: Path) -> None:
    """Who has logged in with it does not need to again."""
    (tmp_path / "kept").write_text(f'[dist.auth_tokens]\n"{AUTH_URL}" = "eyJ.a.b"\n')
    assert client_token(config(tmp_path, IMPLICIT)) == "eyJ.a.b"


def test_a_token_counts_for_its_address_only(tmp_path: Path) -> None:
    """The same server for another audience is another login."""
    kept_tokens.save(str(tmp_path / "kept"), "https://login.example/authorize", "other")
    assert isinstance(client_token(config(tmp_path, IMPLICIT)), NoToken)


def test_without_a_login_the_settings_say_the_token(tmp_path: Path) -> None:
    """A fixed one, or what everybody knows."""
    assert client_token(config(tmp_path, "")) == INSECURE_TOKEN
    assert client_token(config(tmp_path, '[dist.auth]\ntype = "token"\ntoken = "fixed"\n')) == "fixed"


@pytest.mark.parametrize("token", ["", "a b", "a\\r\\nX: y", "é", "x" * (kept_tokens.MAX_TOKEN_BYTES + 1)])
def test_what_is_no_token_is_not_sent(tmp_path: Path, token: str) -> None:
    """A line end in it would be a header more; the sentence does not repeat it."""
    answer = client_token(config(tmp_path, f'[dist.auth]\ntype = "token"\ntoken = "{token}"\n'))
    assert isinstance(answer, NoToken)
    assert not token or token not in answer.reason


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """With any umask, in a folder that is made, and after a file that was not private."""
    path = tmp_path / "a" / "b" / "kept"
    before = os.umask(0)
    try:
        kept_tokens.save(str(path), AUTH_URL, "t0ken")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o666)
        kept_tokens.save(str(path), AUTH_URL, "t0ken2")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["kept"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """Into somebody's collection of dotfiles, for instance."""
    (tmp_path / "real").mkdir()
    (tmp_path / "kept").symlink_to("real/file")
    kept_tokens.save(str(tmp_path / "kept"), AUTH_URL, "t0ken")
    assert (tmp_path / "kept").is_symlink()
    assert kept_tokens.load(str(tmp_path / "real" / "file")) == {AUTH_URL: "t0ken"}


@pytest.mark.parametrize(
    "text", ["[dist]\nother = 1\n", "top = 1\n", "not TOML", "[dist.auth_tokens]\na = 1\n", "\ufffd[", "x" * (2 << 20)]
)
def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path, text: str) -> None:
    """It may be the configuration file itself, by a wrong SCCACHE_CACHED_CONF."""
    path = tmp_path / "kept"
    path.write_text(text)
    with pytest.raises(ConfigError, match="Unable to save auth token") as raised:
        kept_tokens.save(str(path), AUTH_URL, "t0ken")
    assert str(path) in str(raised.value.__cause__)
    assert path.read_text() == text
    assert isinstance(client_token(config(tmp_path, IMPLICIT)), NoToken)


def test_what_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """And nothing is left."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Unable to save auth token in "):
        kept_tokens.save(str(tmp_path / "file" / "kept"), AUTH_URL, "t0ken")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="Unable to save auth token"):
        kept_tokens.save(str(tmp_path / "folder"), AUTH_URL, "t0ken")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_logins_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    """Each reads, adds and writes under a lock."""
    path = str(tmp_path / "kept")
    threads = [threading.Thread(target=kept_tokens.save, args=(path, f"https://{i}", f"t{i}")) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept_tokens.load(path) == {f"https://{i}": f"t{i}" for i in range(16)}


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])), max_size=4))
def test_any_text_comes_back(tokens: dict[str, str]) -> None:
    """What is written is TOML, whatever an address has in it."""
    assert tomllib.loads(kept_tokens._encode(tokens).decode()) == {"dist": {"auth_tokens": tokens}}


def test_no_repr_has_the_token(tmp_path: Path) -> None:
    """Values end in logs and tracebacks."""
    token = ClientToken(config(tmp_path, '[dist.auth]\ntype = "token"\ntoken = "s3cret"\n'))
    assert token.read() == "s3cret"
    assert "s3cret" not in repr(token)
