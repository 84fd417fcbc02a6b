"""storages.py: storages are shared by settings that name the same, and closed when unused."""

import asyncio
from pathlib import Path

import msgspec

from sccache.config.load import load
from sccache.config.schema import Config
from sccache.daemon import storages
from sccache.daemon.storages import Storages, local_only


def config(tmp_path: Path, **env: str) -> Config:
    return load({"HOME": str(tmp_path), "SCCACHE_DIR": str(tmp_path / "cache"), **env}, "/")


def remote(tmp_path: Path, user: str) -> Config:
    return config(tmp_path, SCCACHE_WEBDAV_ENDPOINT="http://127.0.0.1:1/", SCCACHE_WEBDAV_USERNAME=user, SCCACHE_WEBDAV_RW_MODE="READ_ONLY")


def test_settings_that_name_the_same_share_it(tmp_path: Path) -> None:
    """Also where other settings differ; another size, directory, user or token is another storage."""

    async def main() -> None:
        opened = Storages("")
        one = opened.get(config(tmp_path))
        assert opened.get(config(tmp_path, SCCACHE_IDLE_TIMEOUT="7", SCCACHE_DIRECT="off")) is one
        others = [
            config(tmp_path, SCCACHE_CACHE_SIZE="1G"),
            config(tmp_path / "other"),
            config(tmp_path, SCCACHE_LOCAL_RW_MODE="READ_ONLY"),
            remote(tmp_path, "me"),
            remote(tmp_path, "you"),
        ]
        assert len({id(opened.get(other)) for other in (*others, *others)} | {id(one)}) == 6
        await opened.aclose()

    asyncio.run(main())


def test_unusable_settings_mean_the_local_disk(tmp_path: Path) -> None:
    """What is wrong is kept for the statistics."""

    async def main() -> None:
        opened = Storages("")
        found = opened.get(config(tmp_path, SCCACHE_MULTILEVEL_CHAIN="disk,floppy"))
        assert found.note == "Unknown cache level: 'floppy'; the local disk is used instead."
        assert found.levels.location() == f'Local disk: "{tmp_path}/cache"'
        await opened.aclose()

    asyncio.run(main())


def test_unused_storages_are_closed(tmp_path: Path) -> None:
    """But neither the current one, nor one that somebody uses; asked for again, a closed one is opened anew."""

    async def main() -> None:
        opened = Storages("")
        current, used, unused = (opened.get(config(tmp_path, SCCACHE_CACHE_SIZE=size)) for size in ("1G", "2G", "3G"))
        used.users = 1
        assert opened.close_unused(current) == []
        for one in (current, used, unused):
            one.used_s -= storages.KEEP_UNUSED_S
        assert opened.close_unused(current) == [unused]
        assert opened.has_pending()
        assert opened.all() == [current.levels, used.levels]
        assert opened.get(config(tmp_path, SCCACHE_CACHE_SIZE="3G")) is not unused
        await opened.aclose()
        assert not opened.has_pending()

    asyncio.run(main())


def test_local_only(tmp_path: Path) -> None:
    """Nothing but the remotes goes."""
    settings = remote(tmp_path, "me")
    local = local_only(settings)
    assert local.remotes == ()
    assert msgspec.structs.replace(local, remotes=settings.remotes) == settings
