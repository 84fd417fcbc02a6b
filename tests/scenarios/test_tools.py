"""The programs and data files behind a compile: assembler, specs, plugins, profiles, lists, the compiler itself."""

import shutil
import subprocess

from arena import ANY, BY_MANIFEST, HIT, MISS, RECOMPILE, World, needs, needs_gcc_plugin_headers, scenario

BOTH = ("gcc", "clang")
LOOP = "int f(int n) { int s = 0; for (int i = 0; i < n; i++) s += i * i; return s; }\n"


@scenario(*BOTH)
def test_incbin_in_assembler_source(w: World, cc: str) -> None:
    """The payload of .incbin in a .S file."""
    w.write("a.S", '.data\n.globl payload\npayload:\n.incbin "data.bin"\n')
    w.write("data.bin", "one\n")
    w.run(cc, "-c", "a.S", "-o", "a.o")
    w.write("data.bin", "two\n")
    w.run(cc, "-c", "a.S", "-o", "a.o", expect=RECOMPILE)


@scenario(*BOTH)
def test_incbin_unchanged_is_a_hit(w: World, cc: str) -> None:
    """A payload that did not change does not cost the hit (gcc: the assembler names it)."""
    w.write("a.S", '.data\n.globl payload\npayload:\n.incbin "data.bin"\n')
    w.write("data.bin", "one\n")
    w.run(cc, "-c", "a.S", "-o", "a.o")
    w.run(cc, "-c", "a.S", "-o", "a.o", expect=BY_MANIFEST if cc == "gcc" else ANY)


@scenario(*BOTH)
def test_incbin_found_by_assembler_search_path(w: World, cc: str) -> None:
    """.incbin is searched in -I directories: an earlier one gets the file later."""
    w.write("a.S", '.data\n.incbin "data.bin"\n')
    w.write("late/data.bin", "one\n")
    w.mkdir("early")
    command = (cc, "-Iearly", "-Ilate", "-c", "a.S", "-o", "a.o")
    w.run(*command)
    w.run(*command)
    w.write("early/data.bin", "two\n")
    w.run(*command)


@scenario(*BOTH)
def test_incbin_inline_assembler(w: World, cc: str) -> None:
    """The payload of .incbin in inline assembler, its name pasted together by macros (ccache#1120)."""
    w.write("a.c", '#define DOT "."\n#define NAME "data" DOT "bin"\n__asm__(DOT "inc" "bin \\"" NAME "\\"\\n");\nint x;\n')
    w.write("data.bin", "one\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.write("data.bin", "two\n")
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=RECOMPILE)


@scenario(*BOTH)
def test_incbin_with_escapes(w: World, cc: str) -> None:
    """The directive hidden in escapes."""
    w.write("a.c", '__asm__("\\x2e" "\\151ncbin \\"data.bin\\"\\n");\nint x;\n')
    w.write("data.bin", "one\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.write("data.bin", "two\n")
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=RECOMPILE)


@scenario(*BOTH)
def test_incbin_in_preprocessed_source(w: World, cc: str) -> None:
    """The payload of .incbin in a .s file, which nobody preprocesses."""
    w.write("a.s", '.data\n.incbin "data.bin"\n')
    w.write("data.bin", "one\n")
    w.run(cc, "-c", "a.s", "-o", "a.o")
    w.write("data.bin", "two\n")
    w.run(cc, "-c", "a.s", "-o", "a.o", expect=RECOMPILE)


@scenario(*BOTH)
def test_assembler_include(w: World, cc: str) -> None:
    """The file of the assembler's .include."""
    w.write("a.S", '.include "b.inc"\n')
    w.write("b.inc", ".data\n.long 1\n")
    w.run(cc, "-c", "a.S", "-o", "a.o")
    w.write("b.inc", ".data\n.long 2\n")
    w.run(cc, "-c", "a.S", "-o", "a.o", expect=RECOMPILE)


@scenario(*BOTH)
def test_assembler_source_plain(w: World, cc: str) -> None:
    """.S with preprocessing, .s without: right, and hits."""
    w.write("a.S", '#include "v.h"\n.data\n.long V\n')
    w.write("b.s", ".data\n.long 7\n")
    w.write("v.h", "#define V 1\n")
    for name in ("a.S", "b.s"):
        w.run(cc, "-c", name, "-o", "x.o", expect=MISS)
        w.run(cc, "-c", name, "-o", "x.o", expect=HIT)
    w.write("v.h", "#define V 2\n")
    w.run(cc, "-c", "a.S", "-o", "x.o", expect=RECOMPILE)


