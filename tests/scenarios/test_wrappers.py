"""What stands between sccache and the compiler, or before sccache: scripts, other caches, distributors; programs that are no compilers."""

import os
from collections.abc import Callable

from arena import ANY, HIT, MISS, RECOMPILE, UNCACHED, Arena, World, needs, scenario
from arena.products import Sccache

SOURCE = "#ifndef V\n#define V 1\n#endif\nlong f(long n) { return n * V; }\n"
LOOP = "int f(int n, int *a) { int s = 0; for (int i = 0; i < n; i++) s += a[i] * i; return s; }\n"
KERNEL = "#ifndef V\n#define V 1\n#endif\n__global__ void kernel(int *p) { p[threadIdx.x] = V; }\n"
COMPILE = ("-c", "a.c", "-o", "a.o")
EMCC = """\
#!/usr/bin/env python3
# A stand-in for Emscripten's emcc, which is such a script before clang.
import os, sys
os.execvp(os.environ.get("EM_COMPILER", "gcc"), ["gcc", *os.environ.get("EMCC_CFLAGS", "").split(), *sys.argv[1:]])
"""
WRAPPERS = {
    "sh": '#!/bin/sh\nexec {cc} "$@"\n',
    "bash": '#!/usr/bin/env bash\nset -e\nexec {cc} "$@"\n',
    "child": '#!/bin/sh\n{cc} "$@"\nexit $?\n',
    "perl": '#!/usr/bin/perl\nexec("{cc}", @ARGV);\n',
    "python": "#!/usr/bin/env python3\nimport os, sys\nos.execvp('{cc}', ['{cc}', *sys.argv[1:]])\n",
    "ccache": '#!/bin/sh\nexec ccache {cc} "$@"\n',
}
OWN_CCACHE = {"CCACHE_DIR": "/nonexistent/ccache", "CCACHE_DISABLE": "1"}
"""A ccache behind us that keeps nothing: results must be ours."""
ALONE = {"DISTCC_HOSTS": "localhost", "DISTCC_NO_REWRITE_CROSS": "1", "ICECC": "disable", **OWN_CCACHE}
"""Distributors that find nobody to help, and use no network."""


def wrapper(w: World, kind: str, cc: str) -> str:
    """A wrapper of the name of no compiler."""
    return str(w.write("bin/build-it", WRAPPERS[kind].format(cc=cc), mode=0o755))


def _by_kind(kind: str) -> Callable[..., None]:
    @scenario("gcc", "clang", "aarch64-linux-gnu-gcc", settings=OWN_CCACHE)
    def steps(w: World, cc: str) -> None:
        """A wrapper that passes all on: a miss, a hit; a header change; another compiler behind it."""
        needs(*({"ccache"} & {kind}))
        w.write("a.c", '#include "v.h"\n' + SOURCE)
        w.write("v.h", "#define V 3\n")
        command = (wrapper(w, kind, cc), "-O2", *COMPILE)
        w.run(*command, expect=MISS)
        w.remove("a.o")
        w.run(*command, expect=HIT)
        w.write("v.h", "#define V 4\n")
        w.run(*command, expect=MISS)
        wrapper(w, kind, "g++")
        w.run(*command, expect=MISS)
        w.run(*command, expect=HIT)

    return steps


test_script_of_sh = _by_kind("sh")
test_script_of_bash = _by_kind("bash")
test_script_that_waits = _by_kind("child")
test_script_of_perl = _by_kind("perl")
test_script_of_python = _by_kind("python")
test_script_before_ccache = _by_kind("ccache")


@scenario("gcc")
def test_script_without_a_first_line(w: World) -> None:
    """The kernel refuses it and a shell takes it for its own: so must we, and a Makefile may name it."""
    w.write("a.c", SOURCE)
    name = w.write("bin/wrapper", 'exec gcc -DV=4 "$@"\n', mode=0o755)
    for expect in (MISS, HIT):
        w.tool("sh", "-c", f"{w.front}{name} {' '.join(COMPILE)}", expect=expect)


@scenario("gcc", "clang")
def test_options_from_a_variable(w: World, cc: str) -> None:
    """What a wrapper adds is part of the result's key, although it is in no command line."""
    w.write("a.c", SOURCE)
    command = (str(w.script("bin/wrapper", f'exec {cc} $SITE_OPTIONS "$@"')), *COMPILE)
    for expect in (MISS, HIT):
        for options in (None, "-DV=2", "-O2 -DV=3", "-m32 -DV=3"):
            w.run(*command, env={"SITE_OPTIONS": options}, expect=expect)


