"""clang-cl, for real: it compiles for Windows anywhere, as long as no header of Windows is wanted."""

import shutil

from arena import ANY, HIT, MISS, RECOMPILE, UNCACHED, World, needs, scenario

CL = "clang-cl-14"
FIXED = "/Brepro"  # without it an object holds the time
SOURCE = '#include "h.h"\nint f(int x) { return x + H; }\n'


def sources(w: World) -> None:
    needs(CL)
    w.write("a.c", SOURCE)
    w.write("inc/h.h", "#define H 1\n")


def compile_(w: World, *words: str, expect: str = ANY, **how: object) -> object:
    """Compile a.c with its header directory."""
    return w.run(CL, FIXED, "/nologo", "/Iinc", *words, expect=expect, **how)  # type: ignore[arg-type]


@scenario("sh")
def test_cold_warm_edited(w: World) -> None:
    """Spelled in both ways; an edit of source and header; taken back."""
    sources(w)
    compile_(w, "/c", "a.c", "/Foa.obj", expect=MISS)
    compile_(w, "/c", "a.c", "/Foa.obj", expect=HIT)
    w.remove("a.obj")
    compile_(w, "/c", "a.c", "/Foa.obj", expect=HIT)
    w.write("inc/h.h", "#define H 2\n")
    compile_(w, "/c", "a.c", "/Foa.obj", expect=RECOMPILE)
    w.write("inc/h.h", "#define H 1\n")
    compile_(w, "/c", "a.c", "/Foa.obj", expect=HIT)
    w.write("a.c", SOURCE + "int more;\n")
    compile_(w, "/c", "a.c", "/Foa.obj", expect=RECOMPILE)
    compile_(w, "-c", "a.c", "-Fob.obj", expect=MISS)
    compile_(w, "-c", "a.c", "-Fob.obj", expect=HIT)


@scenario("sh")
def test_options_that_change_the_object(w: World) -> None:
    """One of each class."""
    sources(w)
    compile_(w, "/c", "a.c", expect=MISS)
    for option in ("/O2", "/Z7", "/DH2=3", "/MD", "/GS-", "/TP", "-m32", "-Xclang", "/clang:-fno-inline", "/arch:AVX2", "/FA"):
        more = (option, "-fno-builtin") if option == "-Xclang" else (option,)
        compile_(w, *more, "/c", "a.c", expect=MISS)
        compile_(w, *more, "/c", "a.c", expect=HIT)
    compile_(w, "/c", "a.c", expect=HIT)


@scenario("sh")
def test_a_header_that_is_found_first(w: World) -> None:
    """It appears in a directory that is searched earlier, one that did not exist."""
    sources(w)
    compile_(w, "/Ifirst", "/c", "a.c", expect=MISS)
    w.write("h.h", "#define H 7\n")  # beside the source
    compile_(w, "/Ifirst", "/c", "a.c", expect=RECOMPILE)
    w.remove("h.h")
    compile_(w, "/Ifirst", "/c", "a.c", expect=HIT)


@scenario("sh")
def test_variables(w: World) -> None:
    """INCLUDE, CL and _CL_."""
    sources(w)
    w.write("other/h.h", "#define H 9\n")
    w.write("b.c", "#include <h.h>\nint g = H;\n")
    w.env["INCLUDE"] = str(w.path("inc"))
    w.run(CL, FIXED, "/c", "b.c", expect=MISS)
    w.run(CL, FIXED, "/c", "b.c", expect=HIT)
    w.env["INCLUDE"] = str(w.path("other"))
    w.run(CL, FIXED, "/c", "b.c", expect=RECOMPILE)
    w.env["CL"] = "/DX=1"
    w.run(CL, FIXED, "/c", "b.c", expect=MISS)
    w.env["_CL_"] = "/O2"
    w.run(CL, FIXED, "/c", "b.c", expect=MISS)
    w.run(CL, FIXED, "/c", "b.c", expect=HIT)


@scenario("sh")
def test_show_includes(w: World) -> None:
    """The notes are told by a hit, too."""
    sources(w)
    compile_(w, "/showIncludes", "/c", "a.c", expect=MISS)
    compile_(w, "/showIncludes", "/c", "a.c", expect=HIT)
    compile_(w, "/c", "a.c", expect=MISS)
    compile_(w, "/c", "a.c", expect=HIT)