@scenario("gcc")
def test_assembler_changed_via_B(w: World) -> None:
    """-B names a directory with an assembler whose content changes (sccache#2843)."""
    w.write("a.c", "int x;\n")
    w.script("bin/as", '/usr/bin/as --defsym marker=1 "$@"')
    command = ("gcc", "-Bbin/", "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command, expect=HIT)
    w.script("bin/as", '/usr/bin/as --defsym marker=2 "$@"')
    w.run(*command, expect=RECOMPILE)


@scenario("gcc")
def test_assembler_appears_via_B(w: World) -> None:
    """An assembler appears in a -B directory that had none."""
    w.write("a.c", "int x;\n")
    w.mkdir("bin")
    command = ("gcc", "-Bbin/", "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command)
    w.script("bin/as", '/usr/bin/as --defsym marker=2 "$@"')
    w.run(*command, expect=RECOMPILE)


@scenario("gcc")
def test_assembler_via_COMPILER_PATH(w: World) -> None:
    """COMPILER_PATH brings another assembler."""
    w.write("a.c", "int x;\n")
    w.mkdir("bin")
    env = {"COMPILER_PATH": str(w.path("bin"))}
    w.run("gcc", "-c", "a.c", "-o", "a.o")
    w.run("gcc", "-c", "a.c", "-o", "a.o", env=env)
    w.script("bin/as", '/usr/bin/as --defsym marker=2 "$@"')
    w.run("gcc", "-c", "a.c", "-o", "a.o", env=env, expect=RECOMPILE)


@scenario("gcc")
def test_assembler_via_PATH(w: World) -> None:
    """gcc finds `as` on PATH when its own directories have none; a changed PATH must not mislead."""
    w.write("a.c", "int x;\n")
    w.script("bin/as", '/usr/bin/as --defsym marker=2 "$@"')
    w.run("gcc", "-c", "a.c", "-o", "a.o")
    w.run("gcc", "-c", "a.c", "-o", "a.o", env={"PATH": f"{w.path('bin')}:/usr/bin:/bin"})


@scenario("clang")
def test_assembler_of_clang_fno_integrated_as(w: World) -> None:
    """clang -fno-integrated-as runs `as` from PATH."""
    w.write("a.c", "int x;\n")
    env = {"PATH": f"{w.path('bin')}:/usr/bin:/bin"}
    w.script("bin/as", '/usr/bin/as --defsym marker=1 "$@"')
    w.run("clang", "-fno-integrated-as", "-c", "a.c", "-o", "a.o", env=env)
    w.script("bin/as", '/usr/bin/as --defsym marker=2 "$@"')
    w.run("clang", "-fno-integrated-as", "-c", "a.c", "-o", "a.o", env=env)


@scenario("gcc")
def test_specs_file_changed(w: World) -> None:
    """-specs= names a file that changes the options."""
    w.write("a.c", LOOP)
    w.write("my.specs", "*cc1_options:\n+ -O0\n\n")
    command = ("gcc", "-specs=my.specs", "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.write("my.specs", "*cc1_options:\n+ -O2\n\n")
    w.run(*command, expect=RECOMPILE)


@scenario("clang")
def test_clang_config_file_changed(w: World) -> None:
    """--config names a file of options; it may include another."""
    w.write("a.c", LOOP)
    w.write("my.cfg", "@inner.cfg\n")
    w.write("inner.cfg", "-O0\n")
    command = ("clang", "--config", str(w.path("my.cfg")), "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.write("inner.cfg", "-O2\n")
    w.run(*command, expect=RECOMPILE)
    w.write("my.cfg", "-O1\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_response_file_changed(w: World, cc: str) -> None:
    """@file with the same name and another content."""
    w.write("a.c", LOOP)
    w.write("args.rsp", "-O0 -c a.c")
    w.run(cc, "@args.rsp", "-o", "a.o", expect=MISS)
    w.run(cc, "@args.rsp", "-o", "a.o", expect=HIT)
    w.write("args.rsp", "-O2 -c a.c")
    w.run(cc, "@args.rsp", "-o", "a.o", expect=RECOMPILE)


@scenario(*BOTH)
def test_nested_response_file_changed(w: World, cc: str) -> None:
    """@file inside an @file, with quotes and spaces."""
    w.write("a b.c", LOOP)
    w.write("outer.rsp", '@inner.rsp\n-c "a b.c" \'-DTEXT="x y"\'\n')
    w.write("inner.rsp", "-O0\n")
    w.run(cc, "@outer.rsp", "-o", "a.o", expect=MISS)
    w.run(cc, "@outer.rsp", "-o", "a.o", expect=HIT)
    w.write("inner.rsp", "-O2\n")
    w.run(cc, "@outer.rsp", "-o", "a.o", expect=RECOMPILE)


@scenario(*BOTH)
def test_response_file_missing_is_an_argument(w: World, cc: str) -> None:
    """An @file that is not there is an error of the compiler; then it appears."""
    w.write("a.c", LOOP)
    w.run(cc, "@args.rsp", "-c", "a.c", "-o", "a.o")
    w.write("args.rsp", "-O2")
    w.run(cc, "@args.rsp", "-c", "a.c", "-o", "a.o")


@scenario("clang")
def test_sanitize_ignorelist_changed(w: World) -> None:
    """-fsanitize-ignorelist= (and its old spelling) name an input."""
    w.write("a.c", "int f(int *p) { return *p; }\n")
    for option in ("-fsanitize-ignorelist=list.txt", "-fsanitize-blacklist=list.txt"):
        w.write("list.txt", "fun:nothing\n")
        w.run("clang", "-fsanitize=address", option, "-c", "a.c", "-o", "a.o")
        w.run("clang", "-fsanitize=address", option, "-c", "a.c", "-o", "a.o", expect=HIT)
        w.write("list.txt", "fun:f\n")
        w.run("clang", "-fsanitize=address", option, "-c", "a.c", "-o", "a.o", expect=RECOMPILE)
        w.remove("list.txt")
        w.run("clang", "-fsanitize=address", option, "-c", "a.c", "-o", "a.o")


PLUGIN = """
#include "gcc-plugin.h"
#include "plugin-version.h"
#include <stdio.h>
int plugin_is_GPL_compatible;
int plugin_init(struct plugin_name_args *args, struct plugin_gcc_version *version)
{ fprintf(stderr, "plugin %d, %d arguments\\n", NUMBER, args->argc); return 0; }
"""


@scenario("gcc")
def test_gcc_plugin_changed(w: World) -> None:
    """A rebuilt -fplugin= (sccache#2505), and its arguments."""
    include = needs_gcc_plugin_headers()
    w.write("p.cc", PLUGIN)
    build = ("g++", f"-I{include}", "-fno-rtti", "-fPIC", "-shared", "p.cc", "-o", "p.so")
    w.write("a.c", "int x;\n")
    w.tool(*build, "-DNUMBER=1", compare=False)
    command = ("gcc", "-fplugin=./p.so", "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command)
    w.run(*command[:2], "-fplugin-arg-p-key=value", *command[2:])
    w.tool(*build, "-DNUMBER=2", compare=False)
    w.run(*command, expect=RECOMPILE)


CLANG_PLUGIN = '#include <stdio.h>\n__attribute__((constructor)) static void hello(void)\n{ fprintf(stderr, "plugin %d\\n", NUMBER); }\n'


@scenario("clang")
def test_clang_plugin_changed(w: World) -> None:
    """The same for clang; any shared library whose constructor speaks will do."""
    w.write("p.c", CLANG_PLUGIN)
    w.write("a.c", "int x;\n")
    for option in (("-fplugin=./p.so",), ("-Xclang", "-load", "-Xclang", "./p.so"), ("-fpass-plugin=./p.so",)):
        w.tool("gcc", "-fPIC", "-shared", "-DNUMBER=1", "p.c", "-o", "p.so", compare=False)
        w.run("clang", *option, "-c", "a.c", "-o", "a.o")
        w.run("clang", *option, "-c", "a.c", "-o", "a.o")
        w.tool("gcc", "-fPIC", "-shared", "-DNUMBER=2", "p.c", "-o", "p.so", compare=False)
        w.run("clang", *option, "-c", "a.c", "-o", "a.o", expect=RECOMPILE)


@scenario("gcc")
def test_gcc_profile_appears_and_changes(w: World) -> None:
    """-fprofile-use reads a .gcda that appears, changes and disappears."""
    w.write("a.c", LOOP + "int main(int c, char **v) { return f(c > 1 ? 100000 : 3) & 1; }\n")
    w.write("keep/one.gcda", _gcda(w, []))
    w.write("keep/two.gcda", _gcda(w, ["x"]))
    command = ("gcc", "-O2", "-fprofile-use", "-Wno-missing-profile", "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command)
    w.write("a.gcda", w.path("keep/one.gcda").read_bytes())
    w.run(*command, expect=RECOMPILE)
    w.write("a.gcda", w.path("keep/two.gcda").read_bytes())
    w.run(*command, expect=RECOMPILE)
    w.remove("a.gcda")
    w.run(*command)


def _gcda(w: World, args: list[str]) -> bytes:
    """Make a real profile of a.c, by the plain compiler."""
    for argv in (["gcc", "-O2", "-fprofile-generate", "-c", "a.c", "-o", "a.o"], ["gcc", "--coverage", "a.o", "-o", "a.out"]):
        subprocess.run(argv, cwd=w.root, check=True, timeout=120, env={"PATH": "/usr/bin:/bin"})
    subprocess.run(["./a.out", *args], cwd=w.root, check=False, timeout=120)
    data = w.path("a.gcda").read_bytes()
    w.remove("a.gcda", "a.out", "a.o")
    return data


@scenario("gcc")
def test_gcc_profile_directory(w: World) -> None:
    """-fprofile-use=DIR and -fprofile-dir."""
    w.write("a.c", LOOP + "int main(int c, char **v) { return f(c > 1 ? 100000 : 3) & 1; }\n")
    profile = _gcda(w, ["x"])
    command = ("gcc", "-O2", "-fprofile-use=prof", "-Wno-missing-profile", "-c", "a.c", "-o", "a.o")
    w.mkdir("prof")
    w.run(*command)
    mangled = str(w.path("a.gcda")).replace("/", "#")
    w.write(f"prof/{mangled}", profile)
    w.run(*command)
    w.run(*command)


@scenario("clang")
def test_clang_profile_changed(w: World) -> None:
    """-fprofile-use=, -fprofile-sample-use= and -fauto-profile name inputs."""
    needs("llvm-profdata-14")
    w.write("a.c", LOOP)
    w.write("s1.txt", "f\n1\n2\n100\n1\n")
    for number in (1, 2):
        w.write(f"p{number}.proftext", f"f\n# Func Hash:\n0\n# Num Counters:\n1\n# Counter Values:\n{number * 1000}\n")
        w.tool("llvm-profdata-14", "merge", f"p{number}.proftext", "-o", f"p{number}.profdata", compare=False)
    command = ("clang", "-O2", "-fprofile-use=p.profdata", "-Wno-profile-instr-out-of-date", "-Wno-profile-instr-unprofiled",
               "-c", "a.c", "-o", "a.o")  # fmt: skip
    shutil.copy(w.path("p1.profdata"), w.path("p.profdata"))
    w.run(*command)
    w.run(*command)
    shutil.copy(w.path("p2.profdata"), w.path("p.profdata"))
    w.run(*command, expect=RECOMPILE)
    w.run("clang", "-O2", "-fprofile-sample-use=sample.txt", "-c", "a.c", "-o", "a.o")
    w.write("sample.txt", "f:1000:100\n 1: 100\n")
    w.run("clang", "-O2", "-fprofile-sample-use=sample.txt", "-c", "a.c", "-o", "a.o")
    w.write("sample.txt", "f:2000:900\n 1: 900\n")
    w.run("clang", "-O2", "-fprofile-sample-use=sample.txt", "-c", "a.c", "-o", "a.o", expect=RECOMPILE)


@scenario(*BOTH)
def test_compiler_wrapper_replaced_same_mtime_and_size(w: World, cc: str) -> None:
    """A compiler replaced in place with equal size and modification time (nix, docker, rsync -t)."""
    w.write("a.c", "int x = V;\n")
    w.script(f"bin/{cc}", f'exec /usr/bin/{cc} -DV=1 "$@"')
    command = (str(w.path(f"bin/{cc}")), "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command)
    w.rewrite_unseen(f"bin/{cc}", f'#!/bin/sh\nexec /usr/bin/{cc} -DV=2 "$@"\n')
    w.run(*command, expect=RECOMPILE)


@scenario("gcc")
def test_compiler_copy_replaced_same_mtime_and_size(w: World) -> None:
    """The same with a real driver: a copy of gcc with a few bytes changed."""
    w.write("a.c", "int x = 1;\n")
    w.mkdir("bin")
    w.symlink("lib", "/usr/lib")  # where the copy looks for cc1
    driver = w.path("bin/gcc")
    shutil.copy(shutil.which("gcc", path="/usr/bin") or "", driver)
    command = (str(driver), "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command)
    data = driver.read_bytes()
    changed = data.replace(b"%{!O1:%{!O2:%{!O3:%{!O0:%{!Os:%{!0fast:", b"%{!O1:%{!O2:%{!O3:%{!O0:%{!Os:%{!0fasx:")
    w.rewrite_unseen("bin/gcc", changed)
    w.run(*command)


@scenario("gcc")
def test_compiler_that_works_only_with_its_options(w: World) -> None:
    """A driver that cannot be probed without the user's -B still compiles."""
    w.write("a.c", "int x = 1;\n")
    w.mkdir("bin")
    shutil.copy(shutil.which("gcc", path="/usr/bin") or "", w.path("bin/gcc"))
    for _ in range(2):
        w.run(str(w.path("bin/gcc")), "-B/usr/lib/gcc/x86_64-linux-gnu/12/", "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_compiler_wrapper_backend_changes(w: World, cc: str) -> None:
    """A wrapper script that stays equal while the compiler behind it changes."""
    w.write("a.c", "int x = V;\n")
    w.script("real/backend", f'exec /usr/bin/{cc} -DV=1 "$@"')
    w.script(f"bin/{cc}", f'exec "{w.path("real/backend")}" "$@"')
    command = (str(w.path(f"bin/{cc}")), "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command)
    w.script("real/backend", f'exec /usr/bin/{cc} -DV=2 "$@"')
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_compiler_wrapper_reads_a_file_or_variable(w: World, cc: str) -> None:
    """A wrapper script whose options come from a file and from a variable of its own."""
    w.write("a.c", "int x = V;\n")
    w.write("options", "-DV=1")
    w.script(f"bin/{cc}", f'exec /usr/bin/{cc} $(cat options) $MY_OPTIONS "$@"')
    command = (str(w.path(f"bin/{cc}")), "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.write("options", "-DV=2")
    w.run(*command, expect=RECOMPILE)
    w.run(*command, env={"MY_OPTIONS": "-O3 -g"})


@scenario(*BOTH)
def test_another_compiler_first_on_PATH(w: World, cc: str) -> None:
    """`gcc` without a path means whatever PATH says now."""
    w.write("a.c", "int x = V + 0;\n")
    w.script(f"bin1/{cc}", f'exec /usr/bin/{cc} -DV=1 "$@"')
    for number in (1, 2):
        w.script(f"bin{number}/{cc}", f'exec /usr/bin/{cc} -DV={number} "$@"')
    for number in (1, 2, 1, 2):
        w.run(cc, "-c", "a.c", "-o", "a.o", env={"PATH": f"{w.path(f'bin{number}')}:/usr/bin:/bin"})


@scenario(*BOTH)
def test_compiler_appears_earlier_on_PATH(w: World, cc: str) -> None:
    """PATH stays equal, but its first directory gets a compiler."""
    w.write("a.c", "#ifndef V\n#define V 1\n#endif\nint x = V;\n")
    w.mkdir("bin")
    env = {"PATH": f"{w.path('bin')}:/usr/bin:/bin"}
    w.run(cc, "-c", "a.c", "-o", "a.o", env=env)
    w.run(cc, "-c", "a.c", "-o", "a.o", env=env, expect=HIT)
    w.script(f"bin/{cc}", f'exec /usr/bin/{cc} -DV=2 "$@"')
    w.run(cc, "-c", "a.c", "-o", "a.o", env=env, expect=RECOMPILE)


@scenario(*BOTH)
def test_compiler_symlink_retargeted(w: World, cc: str) -> None:
    """A compiler that is a symlink follows its target, in the middle of the path too."""
    w.write("a.c", "int x = V;\n")
    for number in (1, 2):
        w.script(f"tool{number}/bin/{cc}", f'exec /usr/bin/{cc} -DV={number} "$@"')
    command = (str(w.path(f"current/bin/{cc}")), "-c", "a.c", "-o", "a.o")
    for number in (1, 2, 1):
        w.symlink("current", f"tool{number}")
        w.run(*command)


@scenario(*BOTH)
def test_march_native(w: World, cc: str) -> None:
    """-march=native compiles; what it stands for is tested where the key is made."""
    w.write("a.c", LOOP)
    w.run(cc, "-O2", "-march=native", "-c", "a.c", "-o", "a.o")
    w.run(cc, "-O2", "-march=native", "-c", "a.c", "-o", "a.o")
    w.run(cc, "-O2", "-c", "a.c", "-o", "a.o", expect=RECOMPILE)


@scenario("gcc")
def test_GCC_EXEC_PREFIX(w: World) -> None:
    """GCC_EXEC_PREFIX moves where gcc looks for its parts."""
    w.write("a.c", "int x;\n")
    w.run("gcc", "-c", "a.c", "-o", "a.o")
    w.run("gcc", "-c", "a.c", "-o", "a.o", env={"GCC_EXEC_PREFIX": f"{w.path('nowhere')}/"})
    w.run("gcc", "-c", "a.c", "-o", "a.o", env={"GCC_EXEC_PREFIX": "/usr/lib/gcc/"})
