"""What a compile may read, without a preprocessor: never less than it does read."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from sccache.preprocessor_cache.absent import Compile, Listings, SearchPath
from sccache.preprocessor_cache.includes import Includes, scan
from sccache.preprocessor_cache.reachable import reachable


def includes(paths: Sequence[str]) -> list[Includes | None]:
    return [scan(Path(path).read_bytes()) if os.access(path, os.R_OK) else None for path in paths]


class Tree:
    """A project: src/a.c, and directories i1 and i2 that are searched."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("src", "i1", "i2"):
            (root / name).mkdir()

    def write(self, name: str, text: str = "") -> "Tree":
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)
        return self

    def reached(self, *unnamed: str, **changes: object) -> list[str] | None:
        source = f"{self.root}/src/a.c"
        search = SearchPath(bracket=("i1", f"{self.root}/i2", "none"))
        (names,) = includes([source])
        assert names is not None
        compiled = Compile(**{"cwd": str(self.root), "search": search, "inputs": [(source, names)], **changes})  # type: ignore[arg-type]
        found = reachable(compiled, unnamed, includes, Listings())
        return None if found is None else sorted(path.removeprefix(f"{self.root}/") for path in found)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_from_file_to_file(tree: Tree) -> None:
    """Whatever is included by what is included, whatever the condition."""
    tree.write("src/a.c", '#include "b.h"\n#ifdef NEVER\n#include <deep/c.h>\n#endif\n').write("src/b.h", "#include <d.h>")
    tree.write("i2/deep/c.h", '#include "e.h"').write("i2/deep/e.h").write("i1/d.h").write("i2/d.h").write("i1/unused.h")
    assert tree.reached() == ["i1/d.h", "i2/deep/c.h", "i2/deep/e.h", "src/a.c", "src/b.h"]


def test_names_that_lead_nowhere_are_passed_over(tree: Tree) -> None:
    """Another system's headers."""
    tree.write("src/a.c", "#include <windows.h>\n#include <b.h>\n").write("i1/b.h")
    assert tree.reached() == ["i1/b.h", "src/a.c"]


def test_rings_end(tree: Tree) -> None:
    """Headers that include each other."""
    tree.write("src/a.c", '#include "b.h"').write("src/b.h", '#include "c.h"').write("src/c.h", '#include "b.h"')
    assert tree.reached() == ["src/a.c", "src/b.h", "src/c.h"]


def test_include_next_is_every_one(tree: Tree) -> None:
    """Which comes next depends on where the asking file was found."""
    tree.write("src/a.c", "#include <b.h>").write("i1/b.h", "#include_next <b.h>").write("i2/b.h")
    assert tree.reached() == ["i1/b.h", "i2/b.h", "src/a.c"]


def test_what_is_only_asked_about(tree: Tree) -> None:
    """Whether it is there matters, too."""
    tree.write("src/a.c", "#if __has_include(<b.h>)\nint x;\n#endif\n").write("i2/b.h", "#include <c.h>").write("i2/c.h")
    assert tree.reached() == ["i2/b.h", "i2/c.h", "src/a.c"]


def test_names_of_macros(tree: Tree) -> None:
    """Those that a macro is defined as, in any of the files or on the command line, and what these lead to."""
    tree.write("src/a.c", '#include "config.h"\n#include WHICH\n#include GIVEN\n').write("src/config.h", "#define WHICH <b.h>\n")
    tree.write("i1/b.h", "#include <c.h>").write("i1/c.h").write("i2/given.h")
    assert tree.reached(arguments=("-DGIVEN=<given.h>",)) == ["i1/b.h", "i1/c.h", "i2/given.h", "src/a.c", "src/config.h"]


def test_names_that_are_put_together(tree: Tree) -> None:
    """Nobody can tell what such a condition asks for."""
    tree.write("src/a.c", "#if __has_include(NAME(x))\n#endif\n")
    assert tree.reached() is None


def test_forced_and_unnamed(tree: Tree) -> None:
    """Options and compilers include, too."""
    tree.write("src/a.c").write("i1/predefined.h").write("forced.h", '#include "more.h"').write("more.h")
    assert tree.reached("predefined.h", "nowhere.h", forced=("forced.h",)) == ["forced.h", "i1/predefined.h", "more.h", "src/a.c"]


def test_a_file_that_cannot_be_read(tree: Tree) -> None:
    """Then it is not known what it leads to."""
    tree.write("src/a.c", '#include "b.h"')
    os.mkfifo(tree.root / "src/b.h", 0o000)
    if os.geteuid() == 0:
        os.remove(tree.root / "src/b.h")
        (tree.root / "src/b.h").symlink_to("/proc/self/mem")
    source, search = f"{tree.root}/src/a.c", SearchPath()
    compiled = Compile(cwd=str(tree.root), search=search, inputs=[(source, scan(b'#include "b.h"'))])
    assert reachable(compiled, (), lambda paths: [None for _ in paths], Listings()) is None


SOURCES = {
    "strings.cpp": "#include <string>\n#include <vector>\n#include <unordered_map>\n#include <iostream>\n",
    "ranges.cpp": "#include <algorithm>\n#include <ranges>\n#include <thread>\n#include <regex>\n",
    "system.c": "#include <stdio.h>\n#include <stdlib.h>\n#include <sys/socket.h>\n#include <pthread.h>\n#include <limits.h>\n",
}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", SOURCES)
def test_never_less_than_a_compiler_reads(tmp_path: Path, compiler: str, name: str) -> None:
    """All of the real list is among what may be read."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    source = tmp_path / name
    source.write_text(SOURCES[name])
    language = "c++" if name.endswith(".cpp") else "c"
    command = [compiler, "-x", language, *(["-std=c++20"] if language == "c++" else [])]
    said = subprocess.run([*command, "-v", "-E", "/dev/null"], capture_output=True, text=True, check=True).stderr
    searched = [line[1:] for line in said.partition("<...>")[2].partition("End of search")[0].splitlines() if line.startswith(" ")]
    listed = subprocess.run([*command, "-M", str(source)], capture_output=True, text=True, check=True).stdout
    read = {os.path.normpath(path) for path in listed.partition(":")[2].replace("\\\n", " ").split()}
    (names,) = includes([str(source)])
    assert names is not None
    compiled = Compile(cwd=str(tmp_path), search=SearchPath(bracket=tuple(searched)), inputs=[(str(source), names)])
    found = reachable(compiled, ("stdc-predef.h",), includes, Listings())
    assert found is not None, "names that are put together"
    assert read <= {os.path.normpath(path) for path in found}
    assert len(found) < 4 * len(read) + 100
