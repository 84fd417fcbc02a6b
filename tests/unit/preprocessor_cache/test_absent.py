"""Which files must not appear for a compile to read the same again."""

import time
from pathlib import Path

import pytest

from sccache.preprocessor_cache.absent import Compile, Listings, LookedFor, SearchPath, looked_for
from sccache.preprocessor_cache.includes import Includes, scan


def late_clock_ns() -> int:
    return time.time_ns() + 60_000_000_000


class Tree:
    """A project on disk: src/a.c, and directories i1 i2 i3 searched in this order; `none` is searched and missing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("src", "i1", "i2", "i3"):
            (root / name).mkdir()
        self.listings = Listings(late_clock_ns)
        self.inputs: list[tuple[str, Includes]] = []

    def write(self, name: str, text: str = "") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def add(self, name: str, text: str = "") -> "Tree":
        """Write a file that the compile reads."""
        self.write(name, text)
        self.inputs.append((f"{self.root}/{name}", scan(text.encode())))
        return self

    def find(self, **changes: object) -> LookedFor | None:
        search = SearchPath(bracket=("i1", "i2/", f"{self.root}/i3", "none"))
        settings = {"cwd": str(self.root), "search": search, "inputs": self.inputs, **changes}
        return looked_for(Compile(**settings), self.listings)  # type: ignore[arg-type]

    def absent(self, **changes: object) -> set[str]:
        """Paths that must not appear, below the root."""
        found = self.find(**changes)
        assert found is not None
        return {f"{place}/{name}".removeprefix(f"{self.root}/") for place, names in found.absent.items() for name in names}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_bracketed_names_are_looked_for_in_order(tree: Tree) -> None:
    """A header in an earlier directory would shadow it; later directories do not matter."""
    tree.add("src/a.c", "#include <x.h>").add("i2/x.h")
    assert tree.absent() == {"i1/x.h"}


def test_quoted_names_are_looked_for_beside_the_source_first(tree: Tree) -> None:
    """Then in -iquote directories, then along the search path."""
    tree.add("src/a.c", '#include "x.h"').add("i2/x.h")
    assert tree.absent() == {"src/x.h", "i1/x.h"}
    assert tree.absent(search=SearchPath(quote=("q",), bracket=("i1", "i2"))) == {"src/x.h", "q/x.h", "i1/x.h"}


def test_a_header_asks_beside_itself(tree: Tree) -> None:
    """What a header includes in quotes is looked for in the header's directory, not the source's."""
    tree.add("src/a.c", "#include <x.h>").add("i2/x.h", '#include "y.h"').add("i3/y.h")
    assert tree.absent() == {"i1/x.h", "i2/y.h", "i1/y.h"}


def test_a_name_that_is_nowhere(tree: Tree) -> None:
    """`__has_include` that said no, or code that is conditional: it must appear nowhere on the path."""
    tree.add("src/a.c", '#if __has_include("opt.h")\n#endif')
    assert tree.absent() == {"src/opt.h", "i1/opt.h", "i2/opt.h", "i3/opt.h", "none/opt.h"}


def test_a_header_that_is_only_asked_about(tree: Tree) -> None:
    """`__has_include` that said yes: the file is no input, but must stay; a conditional include need not."""
    tree.add("src/a.c", "#if __has_include(<x.h>)\n#endif\n#if 0\n#include <y.h>\n#endif\n__has_include_next(<z.h>)")
    for name in ("i2/x.h", "i2/y.h", "i2/z.h", "i3/z.h"):
        tree.write(name)
    found = tree.find()
    assert found is not None
    assert found.present == tuple(f"{tree.root}/{name}" for name in ("i2/x.h", "i2/z.h", "i3/z.h"))


def test_names_in_directories(tree: Tree) -> None:
    """`dir/x.h` is looked for in each directory's `dir`, there or not; `..` is left to the system."""
    tree.add("src/a.c", '#include <sub/x.h>\n#include "../y.h"').add("i3/sub/x.h").add("y.h")
    assert tree.absent() == {"i1/sub/x.h", "i2/sub/x.h"}


def test_an_absolute_name(tree: Tree) -> None:
    """It is looked for where it says, and nowhere else."""
    tree.add("src/a.c", f'#if __has_include("{tree.root}/abs.h")\n#endif')
    assert tree.absent() == {"abs.h"}


def test_include_next_looks_behind_the_first(tree: Tree) -> None:
    """All places that do not have the name count."""
    tree.add("src/a.c", "#include <x.h>").add("i1/x.h", "#include_next <x.h>").add("i3/x.h")
    assert tree.absent() == {"i2/x.h", "none/x.h"}


def test_forced_headers(tree: Tree) -> None:
    """-include looks in the working directory first."""
    tree.add("src/a.c").add("i1/f.h")
    assert tree.absent(forced=("f.h",)) == {"f.h"}


def test_embedded_files(tree: Tree) -> None:
    """#embed looks beside the file and in --embed-dir directories."""
    tree.add("src/a.c", '#if __has_embed("d.bin")\n#endif')
    assert tree.absent(search=SearchPath(bracket=("i1",), embed=("e",))) == {"src/d.bin", "e/d.bin"}


def test_directories_are_not_headers(tree: Tree) -> None:
    """A directory of the name does not end the search, and must not become a file."""
    (tree.root / "i1" / "map").mkdir()
    tree.add("src/a.c", "#include <map>").add("i2/map")
    assert tree.absent() == {"i1/map"}


