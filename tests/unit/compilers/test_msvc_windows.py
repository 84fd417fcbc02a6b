"""Paths as Windows spells them: backslashes, drive letters, letters' cases; of cl, and of clang-cl where it runs there."""

import pytest

from sccache.compilers import msvc
from sccache.compilers.msvc import outputs
from sccache.compilers.observed import ObservedArguments
from sccache.model import CannotCache

OBJECTS = [
    (("src\\a.c",), "a.obj"),
    (("C:\\src\\a.c", "/Foobj\\"), "obj\\a.obj"),
    (("C:\\src\\a.b.c", "/FoC:\\out\\x"), "C:\\out\\x.obj"),
    (("C:a.c",), "a.obj"),
    (("src/a.c", "/Foobj/"), "obj/a.obj"),
    (("\\\\server\\share\\a.c", "/Fo\\\\server\\share\\out\\"), "\\\\server\\share\\out\\a.obj"),
    (("a.c", "/FoC:"), "C:a.obj"),
    (("a.c", "/Foout.d\\x"), "out.d\\x.obj"),
]


@pytest.mark.parametrize("clang", [True, False])
@pytest.mark.parametrize(("words", "made"), OBJECTS)
def test_objects_are_placed_as_windows_spells_paths(words: tuple[str, ...], made: str, clang: bool) -> None:
    """A backslash separates, and so does the colon of a drive."""
    parsed = msvc.parse(["/c", *words], "C:\\work", {}, clang=clang, windows=True)
    assert isinstance(parsed, ObservedArguments)
    assert parsed.outputs[0].path == made


def test_elsewhere_a_backslash_is_a_letter() -> None:
    """clang-cl outside Windows."""
    parsed = msvc.parse(["/c", "/Fox\\", "--", "d\\a.c"], "/work", {}, clang=True)
    assert isinstance(parsed, ObservedArguments)
    assert parsed.outputs[0].path == "x\\.obj"


@pytest.mark.parametrize(
    ("one", "other"), [("C:\\W\\a.OBJ", "c:/w/A.obj"), ("out\\..\\a", "A"), ("\\\\S\\share\\a", "//s/share/a"), (".\\a", "a")]
)
def test_one_file_has_many_spellings(one: str, other: str) -> None:
    """Windows makes no difference between letters' cases and between the two slashes."""
    assert outputs.absolute("C:\\w", one, windows=True) == outputs.absolute("C:\\w", other, windows=True)
    assert outputs.absolute("/w", one, windows=False) != outputs.absolute("/w", other, windows=False)


def test_outputs_that_are_one_file_are_refused() -> None:
    """However they are spelled."""
    parsed = msvc.parse(["/c", "a.c", "/Foout\\x.y", "/Fa.\\OUT/X.Y"], "C:\\w", {}, clang=False)
    assert isinstance(parsed, CannotCache)
    assert parsed.reason == "two outputs in one file"


@pytest.mark.parametrize("pdb", ["obj\\A.pdb", "obj/a.PDB", "C:\\x\\a.obj.pdb", "D:a.pdb"])
def test_a_database_called_like_its_object_is_its_own(pdb: str) -> None:
    """Cases and directories do not matter, the name does."""
    parsed = msvc.parse(["/c", "src\\a.c", "/Zi", f"/Fd{pdb}", "/Foobj\\"], "C:\\w", {}, clang=False)
    assert isinstance(parsed, ObservedArguments)
    assert parsed.continued == (pdb,)
