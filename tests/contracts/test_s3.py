"""S3 by moto and by s3rver."""

from contextlib import AbstractContextManager
from pathlib import Path

from tests.contracts.backend_contract import BackendContract
from tests.servers.place import Place
from tests.servers.s3 import moto, s3rver, strict


class TestStrict(BackendContract):
    """A service that checks signatures."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return strict(folder)


class TestMoto(BackendContract):
    """A service in Python that knows all of S3."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return moto(folder)

    # moto answers 500 to some reads of an object that is being replaced, and S3 does not.
    test_one_object_by_many_at_once = None


class TestS3rver(BackendContract):
    """A service in JavaScript."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return s3rver(folder)

    # s3rver writes into the file that it serves: reads in between see parts, and a write that was given up leaves a part.
    test_one_object_by_many_at_once = None
    test_requests_that_are_cancelled = None
