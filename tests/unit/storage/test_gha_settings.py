"""GitHub Actions: which service is chosen, what entries are called, what is said where there is none."""

import asyncio
from collections.abc import Mapping

import pytest

from sccache.config.load import load
from sccache.entry import ENTRY_VERSION
from sccache.errors import StorageError, Trouble
from sccache.hashing.keys import KEY_VERSION
from sccache.storage.gha import GhaBackend, choose_service

V1 = "https://artifactcache.actions.githubusercontent.com/secret/"
V2 = "https://results-receiver.actions.githubusercontent.com/"
OWN = "http://10.0.0.1:3000/"
GITHUB, RESIDENT, ENTERPRISE = "https://github.com", "https://octo.ghe.com", "https://github.example.com"


def backend(env: Mapping[str, str]) -> GhaBackend:
    (remote,) = load({"SCCACHE_CONF": "/nonexistent", "SCCACHE_GHA_ENABLED": "true", **env}, "/").remotes
    return GhaBackend(remote.settings, remote.ambient)


def variables(server: str, v1: str, v2: str, flag: str) -> dict[str, str]:
    named = {"GITHUB_SERVER_URL": server, "ACTIONS_CACHE_URL": v1, "ACTIONS_RESULTS_URL": v2, "ACTIONS_CACHE_SERVICE_V2": flag}
    return {name: value for name, value in named.items() if value}


@pytest.mark.parametrize(
    ("server", "v1", "v2", "flag", "expected"),
    [
        (GITHUB, V1, V2, "True", (True, V2)),
        (GITHUB, "", V2, "True", (True, V2)),
        (RESIDENT, V1, V2, "1", (True, V2)),
        ("http://gh.localhost", V1, V2, "1", (True, V2)),
        ("", V1, V2, "True", (True, V2)),
        (ENTERPRISE, V1, V2, "True", (False, V1)),
        (ENTERPRISE, "", V2, "", (False, V2)),
        ("https://evilgithub.com", V1, V2, "True", (False, V1)),
        # not passed on into a container: version 1 of github.com is gone
        (GITHUB, V1, V2, "", (True, V2)),
        (GITHUB, "", V2, "", (True, V2)),
        # a runner of somebody else, such as act
        (GITHUB, OWN, V2, "", (False, OWN)),
        (GITHUB, OWN, "", "", (False, OWN)),
        ("", "", "", "", (False, "")),
        (GITHUB, V1, "", "True", (True, "")),
        ("http://[broken", V1, V2, "True", (True, V2)),
    ],
)
def test_which_service(server: str, v1: str, v2: str, flag: str, expected: tuple[bool, str]) -> None:
    """Version 2 where GitHub says so and is not an enterprise server."""
    assert choose_service(variables(server, v1, v2, flag)) == expected


@pytest.mark.parametrize(
    ("env", "trouble", "words"),
    [
        ({}, Trouble.UNREACHABLE, "cache url for ghac not found, maybe not in github action environment?"),
        ({"ACTIONS_RUNTIME_TOKEN": "SECRET"}, Trouble.UNREACHABLE, "ACTIONS_RESULTS_URL"),
        ({"ACTIONS_RESULTS_URL": V2}, Trouble.DENIED, "ACTIONS_RUNTIME_TOKEN"),
        ({"ACTIONS_RESULTS_URL": V2, "ACTIONS_RUNTIME_TOKEN": "SECRET\n"}, Trouble.DENIED, "ACTIONS_RUNTIME_TOKEN"),
        ({"ACTIONS_RESULTS_URL": "results"}, Trouble.UNREACHABLE, "ACTIONS_RESULTS_URL"),
        ({"ACTIONS_RESULTS_URL": "http://[broken", "ACTIONS_RUNTIME_TOKEN": "SECRET"}, Trouble.UNREACHABLE, "ACTIONS_RESULTS_URL"),
        ({"ACTIONS_RESULTS_URL": "file:///x", "ACTIONS_RUNTIME_TOKEN": "SECRET"}, Trouble.UNREACHABLE, "ACTIONS_RESULTS_URL"),
    ],
)
def test_outside_of_github_actions(env: Mapping[str, str], trouble: Trouble, words: str) -> None:
    """Nothing fails at the start; each use says what is missing and how a container gets it."""

    async def body() -> None:
        made = backend(env)
        for use in (made.read("x"), made.write("x", b"")):
            with pytest.raises(StorageError) as caught:
                await use
            assert caught.value.trouble is trouble
            assert words in str(caught.value)
            assert "SECRET" not in str(caught.value)
        await made.aclose()

    asyncio.run(body())


@pytest.mark.parametrize(("version", "end"), [("", ""), ("mine", "-mine")])
def test_location(version: str, end: str) -> None:
    """The name is the version: our formats', not the program's, so an upgrade keeps the cache."""
    made = backend({"SCCACHE_GHA_VERSION": version} if version else {})
    assert made.location() == f"ghac, name: sccache-v{KEY_VERSION}.{ENTRY_VERSION}{end}, prefix: /sccache/"
