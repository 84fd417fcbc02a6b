"""What a worker says of its memory's bound is what its control groups say."""

from pathlib import Path

import pytest

from sccache.dist.memory_bound import bound_bytes


def groups(place: Path, cgroup: str, mounts: str, **files: str) -> str:
    """A process, and the files of its groups."""
    (place / "self").mkdir()
    (place / "self" / "cgroup").write_text(cgroup)
    (place / "self" / "mountinfo").write_text(mounts.replace("@", str(place)))
    for name, text in files.items():
        path = place / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(place / "self")


V2 = "30 24 0:26 / @/fs rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.mark.parametrize(
    ("own", "above", "bound"), [("1000\n", "max\n", 1000), ("max\n", "2000\n", 2000), ("3000\n", "2000\n", 2000), ("max\n", "max\n", None)]
)
def test_version_2(tmp_path: Path, own: str, above: str, bound: int | None) -> None:
    """The least of the group and those above it."""
    files = {"fs__system.slice__w.service__memory_DOT_max": own, "fs__system.slice__memory_DOT_max": above}
    assert bound_bytes(groups(tmp_path, "0::/system.slice/w.service\n", V2, **files)) == bound


def test_a_part_of_the_tree(tmp_path: Path) -> None:
    """A container sees its own group as the root, or only what is below where it was mounted."""
    mounts = "30 24 0:26 /docker/abc @/fs rw - cgroup2 cgroup2 rw\n"
    assert bound_bytes(groups(tmp_path, "0::/docker/abc/w\n", mounts, fs__w__memory_DOT_max="7\n")) == 7


@pytest.mark.parametrize(("said", "bound"), [("5000", 5000), ("9223372036854771712", None)])
def test_version_1(tmp_path: Path, said: str, bound: int | None) -> None:
    """Beside an empty version 2, as older systems have it."""
    mounts = "33 30 0:29 / @/v1 rw - cgroup cgroup rw,memory\n" + V2
    files = {"v1__w__memory_DOT_stat": f"cache 1\nhierarchical_memory_limit {said}\nhierarchical_memsw_limit 1\n"}
    assert bound_bytes(groups(tmp_path, "4:memory:/w\n1:cpu:/x\n0::/\n", mounts, **files)) == bound


def test_nothing_is_told(tmp_path: Path) -> None:
    """Another system, or groups that cannot be seen."""
    assert bound_bytes(str(tmp_path / "absent")) is None
    assert bound_bytes(groups(tmp_path, "0::/x\n4:memory:/x\n", "")) is None
