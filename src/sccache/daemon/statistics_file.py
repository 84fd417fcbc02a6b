"""Where statistics outlive their daemon: with the cache that they are about, one file for each address.

Owns: that place.  Must not know: what is counted.
"""

import os

from sccache.config.schema import Config
from sccache.protocol.address import Address


def statistics_path(config: Config, address: Address) -> str:
    """The file of Stats.save; its directory is made by whoever saves."""
    name = os.path.basename(address.lock_path).removesuffix(".lock")
    return os.path.join(config.disk.dir, "statistics", f"{name}.json")