@scenario("gcc")
def test_compiler_from_a_variable(w: World) -> None:
    """The same command line is another compiler's, when a variable says so."""
    needs("clang", "aarch64-linux-gnu-gcc")
    w.write("a.c", SOURCE)
    command = (str(w.script("bin/wrapper", 'exec "${SITE_CC:-gcc}" "$@"')), "-O1", *COMPILE)
    for expect in (MISS, HIT):
        for compiler in (None, "clang", "aarch64-linux-gnu-gcc", "g++"):
            w.run(*command, env={"SITE_CC": compiler}, expect=expect)


@scenario("gcc")
def test_options_from_a_file(w: World) -> None:
    """A file of options that a wrapper reads."""
    w.write("a.c", SOURCE)
    command = (str(w.script("bin/wrapper", 'exec gcc $(cat site.options) "$@"')), *COMPILE)
    for options in ("-DV=2", "-DV=3"):
        w.write("site.options", options)
        w.run(*command, expect=MISS)
        w.run(*command, expect=HIT)


@scenario("gcc")
def test_options_by_the_file_that_is_compiled(w: World) -> None:
    """A wrapper that looks at its command line: what it adds for one file is not for the other."""
    w.write("a.c", SOURCE)
    w.write("b.c", SOURCE)
    name = str(w.script("bin/wrapper", 'case "$*" in *b.c*) set -- -DV=9 "$@";; esac\nexec gcc "$@"'))
    for expect in (MISS, HIT):
        for stem in ("a", "b"):
            w.run(name, "-c", f"{stem}.c", "-o", f"{stem}.o", expect=expect)


@scenario("gcc")
def test_options_by_the_output(w: World) -> None:
    """The same source and options, and the wrapper looks at where the object goes."""
    w.write("a.c", LOOP)
    w.mkdir("debug")
    w.mkdir("release")
    name = str(w.script("bin/wrapper", 'case "$*" in *release/*) set -- "$@" -O3;; esac\nexec gcc "$@"'))
    for expect in (MISS, HIT):
        for place in ("debug", "release"):
            w.run(name, "-O1", "-c", "a.c", "-o", f"{place}/a.o", expect=expect)


@scenario("gcc")
def test_variable_that_counts_for_one_file(w: World) -> None:
    """What a wrapper adds for one source is asked with that source."""
    w.write("a.c", LOOP)
    w.write("b.c", LOOP)
    name = str(w.script("bin/wrapper", 'case "$*" in *b.c*) set -- $OF_B "$@";; esac\nexec gcc "$@"'))
    for expect in (MISS, HIT):
        for options in ("-O0", "-O3"):
            w.run(name, "-c", "b.c", "-o", "b.o", env={"OF_B": options}, expect=expect)
    w.run(name, "-c", "a.c", "-o", "a.o", env={"OF_B": "-O0"}, expect=MISS)


@scenario("gcc")
def test_tool_for_one_file_is_replaced(w: World) -> None:
    """A wrapper that has another compiler for some sources: its contents count for these."""
    needs("aarch64-linux-gnu-gcc")
    w.write("a.c", LOOP)
    w.write("b.c", LOOP)
    name = str(w.script("bin/wrapper", f'case "$*" in *b.c*) exec {w.path("special")} "$@";; esac\nexec gcc "$@"'))
    for target in ("gcc", "aarch64-linux-gnu-gcc"):
        w.symlink("special", f"/usr/bin/{target}")
        w.run(name, "-O1", "-c", "b.c", "-o", "b.o", expect=MISS)
        w.run(name, "-O1", "-c", "b.c", "-o", "b.o", expect=HIT)
        w.run(name, "-O1", "-c", "a.c", "-o", "a.o", expect=MISS if target == "gcc" else HIT)


@scenario("gcc")
def test_tool_behind_the_wrapper_is_replaced(w: World) -> None:
    """The wrapper and its words stay: the tool behind it is another one."""
    needs("aarch64-linux-gnu-gcc")
    w.write("a.c", SOURCE)
    command = (str(w.script("bin/wrapper", f'exec {w.path("real/cc")} "$@"')), "-O1", *COMPILE)
    for target in ("gcc", "aarch64-linux-gnu-gcc"):
        w.symlink("real/cc", f"/usr/bin/{target}")
        w.run(*command, expect=MISS)
        w.run(*command, expect=HIT)
    w.symlink("real/cc", "/usr/bin/gcc")
    w.run(*command, expect=HIT)