@scenario("sh")
def test_show_includes_in_another_checkout(w: World) -> None:
    """They name the files that are here; ninja would watch the others'."""
    needs(CL)
    w.env["SCCACHE_BASEDIRS"] = f"{w.path('one')}:{w.path('two')}"
    for place, expect in (("one", MISS), ("two", HIT), ("one", HIT)):
        w.write(f"{place}/a.c", SOURCE)
        w.write(f"{place}/inc/h.h", "#define H 1\n")
        root = w.path(place)
        w.run(CL, FIXED, f"/I{root}/inc", "/showIncludes", "/c", f"{root}/a.c", f"/Fo{root}/a.obj", cwd=place, expect=expect)


@scenario("sh")
def test_debug_information_names_its_checkout(w: World) -> None:
    """/Z7 and /Zi write the directory into the object: another checkout compiles anew."""
    needs(CL)
    w.env["SCCACHE_BASEDIRS"] = f"{w.path('one')}:{w.path('two')}"
    for option in ("/Z7", "/Zi"):
        for place in ("one", "two"):
            w.write(f"{place}/a.c", "int x;\n")
            w.run(CL, FIXED, option, "/c", f"{w.path(place)}/a.c", "/Foa.obj", cwd=place, expect=MISS)
            w.run(CL, FIXED, option, "/c", f"{w.path(place)}/a.c", "/Foa.obj", cwd=place, expect=HIT)


CONCEALED = {
    "unnamed namespace": "namespace { int g() { return 1; } }\nint f() { return g(); }\n",
    "name too long": "template <class... T> struct A {};\nnamespace { struct X {}; }\n"
    "template <class T> using B = A<A<T, int>, A<T, char>, A<A<T>, T>>;\ntemplate <class T> using C = B<B<T>>;\n"
    "void g(C<C<X>> *) {}\nvoid use() { g(nullptr); }\n",
    "wide": "#define W(x) L##x\n#define V(x) W(x)\nconst wchar_t *f() { return V(__FILE__); }\n",
}


@scenario("sh")
def test_names_that_cannot_be_found_in_an_object(w: World) -> None:
    """Digests of the source's name, long names that hold one, wide characters: another checkout's object is another one."""
    needs(CL)
    w.env["SCCACHE_BASEDIRS"] = f"{w.path('one')}:{w.path('two')}"
    for text in (*CONCEALED.values(), "int plain() { return 1; }\n"):
        for place in ("one", "two", "one"):
            w.write(f"{place}/a.cpp", text)
            w.run(CL, FIXED, "/c", f"{w.path(place)}/a.cpp", "/Foa.obj", cwd=place, expect=ANY)
            w.run(CL, FIXED, "/c", f"{w.path(place)}/a.cpp", "/Foa.obj", cwd=place, expect=HIT)
    w.run(CL, FIXED, "/c", f"{w.path('two')}/a.cpp", "/Foa.obj", cwd="two", expect=HIT)


@scenario("sh")
def test_packed_names(w: World) -> None:
    """Bitcode and compressed debug information: another checkout's is another one."""
    needs(CL)
    w.env["SCCACHE_BASEDIRS"] = f"{w.path('one')}:{w.path('two')}"
    for options in (("-flto",), ("/clang:-flto",), ("/clang:-g", "/clang:-gz"), ("-fprofile-instr-generate", "-fcoverage-mapping")):
        for place in ("one", "two"):
            w.write(f"{place}/a.c", "static int g(void) { return 1; }\nint f(void) { return g(); }\n")
            w.run(CL, FIXED, *options, "/c", f"{w.path(place)}/a.c", "/Foa.obj", cwd=place, expect=MISS)
            w.run(CL, FIXED, *options, "/c", f"{w.path(place)}/a.c", "/Foa.obj", cwd=place, expect=HIT)


@scenario("sh")
def test_a_found_header_of_another_checkout_is_not_ours(w: World) -> None:
    """Relative names mean this checkout's headers; those that differ compile anew."""
    needs(CL)
    w.env["SCCACHE_BASEDIRS"] = f"{w.path('one')}:{w.path('two')}"
    for place, value in (("one", "1"), ("two", "2"), ("one", "1"), ("two", "2")):
        w.write(f"{place}/a.c", SOURCE)
        w.write(f"{place}/inc/h.h", f"#define H {value}\n")
        w.run(CL, FIXED, "/Iinc", "/c", "a.c", "/Foa.obj", cwd=place)


