"""The preloaded part: variables, clocks and links, and who asked; the program's own files are safe from it."""

import os
import sys

from sccache.stages.observation import read_report

PYTHON = os.path.realpath(sys.executable)
_READS = """
#include <stdlib.h>
#include <time.h>
#include <sys/time.h>
int work(void) { struct timeval now; return !getenv("LATE_NAME") + (int)time(0) + gettimeofday(&now, 0) < 0; }
"""
_LOADS = """
#include <dlfcn.h>
#include <stdlib.h>
int main(int count, char **argv)
{
    int (*work)(void) = 0;
    void *library = count > 1 ? dlopen(argv[1], RTLD_NOW) : 0;
    getenv("EARLY_NAME");
    if (library)
        work = (int (*)(void))dlsym(library, "work");
    return work ? work() : 0;
}
"""


def test_tool_and_code_loaded_later(watch, compiled):
    """A variable belongs to whose code asked for it."""
    library = compiled(_READS, "-shared", "-fPIC", name="late.so")
    seen = watch.seen(compiled(_LOADS, "-ldl"), library)
    assert "EARLY_NAME" in seen.tool_variables
    assert seen.macro_variables == ("LATE_NAME",)
    assert seen.clocks == (library,)
    assert seen.whole_environment == ()
    assert seen.unfinished == ()


def test_library_named_like_rusts_own_is_anybodys(watch, compiled):
    """Older rustc share it with macros: as soon as something was loaded later, its calls may be a macro's."""
    code = "#include <stdlib.h>\nvoid ask(const char *name) { getenv(name); }"
    shared = compiled(code, "-shared", "-fPIC", name="libstd-0123.so")
    late = compiled("int work(void) { return 0; }", "-shared", "-fPIC", name="late.so")
    program = compiled(
        "#include <dlfcn.h>\nvoid ask(const char *);\n"
        'int main(int n, char **v) { (void)n; ask("BEFORE"); dlopen(v[1], RTLD_NOW); ask("AFTER"); return 0; }',
        *("-ldl", shared, f"-Wl,-rpath,{os.path.dirname(shared)}"),
    )
    seen = watch.seen(program, late)
    assert "BEFORE" in seen.tool_variables
    assert seen.macro_variables == ("AFTER",)


def test_whole_environment(watch, compiled):
    """Code loaded later that refers to `environ` may have read any variable."""
    library = compiled("extern char **environ; int work(void) { return !environ[0]; }", "-shared", "-fPIC", name="late.so")
    assert watch.seen(compiled(_LOADS, "-ldl"), library).whole_environment == (library,)


def test_constructor_of_a_library(watch, compiled):
    """What a library reads before the preloaded part began is noted."""
    code = (
        '#include <stdlib.h>\n__attribute__((constructor)) static void early(void) { getenv("CONSTRUCTOR"); }\nint work(void) { return 0; }'
    )
    library = compiled(code, "-shared", "-fPIC", name="libearly.so")
    program = compiled("int work(void); int main(void) { return work(); }", library, f"-Wl,-rpath,{os.path.dirname(library)}")
    assert "CONSTRUCTOR" in watch.seen(program).tool_variables


def test_clock_of_the_program_itself(watch, compiled):
    """It is told apart from a macro's."""
    program = compiled("#include <time.h>\nint main(void) { return time(0) < 0; }")
    seen = watch.seen(program)
    assert seen.clocks == ()
    assert seen.tool_clocks == (program,)


def test_monotonic_clock_is_no_clock(watch, compiled):
    """It measures, and tells no date."""
    code = "#include <time.h>\nint main(void) { struct timespec t; return clock_gettime(CLOCK_MONOTONIC, &t); }"
    program = compiled(code, "-D_GNU_SOURCE")
    assert watch.seen(program).tool_clocks == ()


def test_answers_are_the_right_ones(watch, compiled):
    """Set, empty, missing, changed by the program, a prefix of another name."""
    program = compiled(
        "#include <stdio.h>\n#include <stdlib.h>\n"
        'static void say(const char *n) { const char *v = getenv(n); printf("%s=%s\\n", n, v ? v : "-"); }\n'
        'int main(void) { setenv("NEW", "1", 1); unsetenv("GONE"); say("SET"); say("SE"); say("SETS"); say("EMPTY"); say("NEW");'
        ' say("GONE"); return 0; }'
    )
    done = watch.run(program, env={"SET": "a=b", "EMPTY": "", "GONE": "x"})
    assert done.stdout == b"SET=a=b\nSE=-\nSETS=-\nEMPTY=\nNEW=1\nGONE=-\n"


