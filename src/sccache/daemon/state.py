"""What outlives a daemon, and where: with the cache that it is about, in `<cache>/daemon/`.

A fresh cache directory has fresh statistics; daemons of different addresses that share a cache have their own.
Owns: those places.  Must not know: what the files hold.
"""

import os

from sccache.config.schema import Config
from sccache.protocol.address import Address


def stats_path(config: Config, address: Address) -> str:
    """The file of Stats.save, one for each address."""
    name = os.path.basename(address.lock_path).removesuffix(".lock")
    return os.path.join(config.disk.dir, "daemon", f"{name}.stats.json")


def files_path(config: Config) -> str:
    """The file of FileMemory.save."""
    return os.path.join(config.disk.dir, "daemon", "files")