@scenario("sh")
def test_without_brepro(w: World) -> None:
    """The object holds the time of the compile, which is that of the kept one: only those four bytes may differ."""
    sources(w)
    w.run(CL, "/Iinc", "/c", "a.c", expect=MISS, compare=False)
    first = w.path("a.obj").read_bytes()
    w.run(CL, "/Iinc", "/c", "a.c", expect=HIT, compare=False)
    again = w.path("a.obj").read_bytes()
    if first[:4] + first[8:] != again[:4] + again[8:] or (w.cached and first != again):
        w.complaints.append("another object")
    w.remove("a.obj")


@scenario("sh")
def test_the_clock_in_a_source(w: World) -> None:
    """__TIME__ and __DATE__ are not kept; in a header, too."""
    sources(w)
    w.write("inc/h.h", "#define H __LINE__\nstatic const char *when = __DATE__ __TIME__;\n")
    w.write("a.c", '#include "h.h"\nint f(void) { return H + when[0]; }\n')
    for _ in range(2):
        w.run(CL, FIXED, "/Iinc", "/c", "a.c", expect=UNCACHED, compare=False)
    w.remove("a.obj")
    w.write("inc/h.h", "#define H 1\nstatic const char *when = __FILE__;\n")
    compile_(w, "/c", "a.c", expect=MISS)
    compile_(w, "/c", "a.c", expect=HIT)


@scenario("sh")
def test_forced_headers_and_listings(w: World) -> None:
    """/FI, /FA, /Fa; a precompiled header of an unusual name."""
    sources(w)
    w.mkdir("out")
    compile_(w, "/FIinc/h.h", "/FA", "/Faout/", "/c", "a.c", expect=MISS)
    w.remove("a.obj", "out/a.asm")
    compile_(w, "/FIinc/h.h", "/FA", "/Faout/", "/c", "a.c", expect=HIT)
    w.write("inc/h.h", "#define H 3\n")
    compile_(w, "/FIinc/h.h", "/FA", "/Faout/", "/c", "a.c", expect=RECOMPILE)
    compile_(w, "/Ych.h", "/FIh.h", "/Fpout/h.bin", "/c", "a.c", expect=UNCACHED)
    compile_(w, "/Ych.h", "/FIh.h", "/Fpout/h.pch", "/c", "a.c", expect=MISS)


@scenario("sh")
def test_options_that_are_ignored(w: World) -> None:
    """With a word or without: what is said belongs to its own command line."""
    sources(w)
    compile_(w, "/c", "a.c", expect=MISS)
    for option in ("/MP4", "/FS", "/ZI", "/Gm-", "/sdl", "/new-in-2030", "/errorReport:queue", "-new-in-2030"):
        compile_(w, option, "/c", "a.c")
        compile_(w, option, "/c", "a.c")
        compile_(w, "/c", "a.c", expect=HIT)


@scenario("sh")
def test_response_files(w: World) -> None:
    """In the encodings that editors and build systems write; the words count, not the file's name."""
    sources(w)
    text = '/O2 "/DNAME=\\"a b\\"" /Iinc'
    for name, data in (
        ("utf8.rsp", text.encode()),
        ("bom.rsp", text.encode("utf-8-sig")),
        ("utf16.rsp", text.encode("utf-16")),
    ):
        w.write(name, data)
        w.run(CL, FIXED, f"@{name}", "/c", "a.c")
        w.run(CL, FIXED, f"@{name}", "/c", "a.c", expect=HIT)
    w.write("utf8.rsp", "/Od /Iinc\n")
    w.run(CL, FIXED, "@utf8.rsp", "/c", "a.c", expect=MISS)


@scenario("sh")
def test_messages(w: World) -> None:
    """Warnings are told again; errors are the compiler's."""
    sources(w)
    w.write("w.c", "int f(int x) { if (x = 1) return 2; return 3; }\n")
    w.run(CL, FIXED, "/W4", "/c", "w.c", expect=MISS)
    w.run(CL, FIXED, "/W4", "/c", "w.c", expect=HIT)
    w.write("e.c", "int f( {\n")
    w.run(CL, "/c", "e.c")
    w.run(CL, "/c", "e.c")
    w.run(CL, "/c", "missing.c")
    w.run(CL, "/c", "a.c", "/Fonul", expect=UNCACHED)


