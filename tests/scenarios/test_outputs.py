"""Everything a compile leaves beside the object, restored by a hit or not cached at all."""

from dataclasses import replace

from arena import ANY, HIT, MISS, RECOMPILE, World, scenario

BOTH = ("gcc", "clang")
CODE = (
    '#include "v.h"\nstatic int g(int n) { return n * V; }\nint f(int n) { int s = 0; for (int i = 0; i < n; i++) s += g(i); return s; }\n'
)


def _twice(w: World, command: tuple[str, ...], second: str, sides: tuple[str, ...]) -> None:
    """Compile, remove everything made, compile again: all must be back."""
    w.write("a.c", CODE)
    w.write("v.h", "#define V 3\n")
    w.run(*command)
    for side in sides:
        if w.path(side).exists():
            w.remove(side)
    w.run(*command, expect=second)


@scenario("gcc")
def test_stack_usage(w: World) -> None:
    """-fstack-usage writes .su."""
    _twice(w, ("gcc", "-fstack-usage", "-c", "a.c", "-o", "a.o"), HIT, ("a.o", "a.su"))


@scenario("gcc")
def test_callgraph_info(w: World) -> None:
    """-fcallgraph-info writes .ci."""
    _twice(w, ("gcc", "-fcallgraph-info=su,da", "-c", "a.c", "-o", "a.o"), HIT, ("a.o", "a.ci"))


@scenario(*BOTH)
def test_save_temps(w: World, cc: str) -> None:
    """-save-temps and its forms write .i and .s."""
    for option in ("-save-temps", "-save-temps=obj", "-save-temps=cwd", "--save-temps"):
        _twice(w, (cc, option, "-c", "a.c", "-o", "a.o"), ANY, ("a.o", "a.i", "a.s", "a-a.i", "a-a.s"))


@scenario("gcc")
def test_gcc_optimisation_record(w: World) -> None:
    """-fsave-optimization-record writes .opt-record.json.gz."""
    _twice(w, ("gcc", "-O2", "-fsave-optimization-record", "-c", "a.c", "-o", "a.o"), ANY, ("a.o", "a.c.opt-record.json.gz"))


@scenario("clang")
def test_clang_optimisation_record(w: World) -> None:
    """-fsave-optimization-record writes .opt.yaml; a format and a file name may be given."""
    command = ("clang", "-O2", "-fsave-optimization-record", "-c", "a.c", "-o", "a.o")
    _twice(w, command, HIT, ("a.o", "a.opt.yaml"))
    _twice(w, (*command, "-foptimization-record-file=r.yaml"), HIT, ("a.o", "r.yaml"))
    _twice(w, ("clang", "-O2", "-fsave-optimization-record=bitstream", "-c", "a.c", "-o", "a.o"), ANY, ("a.o", "a.opt.bitstream"))


@scenario("clang")
def test_time_trace(w: World) -> None:
    """-ftime-trace writes .json beside the object."""
    _twice(w, ("clang", "-ftime-trace", "-c", "a.c", "-o", "a.o"), ANY, ("a.o", "a.json"))
    _twice(w, ("clang", "-ftime-trace", "-c", "a.c"), ANY, ("a.o", "a.json"))


@scenario(*BOTH)
def test_assembler_listing(w: World, cc: str) -> None:
    """-Wa,-a=FILE writes a listing; -Wa,-a prints it."""
    options = ("-Wa,-a=a.lst", "-Wa,-aln=a.lst", "-Wa,-a") if cc == "gcc" else ("-fno-integrated-as -Wa,-a=a.lst",)
    for option in options:
        _twice(w, (cc, *option.split(), "-c", "a.c", "-o", "a.o"), ANY, ("a.o", "a.lst"))


@scenario(*BOTH)
def test_coverage_notes(w: World, cc: str) -> None:
    """--coverage and -ftest-coverage write .gcno; the object names where counters go."""
    for option in ("--coverage", "-ftest-coverage"):
        _twice(w, (cc, option, "-c", "a.c", "-o", "a.o"), HIT, ("a.o", "a.gcno"))


@scenario(*BOTH)
def test_coverage_path_follows_output(w: World, cc: str) -> None:
    """--coverage into two directories: each object names its own (ccache#845)."""
    w.write("a.c", CODE)
    w.write("v.h", "#define V 3\n")
    for folder in ("o1", "o2"):
        w.mkdir(folder)
    for folder in ("o1", "o2", "o1"):
        w.run(cc, "--coverage", "-c", "a.c", "-o", f"{folder}/a.o")
    w.run(cc, "--coverage", "-c", "a.c", "-o", "o2/a.o", expect=HIT)


