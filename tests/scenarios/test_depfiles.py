"""Dependency files: in every spelling, for this target and this checkout, equal to fresh ones on a hit."""

from arena import ANY, HIT, MISS, World, scenario

BOTH = ("gcc", "clang")


def _sources(w: World) -> None:
    w.write("src/a.c", '#include "v.h"\n#include <w.h>\nint value = V + W;\n')
    w.write("inc/v.h", "#define V 1\n")
    w.write("sys/w.h", "#define W 1\n")


SPELLINGS: tuple[tuple[str, ...], ...] = (
    ("-MD",), ("-MMD",), ("-MD", "-MF", "x.d"), ("-MD", "-MFx.d"), ("-MMD", "-MF", "x.d", "-MP"), ("-MD", "-MT", "target one"),
    ("-MD", "-MTt1", "-MT", "t2"), ("-MD", "-MQ", "$(odd) name#"), ("-MD", "-MP", "-MT", "x", "-MQ", "y$"), ("-Wp,-MD,x.d",),
    ("-Wp,-MMD,x.d",), ("-Wp,-MD,x.d", "-MT", "t"), ("-Wp,-MD,x.d,-MP",), ("-Wp,-MD,x.d,-MT,t",), ("-MD", "-MF", "sub/x.d"),
    ("-MD", "-MG"), ("-MD", "-MF", "/dev/null"), ("-MD", "-MF", "-"), ("-MD", "-MF", "x.d", "-MF", "y.d"), ("-MD", "-MMD"), ("-MMD", "-MD"),
    ("-MF", "x.d", "-MD"), ("-MT", "only"), ("-MP",), ("-MD", "-MT", ""), ("-MD", "-MQ", "a b"),
)  # fmt: skip


@scenario(*BOTH)
def test_spellings(w: World, cc: str) -> None:
    """Every spelling, fresh and on a hit with the depfile removed."""
    for spelling in SPELLINGS:
        _sources(w)
        w.mkdir("sub")
        command = (cc, *spelling, "-Iinc", "-isystem", "sys", "-c", "src/a.c", "-o", "a.o")
        w.run(*command)
        for name in ("a.d", "x.d", "y.d", "sub/x.d", "a.o"):
            w.path(name).unlink(missing_ok=True)
        w.run(*command)