@scenario("gcc")
def test_wrapper_that_fails(w: World) -> None:
    """Its words and its exit code are the answer, each time; and when it works again, so does the cache."""
    w.write("a.c", SOURCE)
    command = (str(w.script("bin/wrapper", "echo licence server is down >&2\nexit 9")), *COMPILE)
    for _ in range(2):
        w.run(*command, expect=UNCACHED)
    w.script("bin/wrapper", 'exec gcc "$@"')
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)


@scenario("gcc", programs=("python3",))
def test_emcc_stand_in(w: World) -> None:
    """Emscripten's way: a script of Python, options and the compiler from variables."""
    needs("clang")
    w.write("a.c", SOURCE)
    command = (str(w.write("bin/emcc", EMCC, mode=0o755)), *COMPILE)
    for expect in (MISS, HIT):
        for env in ({}, {"EMCC_CFLAGS": "-O2 -DV=7"}, {"EM_COMPILER": "clang"}):
            w.run(*command, env=env, expect=expect)


@scenario("gcc", programs=("ccache",), settings=ALONE)
def test_ccache_in_front(w: World) -> None:
    """`ccache sccache gcc`, and ccache with us as its prefix command."""
    w.write("a.c", SOURCE)
    for _ in range(2):
        w.tool("ccache", *w.front.split(), "gcc", *COMPILE)
        w.tool("ccache", "gcc", *COMPILE, env={"CCACHE_PREFIX": w.front.strip() or None})


@scenario("ccache", "distcc", "icecc", settings=ALONE)
def test_behind_us(w: World, cc: str) -> None:
    """`sccache distcc gcc …`: the compiler's own result, from the cache; apart from that of the compiler alone."""
    w.write("a.c", '#include "v.h"\n' + SOURCE)
    w.write("v.h", "#define V 3\n")
    for number in (3, 4, 3):
        w.write("v.h", f"#define V {number}\n")
        w.run(cc, "gcc", "-O2", "-MD", *COMPILE)
        w.run(cc, "gcc", "-O2", "-MD", *COMPILE, expect=HIT)
    w.run("gcc", "-O2", "-MD", *COMPILE, expect=MISS)
    w.run(cc, "g++", "-O2", "-MD", *COMPILE, expect=MISS)
    w.run(cc, "gcc", "-O2", "-MD", *COMPILE, expect=HIT)


@scenario("ccache", "distcc", "icecc", settings=ALONE)
def test_behind_us_with_payloads(w: World, cc: str) -> None:
    """Nobody has the assembler list its files there: what may read some is not kept."""
    w.write("a.c", '#define DOT "."\n__asm__(DOT "inc" "bin \\"data.bin\\"\\n");\nint x;\n')
    w.write("a.S", '.data\n.incbin "data.bin"\n')
    for text in ("one\n", "two\n"):
        w.write("data.bin", text)
        for source in ("a.c", "a.S"):
            w.run(cc, "gcc", "-c", source, "-o", "a.o", expect=RECOMPILE)


@scenario("ccache", "distcc", "icecc", settings=ALONE)
def test_behind_us_what_is_no_compile(w: World, cc: str) -> None:
    """Errors, questions, links, several sources, no command at all: as it is without us."""
    w.write("a.c", SOURCE)
    w.write("b.c", "long f(long); int main(void) { return (int)f(0); }\n")
    w.write("bad.c", "int f( { }\n")
    for _ in range(2):
        w.run(cc, "gcc", "-c", "bad.c", "-o", "bad.o", expect=RECOMPILE)
    w.run(cc, "gcc", "--version", expect=UNCACHED)
    w.run(cc, "gcc", "-c", "a.c", "b.c", expect=UNCACHED)
    w.run(cc, "gcc", "a.o", "b.o", "-o", "program", expect=UNCACHED)
    w.run(cc, "no-such-compiler", *COMPILE, expect=UNCACHED, compare=False)
    w.run(cc, "--version", expect=UNCACHED)
    w.run(cc, expect=UNCACHED)


@scenario("clang", "aarch64-linux-gnu-gcc", settings=ALONE)
def test_other_compilers_behind_distributors(w: World, cc: str) -> None:
    """Each is asked itself; one distributor before another."""
    needs("distcc", "ccache")
    w.write("a.c", SOURCE)
    for words in (("distcc",), ("ccache", "distcc")):
        w.run(*words, cc, "-O1", *COMPILE, expect=MISS)
        w.run(*words, cc, "-O1", *COMPILE, expect=HIT)


