"""Tencent Cloud Object Storage.

Owns: the settings of `[cache.cos]`, where credentials are found.  Must not know: how objects are moved (opendal_backend.py).

Requests are signed with `q-sign-algorithm=sha1`, each for an hour: https://www.tencentcloud.com/document/product/436/7778
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from sccache.errors import ConfigError
from sccache.storage.bucket_endpoint import bucket_endpoint
from sccache.storage.opendal_backend import OpendalBackend

SECRET_ID, SECRET_KEY = "TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"
TOKENS = ("TENCENTCLOUD_SECURITY_TOKEN", "TENCENTCLOUD_TOKEN")
"""Of temporary keys: the name that documents have, and the one that the command line tool sets."""


class CosBackend(OpendalBackend):
    """One bucket, addressed as `<bucket>.<endpoint>`."""

    type_name: ClassVar[str] = "cos"
    service: ClassVar[str] = "cos"

    def __init__(self, settings: Mapping[str, Any], ambient: Mapping[str, str]) -> None:
        """ConfigError if there is no usable endpoint."""
        place = bucket_endpoint("cos", settings["endpoint"], "https://cos.ap-guangzhou.myqcloud.com")
        if place.is_ip_address:
            raise ConfigError(f"{place.source} must have a host name: the bucket's name is put before it")
        options = {"bucket": settings["bucket"], "endpoint": place.url, **_credentials(ambient)}
        super().__init__(settings["bucket"], settings["key_prefix"], options)


def _credentials(ambient: Mapping[str, str]) -> Mapping[str, str]:
    """Keys that the compile's environment has; without any, the library looks for a pod's identity (TKE_*) in the daemon's."""
    if not ambient.get(SECRET_ID) or not ambient.get(SECRET_KEY):
        return {}
    token = next((ambient[name] for name in TOKENS if ambient.get(name)), "")
    # The daemon's own variables must add nothing: a token of other keys would spoil these.
    found = {"secret_id": ambient[SECRET_ID], "secret_key": ambient[SECRET_KEY], "disable_config_load": "true"}
    return {**found, "security_token": token} if token else found