@scenario("sh")
def test_precompiled_headers(w: World) -> None:
    """/Yc and /Yu; a header that is touched makes clang refuse the old one, with and without us."""
    needs(CL)
    w.write("pre.h", "static inline int pre(void) { return 1; }\n")
    w.write("pre.cpp", '#include "pre.h"\n')
    w.write("use.cpp", '#include "pre.h"\nint use() { return pre(); }\n')
    make = (CL, FIXED, "/Ycpre.h", "/Fppre.pch", "/c", "pre.cpp")
    use = (CL, FIXED, "/Yupre.h", "/Fppre.pch", "/c", "use.cpp")
    w.run(*make)
    w.run(*use)
    w.run(*make)
    w.run(*use)
    w.write("pre.h", "static inline int pre(void) { return 2; }\n")
    w.run(*make, expect=RECOMPILE)
    w.run(*use, expect=RECOMPILE)
    w.write("pre.h", "static inline int pre(void) { return 2; }\n")  # a new time
    w.run(*use)


@scenario("sh")
def test_dependency_file(w: World) -> None:
    """/clang:-MD."""
    sources(w)
    words = ("/clang:-MD", "/clang:-MFa.d", "/c", "a.c")
    compile_(w, *words, expect=MISS)
    w.remove("a.d", "a.obj")
    compile_(w, *words, expect=HIT)


@scenario("sh")
def test_several_sources(w: World) -> None:
    """/MP: each from the cache; one edited, only that is compiled."""
    sources(w)
    w.write("b.c", '#include "h.h"\nint g(void) { return H; }\n')
    w.write("c.c", "int h(void) { return 3; }\n")
    w.mkdir("out")
    words = (CL, FIXED, "/MP", "/Iinc", "/c", "a.c", "b.c", "c.c", "/Foout/")
    w.run(*words, expect=MISS)
    w.run(*words, expect=HIT)
    w.write("b.c", "int g(void) { return 5; }\n")
    w.run(*words)
    w.run(*words, expect=HIT)
    w.run(CL, FIXED, "/Iinc", "/c", "a.c", "c.c", expect=MISS)
    w.run(CL, FIXED, "/Iinc", "/c", "a.c", "c.c", expect=HIT)
    w.write("c.c", "int h( {\n")
    w.run(CL, FIXED, "/Iinc", "/c", "a.c", "c.c", "b.c")


@scenario("sh")
def test_what_is_no_compile(w: World) -> None:
    """Linking, preprocessing, telling."""
    sources(w)
    compile_(w, "/E", "a.c", expect=UNCACHED)
    compile_(w, "/P", "a.c", "/Fia.i")
    compile_(w, "/Zs", "a.c")


@scenario("sh", programs=["cmake", "ninja", "lld-link-14"])
def test_cmake_and_ninja(w: World) -> None:
    """CMake's recipe: debug information in the objects; ninja learns headers from the notes (deps = msvc), from a hit's, too."""
    sources(w)
    project = "project(demo C)\nadd_library(k STATIC a.c)\ntarget_include_directories(k PRIVATE inc)\n"
    w.write("CMakeLists.txt", f"cmake_minimum_required(VERSION 3.25)\n{project}")
    front = [f"-DCMAKE_C_COMPILER_LAUNCHER={w.front.strip()}"] if w.cached else []
    tools = {"C_COMPILER": CL, "LINKER": "lld-link-14", "AR": "/usr/bin/llvm-lib-14", "RC_COMPILER": "llvm-rc-14", "MT": "llvm-mt-14"}
    settings = {"SYSTEM_NAME": "Windows", "TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY", "MSVC_DEBUG_INFORMATION_FORMAT": "Embedded"}
    options = [f"-DCMAKE_{name}={value}" for name, value in {**tools, **settings, "BUILD_TYPE": "Debug", "C_FLAGS": FIXED}.items()]
    w.tool("cmake", "-G", "Ninja", "-B", "b", *options, *front, compare=False)
    w.tool("ninja", "-C", "b", compare=False, expect=MISS)
    w.tool("ninja", "-C", "b", "-t", "clean", compare=False)
    w.tool("ninja", "-C", "b", compare=False, expect=HIT)
    dependencies = w.tool("ninja", "-C", "b", "-t", "deps", compare=False)
    if b"inc/h.h" not in dependencies.stdout:
        w.complaints.append(f"ninja knows no header: {dependencies.stdout!r}")
    w.write("inc/h.h", "#define H 2\n")
    w.tool("ninja", "-C", "b", compare=False, expect=RECOMPILE)
    w.path("a.obj").write_bytes(w.path("b/CMakeFiles/k.dir/a.c.obj").read_bytes())
    shutil.rmtree(w.path("b"))
    w.tool("true")  # what is there now is compared