@scenario("distcc", settings={"DISTCC_HOSTS": "localhost"})
def test_distcc_that_takes_another_gcc(w: World) -> None:
    """It says x86_64-linux-gnu-gcc for gcc, whatever PATH's first gcc is."""
    w.write("a.c", SOURCE)
    w.mkdir("bin")
    env = {"PATH": f"{w.path('bin')}:/usr/bin:/bin"}
    w.run("distcc", "gcc", *COMPILE, env=env, expect=MISS)
    w.run("distcc", "gcc", *COMPILE, env=env, expect=HIT)
    w.script("bin/x86_64-linux-gnu-gcc", 'exec /usr/bin/gcc -DV=4 "$@"')
    w.run("distcc", "gcc", *COMPILE, env=env)
    w.remove("bin/x86_64-linux-gnu-gcc")
    w.script("bin/gcc", 'exec /usr/bin/gcc -DV=5 "$@"')
    w.run("distcc", "gcc", *COMPILE, env=env)
    w.script("bin/x86_64-linux-gnu-gcc", 'exec /usr/bin/gcc -DV=6 "$@"')
    w.run("distcc", "gcc", *COMPILE, env=env)
    w.script("bin/x86_64-linux-gnu-gcc", 'exec /usr/bin/gcc -DV=7 "$@"')
    w.run("distcc", "gcc", *COMPILE, env=env)


@scenario("ccache", "distcc", settings=ALONE)
def test_links_to_it_on_PATH(w: World, cc: str) -> None:
    """`gcc` that is a link to another wrapper; the gcc behind it changes without a word."""
    w.write("a.c", SOURCE)
    w.symlink("links/gcc", f"/usr/bin/{cc}")
    w.mkdir("real")
    env = {"PATH": f"{w.path('links')}:{w.path('real')}:/usr/bin:/bin"}
    w.run("gcc", "-O2", *COMPILE, env=env, expect=MISS)
    w.run("gcc", "-O2", *COMPILE, env=env, expect=HIT)
    w.script("real/gcc", 'exec /usr/bin/gcc -DV=5 "$@"')
    w.run("gcc", "-O2", *COMPILE, env=env, expect=MISS)
    w.run("gcc", "-O2", *COMPILE, env=env, expect=HIT)
    w.script("real/gcc", 'exec /usr/bin/gcc -DV=6 "$@"')
    w.run("gcc", "-O2", *COMPILE, env=env, expect=MISS)
    w.run(str(w.path("links/gcc")), "-O2", *COMPILE, env=env)


@scenario("nvcc")
def test_script_before_nvcc(w: World) -> None:
    """A compile that is observed: the script's own variables count, by whatever path it is called; so does the tool behind it."""
    w.write("a.cu", KERNEL)
    w.script("bin/build-it", f'exec {w.path("real/nvcc")} $SITE_OPTIONS "$@"')
    w.script("real/nvcc", 'exec /usr/local/bin/nvcc "$@"')
    w.symlink("bin/link", "build-it")
    for name in (str(w.path("bin/build-it")), "./bin/build-it", "bin//build-it", "bin/link"):
        for options in (None, "-DV=2"):
            w.run(name, "-arch=sm_80", "-ptx", "a.cu", "-o", "a.ptx", env={"SITE_OPTIONS": options})
            w.run(name, "-arch=sm_80", "-ptx", "a.cu", "-o", "a.ptx", env={"SITE_OPTIONS": options, "OTHER": "x"}, expect=HIT)
    w.script("real/nvcc", 'exec /usr/local/bin/nvcc -DV=3 "$@"')
    for name in ("./bin/build-it", "bin/link"):
        w.run(name, "-arch=sm_80", "-ptx", "a.cu", "-o", "a.ptx")
        w.run(name, "-arch=sm_80", "-ptx", "a.cu", "-o", "a.ptx", expect=HIT)


@scenario("nvcc")
def test_script_without_a_first_line_before_nvcc(w: World) -> None:
    """A shell runs it, observed or not, and its variables count."""
    w.write("a.cu", KERNEL)
    w.write("nvcc", 'exec /usr/local/bin/nvcc $SITE_OPTIONS "$@"\n', mode=0o755)
    for options in ("-DV=2", "-DV=3"):
        for expect in (ANY, HIT):
            w.tool("sh", "-c", f"{w.front}./nvcc -arch=sm_80 -c a.cu -o a.o", env={"SITE_OPTIONS": options}, expect=expect)