def test_links(tree: Tree) -> None:
    """A link is a header if it leads to a file, now."""
    (tree.root / "i1" / "x.h").symlink_to("../real.h")
    tree.add("src/a.c", "#include <x.h>").add("i2/x.h")
    assert tree.absent() == {"i1/x.h"}
    tree.write("real.h")
    assert tree.absent() == set()


def test_computed_names(tree: Tree) -> None:
    """A name that a macro makes may be any input's, in any spelling that leads there, or one that a macro is defined as."""
    tree.add("src/a.c", "#include CONFIG\n#if __has_include(OPTION)\n#endif").add("i3/sub/x.h", '#define OPTION "o.h"')
    absent = tree.absent()
    assert {"src/sub/x.h", "i1/sub/x.h", "i2/sub/x.h"} <= absent
    assert {"src/o.h", "i1/o.h", "none/o.h"} <= absent
    tree.inputs.pop(0)
    assert tree.absent() == set()


def test_names_from_the_command_line(tree: Tree) -> None:
    """A macro defined by -D can name a header, which need not exist."""
    tree.add("src/a.c", "#if __has_include(OPTION)\n#endif")
    assert {"src/o.h", "i1/o.h"} <= tree.absent(arguments=("-O2", "-DOPTION=<o.h>"))
    assert {"src/o.h", "i1/o.h"} <= tree.absent(arguments=("-D", 'OPTION="o.h"'))


def test_inputs_that_nobody_named(tree: Tree) -> None:
    """The compiler (gcc) reads stdc-predef.h without being asked: one in an earlier directory would shadow it."""
    tree.add("src/a.c").add("i3/stdc-predef.h")
    assert tree.absent() == {"i1/stdc-predef.h", "i2/stdc-predef.h"}


def test_precompiled_headers(tree: Tree) -> None:
    """A `x.h.gch` up to the header's directory stands for the header to gcc: it must not appear; one that lay unused is an input."""
    tree.add("src/a.c", '#include "x.h"').add("i1/x.h").add("i1/f.h", '#include "deep.h"').add("i1/deep.h")
    tree.write("i2/x.h.gch")
    gcc = {"precompiled": (".gch",), "source_may_use_precompiled": True, "forced": ("f.h",)}
    found = tree.find(**gcc)
    assert found is not None
    assert found.present == (f"{tree.root}/i2/x.h.gch",)
    absent = tree.absent(**gcc)
    assert {"src/x.h.gch", "i1/x.h.gch", "f.h.gch", "i1/f.h.gch"} <= absent
    assert "i1/deep.h.gch" not in absent
    assert "i2/x.h.gch" not in absent
    assert not any("x.h.gch" in path for path in tree.absent(**{**gcc, "source_may_use_precompiled": False}))
    (tree.root / "src" / "x.h.gch").mkdir()
    assert tree.find(**gcc) is None


def test_a_header_that_came_while_compiling(tree: Tree) -> None:
    """If what would shadow an input is newer than the compiler's start, the compiler may not have seen it: nothing is told."""
    tree.add("src/a.c", "#include <x.h>").add("i2/x.h")
    started_ns = time.time_ns() - 1_000_000
    tree.write("i1/x.h")
    assert tree.find(started_ns=started_ns) is None
    assert tree.find(started_ns=time.time_ns() + 60_000_000_000) is not None
    assert tree.find() is not None


def test_a_directory_that_came_while_compiling(tree: Tree) -> None:
    """A directory renamed into place brings old headers, but its own change time tells."""
    tree.add("src/a.c", "#include <x.h>").add("i2/x.h")
    started_ns = (tree.root / "i2" / "x.h").stat().st_ctime_ns + 1
    tree.write("other/x.h")
    (tree.root / "i1").rmdir()
    (tree.root / "other").rename(tree.root / "i1")
    assert tree.find(started_ns=started_ns) is None


def test_headers_that_were_read_may_be_new(tree: Tree) -> None:
    """An input that was written just before is no reason for doubt (another check sees to it)."""
    tree.add("src/a.c", '#include "x.h"').add("i2/x.h")
    assert tree.find(started_ns=1) is not None


def test_listings_follow_directories(tmp_path: Path) -> None:
    """A listing is kept as long as its directory does not change, if it is old enough to tell."""
    listings = Listings(late_clock_ns)
    first = listings.at(str(tmp_path))
    assert first is not None
    assert listings.at(str(tmp_path)) is first
    (tmp_path / "sub").mkdir()
    again = listings.at(str(tmp_path))
    assert again is not None
    assert again is not first
    assert listings.at(str(tmp_path / "missing")) is None
    (tmp_path / "file").touch()
    assert listings.at(str(tmp_path / "file")) is None
    fresh = Listings(lambda: tmp_path.stat().st_mtime_ns)
    assert fresh.at(str(tmp_path)) is not fresh.at(str(tmp_path))


def test_big_directories_are_asked_by_name(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the same without a listing."""
    monkeypatch.setattr("sccache.preprocessor_cache.absent.BIG_DIRECTORY_BYTES", 0)
    tree.add("src/a.c", "#include <x.h>\n#include <y.h>").add("i2/x.h").add("i1/y.h")
    assert tree.absent() == {"i1/x.h"}


def test_the_root_directory(tree: Tree) -> None:
    """`/` on the search path is a directory like any other."""
    tree.add("src/a.c", "#include <no-such-header.h>")
    found = tree.find(search=SearchPath(bracket=("/",)))
    assert found is not None
    assert found.absent == {"/": ("no-such-header.h",)}
