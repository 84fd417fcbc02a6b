"""What is recorded of a compile, against what the compilers do: a change of what they read must show in the watch.

Random small projects, compiled; then files appear, directories go, links come.  Wherever the compiler's preprocessed text or its
list of inputs becomes another, the watch must not hold and cannot be made anew.
"""

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sccache.compilers import depfiles
from sccache.hashing.files import FileMemory
from sccache.preprocessor_cache.absent import Compile, Listings, SearchPath, looked_for
from sccache.preprocessor_cache.includes import IncludeMemory

NAMES = ("a.h", "b.h", "sub/a.h", "sub/c.h", "map", "../d.h", "deep/er/e.h")
SEARCHED = ("q1", "i1", "i2", "i3")
ARGUMENTS = ("-iquote", "q1", "-Ii1", "-Ii2/", "-isystem", "i3")
PRECOMPILED = {"gcc": (".gch",), "clang": (".pch", ".gch")}
ASKING = (
    "#if __has_include({form})\nint h{n};\n#endif\n",
    "#if __has_include({form})\n#if DEPTH < 3\n#include {form}\n#endif\n#endif\n",
    "#if __has_include_next({form})\nint n{n};\n#endif\n",
    "#define M{n} {form}\n#if __has_include(M{n})\nint m{n};\n#endif\n",
    "#if 0\n#include {form}\n#endif\n",
)


class Project:
    """A random tree under `root`, one compile of it, and what the cache would record of that."""

    def __init__(self, root: Path, compiler: str, seed: int) -> None:
        self.root, self.compiler = root, compiler
        self.choose = random.Random(seed)
        self.count = 0
        self.arguments: list[str] = ["src/m.c", *ARGUMENTS]
        self.files = FileMemory()
        (root / "src").mkdir()
        for name in SEARCHED:
            if self.choose.random() < 0.8:
                (root / name).mkdir()
        for _ in range(self.choose.randrange(1, 6)):
            self.write(self.place(), self.body())
        asked = "".join(ASKING[1].format(form=self.form()) for _ in range(3))
        (root / "src/m.c").write_text(f"#define DEPTH __INCLUDE_LEVEL__\n{asked}{self.body()}")

    def form(self) -> str:
        return self.choose.choice(('"{}"', "<{}>")).format(self.choose.choice(NAMES))

    def place(self) -> Path:
        return self.root / self.choose.choice(("src", *SEARCHED)) / self.choose.choice(NAMES)

    def body(self) -> str:
        self.count += 1
        asked = [self.choose.choice(ASKING).format(form=self.form(), n=self.count) for _ in range(self.choose.randrange(3))]
        return f"#pragma once\nint v{self.count};\n{''.join(asked)}"

    def write(self, path: Path, text: str) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return False
        path.write_text(text)
        return True

    def read_by_compiler(self) -> tuple[tuple[str, ...], str]:
        """The inputs and the text that the compiler sees now."""
        command = [self.compiler, "-E", "-P", "-MD", "-MF", "m.d", *self.arguments]
        text = subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout
        return depfiles.parse((self.root / "m.d").read_text()), text

    def recorded(self, names: tuple[str, ...]) -> Callable[[], bool]:
        """What the cache records of the compile; call it to ask whether that still holds."""
        memory = IncludeMemory()
        paths = list(dict.fromkeys([f"{self.root}/src/m.c", *(os.path.join(self.root, name) for name in names)]))
        inputs = [(path, facts.digest) for path, facts in zip(paths, self.files.facts_many(paths), strict=True) if facts]
        asked = [(path, found) for path, content in inputs if (found := memory.includes(path, content)) is not None]
        assert len(asked) == len(paths)
        search = SearchPath(quote=("q1",), bracket=("i1", "i2/", "i3", *_system_directories(self.compiler)))
        compiled = Compile(
            cwd=str(self.root),
            search=search,
            inputs=asked,
            precompiled=PRECOMPILED[self.compiler],
            source_may_use_precompiled=self.compiler == "gcc",
        )
        around = looked_for(compiled, Listings())
        assert around is not None
        inputs += [(path, facts.digest) for path in around.present if (facts := self.files.facts(path)) is not None]
        watch = self.files.watch(inputs, around.absent)
        assert watch is not None
        return lambda: self.files.holds(watch) or self.files.watch(inputs, around.absent) is not None

    def disturb(self) -> None:
        """Let a file or link appear, or a directory go."""
        kind, path = self.choose.random(), self.place()
        if kind < 0.7:
            self.write(path, "int fresh;\n")
        elif kind < 0.85:
            directory = self.root / self.choose.choice(SEARCHED)
            if directory.exists():
                directory.rename(f"{directory}.away{self.count}")
                self.count += 1
        elif path.parent.is_dir() and not os.path.lexists(path):
            path.symlink_to(self.root / "src/m.h")


def _system_directories(compiler: str) -> list[str]:
    said = subprocess.run([compiler, "-E", "-v", "-x", "c", "/dev/null"], check=True, capture_output=True, text=True).stderr
    return said.partition("#include <...> search starts here:")[2].partition("End of")[0].split()


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("seed", range(6))
def test_what_the_compiler_reads(compiler: str, seed: int, tmp_path: Path) -> None:
    """As long as the watch holds, the compiler reads what it read."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    project = Project(tmp_path, compiler, seed)
    before = project.read_by_compiler()
    holds = project.recorded(before[0])
    assert holds()
    for _ in range(5):
        project.disturb()
        if not holds():
            return
        assert project.read_by_compiler() == before