@scenario("nvcc")
def test_scripts_that_cannot_be_read_before_nvcc(w: World) -> None:
    """Other files of commands, names made at run time, other languages: right, whatever the cache can do."""
    w.write("a.cu", KERNEL)
    w.write("settings", "SITE_OPTIONS=$MY_OPTIONS\n")
    bodies = {
        "sourced": '#!/bin/sh\n. ./settings\nexec /usr/local/bin/nvcc $SITE_OPTIONS "$@"\n',
        "named": '#!/bin/bash\nname=MY_OPTIONS\nexec /usr/local/bin/nvcc ${!name} "$@"\n',
        "perl": '#!/usr/bin/perl\nexec("/usr/local/bin/nvcc", split(" ", $ENV{MY_OPTIONS}), @ARGV);\n',
        "python": "#!/usr/bin/env python3\nimport os, sys\nnvcc = '/usr/local/bin/nvcc'\n"
        "os.execv(nvcc, [nvcc, *os.environ['MY_OPTIONS'].split(), *sys.argv[1:]])\n",
    }
    for name, body in bodies.items():
        command = (str(w.write(f"bin/{name}", body, mode=0o755)), "-arch=sm_80", "-ptx", "a.cu", "-o", "a.ptx")
        for options in ("-DV=4", "-DV=5"):
            w.run(*command, env={"MY_OPTIONS": options})


@scenario("env", "nice", "nohup", "timeout")
def test_other_programs_before_the_compiler(w: World, cc: str) -> None:
    """They are not seen through: as it would be without us."""
    w.write("a.c", SOURCE)
    more = ("60",) if cc == "timeout" else ()
    for _ in range(2):
        w.run(cc, *more, "gcc", *COMPILE, expect=UNCACHED)
        w.run(cc, *more, "false", *COMPILE, expect=UNCACHED)


@scenario("true", "false", "cat", "ls", "python3", "as", "ld", "make")
def test_programs_that_are_no_compilers(w: World, cc: str) -> None:
    """Never an error of ours: their own output and exit code."""
    w.write("a.c", SOURCE)
    for arguments in (COMPILE, ("--version",), ()):
        if (cc, arguments) not in (("as", ()), ("python3", ())):  # they read what is not there
            w.run(cc, *arguments, expect=UNCACHED)


@scenario("gcc")
def test_files_that_claim_to_be_compilers(w: World) -> None:
    """A failing script, one that makes nothing, one that says strange things, one that reads its input."""
    w.write("a.c", SOURCE)
    for body in ("exit 3", "true", "echo sccache_compiler", "printf 'sccache_compiler gcc\\n'", "cat; cat >&2; exit 1", "kill -9 $$"):
        name = str(w.script("bin/gcc", body))
        for _ in range(2):
            w.run(name, *COMPILE)


@scenario("tcc")
def test_small_compiler(w: World, cc: str) -> None:
    """One that is none of those that we know: its result is its own."""
    w.write("a.c", SOURCE)
    for _ in range(2):
        w.run(cc, *COMPILE)
    w.write("a.c", "#define V 8\n" + SOURCE)
    w.run(cc, *COMPILE)


def test_what_cannot_be_run(arena: Arena) -> None:
    """A directory, a file without the right to run it, nothing at all: a sentence that names it, as a shell would say it."""
    w = arena.cached_world()
    w.mkdir("bin/directory")
    w.write("bin/plain", "int x;\n")
    for name, words in (("bin/directory", b"Permission denied"), ("bin/plain", b"Permission denied"), ("bin/nothing", b"No such file")):
        step = w.run(str(w.path(name)), *COMPILE, expect=UNCACHED)
        assert step.exit_code == 2
        assert os.fsencode(w.path(name)) in step.stderr
        assert words in step.stderr
    assert b"no-such-compiler" in w.run("no-such-compiler", *COMPILE, expect=UNCACHED).stderr


def test_what_was_not_understood_is_counted(arena: Arena) -> None:
    """The statistics say that nothing was cached, and how often."""
    w = arena.cached_world(ALONE)
    w.write("a.c", SOURCE)
    for command in (("true",), ("env", "gcc"), ("nice", "gcc")):
        w.run(*command, *COMPILE, expect=UNCACHED)
    assert isinstance(arena.product, Sccache)
    assert arena.product.stats(w.environment())["stats"]["requests_unsupported_compiler"] == 3
