"""S3 by moto and by s3rver."""

from contextlib import AbstractContextManager
from pathlib import Path

from tests.contracts.backend_contract import BackendContract
from tests.servers.place import Place
from tests.servers.s3 import moto, s3rver


class TestMoto(BackendContract):
    """A service in Python that knows all of S3 and checks no signatures."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return moto(folder)


class TestS3rver(BackendContract):
    """A service in JavaScript that checks signatures."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return s3rver(folder)
