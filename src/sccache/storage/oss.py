"""Alibaba Cloud Object Storage Service.

Owns: the settings of `[cache.oss]`, where credentials are found.  Must not know: how objects are moved (opendal_backend.py).

Requests are signed with version 1 of the service's signatures (HMAC-SHA1), as the library does:
https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from sccache.errors import ConfigError
from sccache.storage.bucket_endpoint import bucket_endpoint
from sccache.storage.opendal_backend import OpendalBackend

KEY_ID, KEY_SECRET = "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"
AMBIENT_OPTIONS = {
    KEY_ID: "access_key_id",
    KEY_SECRET: "access_key_secret",
    "ALIBABA_CLOUD_SECURITY_TOKEN": "security_token",
    "ALIBABA_CLOUD_ROLE_ARN": "role_arn",
    "ALIBABA_CLOUD_ROLE_SESSION_NAME": "role_session_name",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "oidc_provider_arn",
    "ALIBABA_CLOUD_OIDC_TOKEN_FILE": "oidc_token_file",
    "ALIBABA_CLOUD_STS_ENDPOINT": "sts_endpoint",
}
"""Variables of Alibaba Cloud's own tools: a pair of keys, with a token if they are temporary, or a role for a pod's identity."""


class OssBackend(OpendalBackend):
    """One bucket, addressed as `<bucket>.<endpoint>`; of an endpoint that is an IP address, as `<endpoint>/<bucket>`."""

    type_name: ClassVar[str] = "oss"
    service: ClassVar[str] = "oss"

    def __init__(self, settings: Mapping[str, Any], ambient: Mapping[str, str]) -> None:
        """ConfigError if there is no usable endpoint, or credentials are both given and forbidden."""
        place = bucket_endpoint("oss", settings["endpoint"], "https://oss-cn-hangzhou.aliyuncs.com")
        options = {"bucket": settings["bucket"], "endpoint": place.url}
        if place.is_ip_address:
            options["addressing_style"] = "path"
        if settings["no_credentials"]:
            if KEY_ID in ambient or KEY_SECRET in ambient:
                raise ConfigError("If setting OSS credentials, SCCACHE_OSS_NO_CREDENTIALS must not be set.")
            options["skip_signature"] = "true"
        else:
            options.update({option: ambient[name] for name, option in AMBIENT_OPTIONS.items() if ambient.get(name)})
        super().__init__(settings["bucket"], settings["key_prefix"], options)