@scenario(*BOTH)
def test_depfile_restored_on_hit(w: World, cc: str) -> None:
    """-MD with its implicit name (sccache#2073)."""
    _sources(w)
    command = (cc, "-MD", "-Iinc", "-isystem", "sys", "-c", "src/a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.remove("a.d", "a.o")
    w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_depfile_new_target_is_a_hit(w: World, cc: str) -> None:
    """The same compile to another object: the rule's target follows -o, and the object comes from the cache."""
    _sources(w)
    w.mkdir("other")
    w.run(cc, "-MD", "-Iinc", "-isystem", "sys", "-c", "src/a.c", "-o", "a.o", expect=MISS)
    w.run(cc, "-MD", "-Iinc", "-isystem", "sys", "-c", "src/a.c", "-o", "other/b.o", expect=HIT)


@scenario(*BOTH)
def test_depfile_options_changed_is_a_hit(w: World, cc: str) -> None:
    """Another -MF, -MT, -MP, or no depfile at all: the object is the same."""
    _sources(w)
    base = ("-Iinc", "-isystem", "sys", "-c", "src/a.c", "-o", "a.o")
    w.run(cc, "-MD", *base, expect=MISS)
    for spelling in (("-MD", "-MF", "x.d"), ("-MD", "-MT", "t"), (), ("-Wp,-MD,z.d",)):
        w.run(cc, *spelling, *base, expect=HIT)
    w.run(cc, "-MMD", *base, expect=MISS)  # another list, without system headers: only a compile tells which those are
    for spelling in (("-MMD", "-MF", "y.d"), ("-MMD", "-MP", "-MF", "y.d")):
        w.run(cc, *spelling, *base, expect=HIT)


@scenario(*BOTH)
def test_depfile_asked_for_later(w: World, cc: str) -> None:
    """First without a depfile, then with: it is there and complete."""
    _sources(w)
    base = ("-Iinc", "-isystem", "sys", "-c", "src/a.c", "-o", "a.o")
    w.run(cc, *base, expect=MISS)
    w.run(cc, "-MD", *base)
    w.run(cc, "-MMD", "-MP", *base)


@scenario(*BOTH)
def test_phony_targets_on_a_hit(w: World, cc: str) -> None:
    """-MP."""
    _sources(w)
    command = (cc, "-MD", "-MP", "-Iinc", "-isystem", "sys", "-c", "src/a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.remove("a.d")
    w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_header_name_with_special_characters(w: World, cc: str) -> None:
    """Spaces, dollars, hashes, colons and back-slashes in names are escaped as the compiler does."""
    names = [
        "with space.h",
        "dollar$.h",
        "hash#.h",
        "colon:.h",
        "back\\\\slash.h",
        "percent%.h",
        "tab\t.h",
        "tail\\\\ x.h",
        "quote'.h",
        "ä.h",
    ]
    for name in names:
        w.write(name.replace("\\\\", "\\"), "")
    w.write("a b.c", "".join(f'#include "{name}"\n' for name in names if "\\" not in name) + "int x;\n")
    for target in ("a b.o", "dollar$x.o", "hash#.o", "colon:.o"):
        w.run(cc, "-MD", "-MP", "-c", "a b.c", "-o", target)
        w.run(cc, "-MD", "-MP", "-c", "a b.c", "-o", target, expect=HIT if cc == "gcc" else ANY)  # clang does not escape all


@scenario("clang")
def test_clang_nmake_style(w: World) -> None:
    """-MV writes NMake quoting."""
    w.write("inc dir/v.h", "")
    w.write("a b.c", '#include "v.h"\nint x;\n')
    for _ in range(2):
        w.run("clang", "-MD", "-MV", "-Iinc dir", "-c", "a b.c", "-o", "a.o")


@scenario(*BOTH)
def test_many_headers_wrap_lines(w: World, cc: str) -> None:
    """Long lists are wrapped where the compiler wraps them."""
    for number in range(60):
        w.write(f"include/some/longer/path/header{'x' * (number % 23)}{number}.h", "")
    w.write("a.c", "".join(f'#include "include/some/longer/path/header{"x" * (n % 23)}{n}.h"\n' for n in range(60)) + "int x;\n")
    for output in ("a.o", "a-much-longer-output-name-than-before.o"):
        w.run(cc, "-MD", "-c", "a.c", "-o", output)
        w.path(output[:-2] + ".d").unlink()
        w.run(cc, "-MD", "-c", "a.c", "-o", output, expect=HIT)


@scenario(*BOTH)
def test_same_text_two_sources(w: World, cc: str) -> None:
    """Two sources of equal text: each depfile names its own."""
    w.write("one.c", "int x;\n")
    w.write("two.c", "int x;\n")
    for name in ("one", "two", "one"):
        w.run(cc, "-MD", "-MF", f"{name}.d", "-c", f"{name}.c", "-o", "a.o")


@scenario(*BOTH)
def test_depfile_on_failure(w: World, cc: str) -> None:
    """A compile that fails leaves what the compiler leaves."""
    w.write("a.c", '#include "v.h"\n#error no\n')
    w.write("v.h", "")
    for _ in range(2):
        w.run(cc, "-MD", "-MP", "-MF", "foo.pp", "-Werror", "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_depfile_of_preprocessed_and_assembler_sources(w: World, cc: str) -> None:
    """.i, .s and .S with -MD: a depfile where the compiler makes one."""
    w.write("a.i", "int x;\n")
    w.write("a.ii", "int x;\n")
    w.write("a.s", ".data\n")
    w.write("a.S", ".data\n")
    for name in ("a.i", "a.ii", "a.s", "a.S"):
        for _ in range(2):
            w.run(cc, "-MD", "-MF", "x.d", "-c", name, "-o", "a.o")
            w.path("x.d").unlink(missing_ok=True)


@scenario(*BOTH)
def test_unwritable_depfile(w: World, cc: str) -> None:
    """A depfile in a directory that does not exist is the compiler's error."""
    w.write("a.c", "int x;\n")
    w.run(cc, "-MD", "-MF", "no/such/a.d", "-c", "a.c", "-o", "a.o")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.run(cc, "-MD", "-MF", "no/such/a.d", "-c", "a.c", "-o", "a.o", expect=ANY)