@scenario("sh", programs=["ninja"])
def test_ninja_learns_headers_in_another_checkout(w: World) -> None:
    """`deps = msvc`: a hit's notes lead ninja to this checkout's headers."""
    needs(CL)
    w.env["SCCACHE_BASEDIRS"] = f"{w.path('one')}:{w.path('two')}"
    for place, expect in (("one", MISS), ("two", HIT)):
        root = w.path(place)
        w.write(f"{place}/a.c", SOURCE)
        w.write(f"{place}/inc/h.h", "#define H 1\n")
        command = f"{w.front}{CL} {FIXED} /showIncludes /I{root}/inc /c $in /Fo$out"
        rule = f"rule cc\n  command = {command}\n  description = cc\n  deps = msvc\n  msvc_deps_prefix = Note: including file:\n"
        w.write(f"{place}/build.ninja", f"{rule}build a.obj: cc a.c\n")
        w.tool("ninja", cwd=place, expect=expect, compare=False)
        listed = w.tool("ninja", "-t", "deps", cwd=place, compare=False).stdout.decode()
        if str(w.path("two" if place == "one" else "one")) in listed or "inc/h.h" not in listed:
            w.complaints.append(f"{place}: ninja knows {listed}")
        w.write(f"{place}/inc/h.h", "#define H 2\n")
        w.path(f"{place}/inc/h.h").touch()
        if b"no work to do" in w.tool("ninja", cwd=place, compare=False).stdout:
            w.complaints.append(f"{place}: ninja did not see the header's edit")


@scenario("sh", programs=["cmake", "ninja", "lld-link-14"])
def test_cmake_with_a_precompiled_header(w: World) -> None:
    """Made and used; ninja makes both anew after an edit of the header."""
    needs(CL)
    w.write("a.cpp", "int f() { return pre(); }\n")
    w.write("pre.h", "static inline int pre() { return 1; }\n")
    project = "project(demo CXX)\nadd_library(k STATIC a.cpp)\ntarget_precompile_headers(k PRIVATE pre.h)\n"
    w.write("CMakeLists.txt", f"cmake_minimum_required(VERSION 3.25)\n{project}")
    front = [f"-DCMAKE_CXX_COMPILER_LAUNCHER={w.front.strip()}"] if w.cached else []
    tools = {"CXX_COMPILER": CL, "LINKER": "lld-link-14", "AR": "/usr/bin/llvm-lib-14", "RC_COMPILER": "llvm-rc-14", "MT": "llvm-mt-14"}
    settings = {"SYSTEM_NAME": "Windows", "TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY", "BUILD_TYPE": "Release", "CXX_FLAGS": FIXED}
    options = [f"-DCMAKE_{name}={value}" for name, value in {**tools, **settings}.items()]
    w.tool("cmake", "-G", "Ninja", "-B", "b", *options, *front, compare=False)
    for edits in (False, True, False):  # a header that was restored is newer than what used it: that is compiled
        built = w.tool("ninja", "-C", "b", compare=False)
        if built.exit_code:
            w.complaints.append(f"ninja: {built.stdout!r}")
        w.tool("ninja", "-C", "b", "-t", "clean", compare=False)
        if edits:
            w.write("pre.h", "static inline int pre() { return 2; }\n")
            w.path("pre.h").touch()
    shutil.rmtree(w.path("b"))
    w.path("pre.h").unlink()
    w.tool("true")


@scenario("sh")
def test_an_output_that_is_a_link(w: World) -> None:
    """Whether it is replaced or written through is the compiler's affair."""
    sources(w)
    compile_(w, "/c", "a.c", "/Foa.obj", expect=MISS)
    w.remove("a.obj")
    w.write("real.obj", "old")
    w.symlink("a.obj", "real.obj")
    compile_(w, "/c", "a.c", "/Foa.obj")