@scenario(*BOTH)
def test_coverage_with_prefix_map_and_relative_paths(w: World, cc: str) -> None:
    """-fprofile-abs-path, -fprofile-dir and -fprofile-update change what is recorded."""
    options = ("-fprofile-update=atomic",) if cc == "clang" else ("-fprofile-abs-path", "-fprofile-dir=prof", "-fprofile-update=atomic")
    w.write("a.c", CODE)
    w.write("v.h", "#define V 3\n")
    for option in options:
        w.run(cc, "--coverage", option, "-c", "a.c", "-o", "a.o")
        w.run(cc, "--coverage", option, "-c", "a.c", "-o", "a.o")
        w.run(cc, "--coverage", "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_coverage_on_assembler(w: World, cc: str) -> None:
    """--coverage on a .S makes no .gcno; that is no failure (sccache#2845)."""
    w.write("a.S", ".data\n.long 1\n")
    w.run(cc, "--coverage", "-c", "a.S", "-o", "a.o")
    w.run(cc, "--coverage", "-c", "a.S", "-o", "a.o", expect=HIT)


@scenario(*BOTH)
def test_split_dwarf(w: World, cc: str) -> None:
    """-gsplit-dwarf writes .dwo, here and in another directory."""
    _twice(w, (cc, "-g", "-gsplit-dwarf", "-c", "a.c", "-o", "a.o"), HIT, ("a.o", "a.dwo"))
    _twice(w, (cc, "-g", "-gsplit-dwarf", "-c", "a.c"), ANY, ("a.o", "a.dwo"))


@scenario(*BOTH)
def test_split_dwarf_path_follows_output(w: World, cc: str) -> None:
    """Objects in two directories name their own .dwo (sccache#2271, ccache#356)."""
    w.write("a.c", CODE)
    w.write("v.h", "#define V 3\n")
    for folder in ("o1", "o2"):
        w.mkdir(folder)
    for folder in ("o1", "o2", "o1", "o2"):
        w.run(cc, "-g", "-gsplit-dwarf", "-c", "a.c", "-o", f"{folder}/a.o")
    w.run(cc, "-g", "-gsplit-dwarf", "-c", "a.c", "-o", "o1/other.o", expect=RECOMPILE)


@scenario(*BOTH)
def test_split_dwarf_does_not_adopt_an_old_dwo(w: World, cc: str) -> None:
    """A .dwo that lies there from before is not taken for this compile's."""
    w.write("a.c", CODE)
    w.write("v.h", "#define V 3\n")
    w.write("a.dwo", "old")
    w.run(cc, "-g0", "-gsplit-dwarf", "-g0", "-c", "a.c", "-o", "a.o")
    w.path("a.dwo").unlink(missing_ok=True)
    w.run(cc, "-g0", "-gsplit-dwarf", "-g0", "-c", "a.c", "-o", "a.o")


@scenario("clang")
def test_split_dwarf_single(w: World) -> None:
    """-gsplit-dwarf=single keeps it in the object."""
    _twice(w, ("clang", "-g", "-gsplit-dwarf=single", "-c", "a.c", "-o", "a.o"), ANY, ("a.o",))


@scenario("clang")
def test_compilation_database_entry(w: World) -> None:
    """-MJ writes a fragment of compile_commands.json."""
    _twice(w, ("clang", "-MJ", "a.json", "-c", "a.c", "-o", "a.o"), ANY, ("a.o", "a.json"))


@scenario("clang")
def test_serialize_diagnostics(w: World) -> None:
    """--serialize-diagnostics writes a binary file."""
    for option in ("--serialize-diagnostics", "-serialize-diagnostics"):
        _twice(w, ("clang", "-Wall", option, "a.dia", "-c", "a.c", "-o", "a.o"), ANY, ("a.o", "a.dia"))


@scenario("gcc")
def test_dumps(w: World) -> None:
    """-fdump-* and -d letters write files whose names nobody can foretell."""
    for option in ("-fdump-tree-optimized", "-fdump-rtl-expand", "-da", "-fdump-ipa-all", "-fdump-tree-original=out.txt"):
        w.write("a.c", CODE)
        w.write("v.h", "#define V 3\n")
        command = ("gcc", "-O1", option, "-c", "a.c", "-o", "a.o")
        w.run(*command)
        for path in w.root.glob("a.c.*"):
            path.unlink()
        w.run(*command)


@scenario("gcc")
def test_fdump_passes_and_reports(w: World) -> None:
    """Reports on the terminal or in files."""
    for option in ("-ftime-report", "-fopt-info", "-fopt-info-all=info.txt", "-fmem-report", "-Q", "-v", "-###", "-H"):
        w.write("a.c", CODE)
        w.write("v.h", "#define V 3\n")
        for _ in range(2):
            step = w.run("gcc", "-O2", option, "-c", "a.c", "-o", "a.o")
            if option == "-ftime-report":  # which pass took 0.01 s, and so has a line at all, is chance
                w.steps[-1] = replace(step, stderr=step.stderr[:40])


@scenario(*BOTH)
def test_dumpbase_and_dumpdir(w: World, cc: str) -> None:
    """-dumpbase/-dumpdir move side files (gcc); clang refuses or ignores them."""
    options = ("-dumpbase", "base.c", "-dumpdir", "side.") if cc == "gcc" else ("-save-stats",)
    w.write("a.c", CODE)
    w.write("v.h", "#define V 3\n")
    for _ in range(2):
        w.run(cc, *options, "-fstack-usage", "-gsplit-dwarf", "-c", "a.c", "-o", "a.o")
        for path in (*w.root.glob("*.su"), *w.root.glob("*.dwo")):
            path.unlink()
    w.run(cc, *options, "-fstack-usage", "-c", "a.c", "-o", "a.o")


@scenario("clang")
def test_clang_stack_usage(w: World) -> None:
    """clang's -fstack-usage writes .su too."""
    _twice(w, ("clang", "-fstack-usage", "-c", "a.c", "-o", "a.o"), ANY, ("a.o", "a.su"))


@scenario(*BOTH)
def test_assembler_output(w: World, cc: str) -> None:
    """-S is cached like an object."""
    _twice(w, (cc, "-S", "a.c", "-o", "a.s"), HIT, ("a.s",))
    _twice(w, (cc, "-S", "a.c"), HIT, ("a.s",))
    _twice(w, (cc, "-S", "-fverbose-asm", "a.c", "-o", "b.s"), ANY, ("b.s",))


@scenario("clang")
def test_bitcode_output(w: World) -> None:
    """-emit-llvm, as bitcode and as text; -flto; -fembed-bitcode."""
    _twice(w, ("clang", "-emit-llvm", "-c", "a.c", "-o", "a.bc"), HIT, ("a.bc",))
    _twice(w, ("clang", "-emit-llvm", "-S", "a.c", "-o", "a.ll"), HIT, ("a.ll",))
    _twice(w, ("clang", "-emit-llvm", "-c", "a.c"), ANY, ("a.bc",))
    _twice(w, ("clang", "-flto=thin", "-c", "a.c", "-o", "a.o"), HIT, ("a.o",))


@scenario("gcc")
def test_lto(w: World) -> None:
    """-flto objects."""
    _twice(w, ("gcc", "-O2", "-flto", "-frandom-seed=7", "-c", "a.c", "-o", "a.o"), HIT, ("a.o",))


@scenario(*BOTH)
def test_default_output_name(w: World, cc: str) -> None:
    """Without -o the object is in the working directory, named after the source."""
    w.write("sub/a.c", "int x;\n")
    w.write("sub/b.tar.c", "int x;\n")
    w.run(cc, "-c", "sub/a.c", expect=MISS)
    w.remove("a.o")
    w.run(cc, "-c", "sub/a.c", expect=HIT)
    w.run(cc, "-c", "sub/b.tar.c", "sub/a.c")
    w.run(cc, "-c", "sub/b.tar.c")


@scenario(*BOTH)
def test_several_sources_and_linking(w: World, cc: str) -> None:
    """Compiles of several sources, links, and -E pass through."""
    w.write("a.c", "int x;\n")
    w.write("main.c", "int main(void) { return 0; }\n")
    w.run(cc, "-c", "a.c", "main.c")
    w.run(cc, "main.c", "-o", "prog")
    w.run(cc, "main.o", "a.o", "-o", "prog")
    w.run(cc, "-E", "a.c")
    w.run(cc, "-E", "a.c", "-o", "a.i")
    w.run(cc, "-M", "a.c")
    w.run(cc, "-MM", "a.c", "-MF", "a.d")
    w.run(cc, "-fsyntax-only", "a.c")
    w.run(cc, "--version")
    w.run(cc, "-dumpmachine")
    w.run(cc)


@scenario(*BOTH)
def test_output_names_that_look_alike(w: World, cc: str) -> None:
    """-oa.o, -o a.o, --output=, an absolute path, another directory."""
    w.write("a.c", "int x;\n")
    w.mkdir("d")
    for output in (("-oa.o",), ("-o", "a.o"), ("-o", "./d/../a.o"), ("-o", str(w.path("d/a.o"))), ("-o", "noext"), ("-o", "d/a.obj")):
        w.run(cc, "-c", "a.c", *output)
        w.run(cc, "-c", "a.c", *output, expect=HIT)


@scenario("gcc")
def test_ada_spec_go_spec_and_aux_info(w: World) -> None:
    """-aux-info, -fdump-ada-spec, -fdump-go-spec write files."""
    for options in (("-aux-info", "protos.txt"), ("-fdump-ada-spec",), ("-fdump-go-spec=go.txt",)):
        w.write("a.c", CODE)
        w.write("v.h", "#define V 3\n")
        w.run("gcc", *options, "-c", "a.c", "-o", "a.o")
        for name in ("protos.txt", "a_c.ads", "v_h.ads", "go.txt"):
            w.path(name).unlink(missing_ok=True)
        w.run("gcc", *options, "-c", "a.c", "-o", "a.o")


@scenario("gcc")
def test_source_and_output_are_the_same_names(w: World) -> None:
    """A side output over an input: whatever the compiler does."""
    w.write("a.c", "int x;\n")
    w.write("v.h", "int y;\n")
    w.run("gcc", "-MD", "-MF", "a.d", "-c", "a.c", "-o", "a.d")
    w.run("gcc", "-MD", "-MF", "a.d", "-c", "a.c", "-o", "a.d")