def test_preload_of_the_user_stays(watch, compiled):
    """Ours comes first and theirs is loaded, too."""
    code = '#include <unistd.h>\n__attribute__((constructor)) static void hello(void) { (void)!write(1, "theirs\\n", 7); }'
    library = compiled(code, "-shared", "-fPIC", name="theirs.so")
    done = watch.run("/bin/true", env={"LD_PRELOAD": library})
    assert done.stdout == b"theirs\n"


def test_program_without_an_end(watch, compiled):
    """One that leaves by _exit has not said what it loaded."""
    program = compiled("#include <unistd.h>\nint main(void) { _exit(0); }")
    assert watch.seen(program).unfinished == (program,)


def test_program_that_becomes_another(watch):
    """After exec only the second one's end counts."""
    seen = watch.seen(PYTHON, "-I", "-S", "-c", "import os; os.execv('/bin/true', ['true'])")
    assert any(path.endswith("/true") for path in seen.images)
    assert seen.unfinished == ()


def test_programs_own_file_is_not_written_to(watch, compiled):
    """A program that closes all descriptors gets their numbers again: nothing of ours may go into its files."""
    program = compiled(
        "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
        "int main(void) { for (int fd = 3; fd < 1024; fd++) close(fd);\n"
        '  int own = open("own", O_WRONLY | O_CREAT | O_TRUNC, 0600);\n'
        "  for (int fd = own + 1; fd < 1000; fd++) dup2(own, fd);\n"
        '  getenv("AFTERWARDS"); return write(own, "x", 1) != 1; }'
    )
    seen = watch.seen(program)
    assert (watch.place / "own").read_bytes() == b"x"
    assert "AFTERWARDS" in seen.tool_variables
    assert seen.unfinished == ()


def test_no_descriptors_left(watch, compiled):
    """Where the preloaded part cannot open the report, the program works and its end is not seen."""
    program = compiled(
        "#include <stdlib.h>\n#include <sys/resource.h>\n#include <unistd.h>\n"
        "int main(void) { struct rlimit none = {3, 3}; for (int fd = 3; fd < 1024; fd++) close(fd); setrlimit(RLIMIT_NOFILE, &none);\n"
        '  getenv("NAME"); return 0; }'
    )
    assert watch.run(program).returncode == 0
    seen = read_report(str(watch.report))
    assert seen.trouble == ""
    assert seen.unfinished == (program,)


def test_many_threads_ask(watch, compiled):
    """Each name once, none lost."""
    program = compiled(
        "#include <pthread.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
        "static void *ask(void *o) { char n[32];\n"
        '  for (int i = 0; i < 500; i++) { snprintf(n, sizeof n, "NAME_%d", i); getenv(n); } return o; }\n'
        "int main(void) { pthread_t t[8]; for (int i = 0; i < 8; i++) pthread_create(&t[i], 0, ask, 0);\n"
        "  for (int i = 0; i < 8; i++) pthread_join(t[i], 0); return 0; }",
        "-pthread",
    )
    seen = watch.seen(program)
    assert {f"NAME_{number}" for number in range(500)} <= set(seen.tool_variables)


def test_links_are_spelled_as_the_observer_spells(watch, compiled):
    """Else a result that was looked for as "./name" would not be known for one."""
    program = compiled(
        "#include <stdlib.h>\n#include <unistd.h>\n"
        'int main(void) { char t[9]; (void)!readlink("./a//./b", t, 9); return realpath("./c", 0) != 0; }'
    )
    assert {f"{watch.place}/a/b", f"{watch.place}/c"} <= set(watch.seen(program).absent)


def test_errno_is_left_alone(watch, compiled):
    """Programs look at it after calls that we stand before."""
    program = compiled(
        "#include <errno.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
        'int main(void) { char t[9]; errno = 77; getenv("NAME"); if (errno != 77) return 1;\n'
        '  if (readlink("nothing", t, 9) != -1 || errno != ENOENT) return 2;\n'
        '  if (realpath("nothing/at/all", 0) || errno != ENOENT) return 3; return 0; }'
    )
    seen = watch.seen(program)
    assert f"{watch.place}/nothing" in seen.absent
