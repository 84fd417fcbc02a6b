"""Which variables a script can read, by its text."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sccache.compilers.scripts import MAX_SCRIPT_BYTES, reads_clock, variables


def of(text):
    return variables("/usr/bin/script", text.encode("latin-1"))


def test_wrapper_that_passes_all_on():
    """Nothing but what every shell heeds, and the words of the line itself."""
    found = of('#!/bin/sh\nexec /usr/local/cuda-13.0/bin/nvcc "$@"\n')
    assert {"PATH", "BASH_ENV", "exec", "nvcc"} <= found
    assert "HIP_PATH" not in found


@pytest.mark.parametrize(
    "line",
    [
        'exec gcc $EXTRA "$@"',
        'exec gcc ${EXTRA:-x} "$@"',
        'test "${#EXTRA}" = 0',
        "x=$((EXTRA + 1))",
        "((EXTRA > 1)) && y=2",
        "let x=EXTRA+1",
        "[[ -v EXTRA ]] && y=2",
        "x=${y:EXTRA}",
        "cat <<END\n# $EXTRA\nEND",
        "x='\n# not a comment' ; y=${EXTRA}",
        "gcc $EX\\\nTRA",
        "for x in a; do echo $x; done; : ${EXTRA=3}",
        "x=`echo $EXTRA`",
        'printf \'%s\' "$(echo "$EXTRA")"',
        "read -r x <<< $EXTRA",
    ],
)
def test_names_that_a_shell_expands(line):
    """However it is written."""
    for shell in ("/bin/sh", "/usr/bin/env bash", "/bin/bash -eu", "/bin/dash"):
        assert "EXTRA" in of(f"#!{shell}\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        'eval "x=\\$${prefix}_FLAGS"',
        "x=${!name}",
        "printenv $name",
        "env | grep ^CC",
        "export -p > list",
        "export",
        "set",
        "set | grep CC",
        "x=$(set)",
        "declare -p",
        "declare -n x=$name",
        ". ./settings",
        "source settings",
        "if true; then . $HOME/.settings; fi",
        "[ -f x ] && . ./x",
        "sh ./other",
        "exec /bin/bash other",
        "$SHELL -c x",
        "cat /proc/self/environ",
        "compgen -v",
        "[[ -v $name ]] && x=1",
        "echo ${value@P}",
        "cat <<END\n# $(env)\nEND",
    ],
)
def test_what_cannot_be_told_of_a_shell_script(line):
    """Names that are made at run time, lists of all variables, other files of commands."""
    assert of(f"#!/bin/bash\n{line}\n") is None


@pytest.mark.parametrize("line", ["set -e", "set -- a b", "export CC=gcc", "local x=1", "x=./y", "cp a.sh b.sh", "gcc -fshort-enums"])
def test_harmless_lines(line):
    """They look like those that cannot be told."""
    assert of(f"#!/bin/bash\n{line}\n") is not None


def test_script_without_a_first_line():
    """A shell runs it."""
    assert "EXTRA" in of('exec gcc $EXTRA "$@"\n')
    assert of("eval x\n") is None


def test_functions_from_the_environment():
    """bash lets a variable replace any command of the script."""
    found = of("#!/bin/bash\n[ -x a ] && my-gcc x\n")
    assert {"BASH_FUNC_my-gcc%%", "BASH_FUNC_[%%"} <= found
    assert not {name for name in of("#!/bin/dash\nmy-gcc x\n") if "FUNC" in name}


def test_bash_does_so(tmp_path):
    """The real one."""
    if not shutil.which("bash"):
        pytest.skip("needs bash")
    script = tmp_path / "script"
    script.write_text("#!/bin/bash\nmy-gcc\n")
    env = {"BASH_FUNC_my-gcc%%": "() { echo replaced; }", "PATH": os.environ["PATH"]}
    assert subprocess.run(["bash", str(script)], env=env, capture_output=True, check=True).stdout == b"replaced\n"


def test_words_of_comments_are_no_names():
    """Else a manifest would hold a licence word for word."""
    assert "Permission" not in of("#!/bin/sh\n  # Permission is hereby granted\ntrue\n")


def test_perl_entries():
    """By any spelling of a constant name; what a command of a shell may expand, too."""
    found = of("#!/usr/bin/perl -w\nuse strict;\nmy $x = $ENV{ONE} . $ENV{'TWO'} . $ENV{\"THREE\"};\nsystem('echo $FOUR');\n")
    assert {"ONE", "TWO", "THREE", "FOUR"} <= found


@pytest.mark.parametrize(
    "line",
    [
        "my %e = %ENV;",
        "for (keys %ENV) {}",
        "print $ENV{$name};",
        "print $ENV{'A' . $x};",
        "print @ENV{'A', 'B'};",
        "require './x.pl';",
        "do './x.pl';",
        "use lib '.';",
        "use Env;",
        "use My::Module;",
        "eval $text;",
        "exec($^X, 'other.pl');",
        "use POSIX; POSIX::getenv();",
        "system('sh other');",
    ],
)
def test_what_cannot_be_told_of_perl(line):
    """All else that reaches %ENV, and other files."""
    assert of(f"#!/usr/bin/perl\n{line}\n") is None


def test_perl_documentation_is_no_code():
    """It may speak of %ENV."""
    assert of("#!/usr/bin/perl\nprint 1;\n=head1 ENVIRONMENT\n\nSet %ENV.\n\n=cut\nprint $ENV{A};\n__END__\n%ENV\n") is not None


@pytest.mark.parametrize(
    "text",
    [
        "#!/usr/bin/python3\nprint(1)\n",
        "#!/usr/bin/awk -f\n",
        "#!/bin/sh -c\ntrue\n",
        "#!/usr/bin/env -S bash -x\n",
        "#!\n",
        "#!/bin/sh\n\0\n",
        "#!/bin/sh\n" + "true\n" * MAX_SCRIPT_BYTES,
    ],
)
def test_what_is_not_understood(text):
    """Other languages, options that change what is read, no script at all."""
    assert of(text) is None


def real(path):
    if not os.path.exists(path):
        pytest.skip(f"needs {path}")
    content = Path(path).read_bytes()
    if not content.startswith(b"#!"):
        pytest.skip(f"{path} is no script here")
    return variables(path, content)


def test_hipcc_as_packaged():
    """It runs perl on another file."""
    assert real("/usr/bin/hipcc") is None


def test_c99_as_packaged():
    """A wrapper that comes with gcc: short, and not all its words are comments."""
    assert "extra_flag" in real("/usr/bin/c99-gcc")


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/bash\ngcc -DTIME=$EPOCHSECONDS x.c\n",
        "#!/bin/bash\nprintf '%(%s)T'\n",
        "#!/bin/sh\ngcc -o x.$$ x.c\n",
        "#!/usr/bin/perl\nprint time;\n",
        "#!/usr/bin/perl\nprint localtime();\n",
        "#!/usr/bin/perl\nprint $^T;\n",
    ],
)
def test_scripts_that_know_the_time(text):
    """Or another thing that is new each time: no program that they run tells."""
    assert reads_clock(text.encode())


def test_scripts_without_time():
    """What they run tells by itself."""
    assert not reads_clock(b'#!/bin/sh\nexec gcc -DTIME=$(date) "$@"\n')
    assert not reads_clock(b"#!/usr/bin/perl\nprint $x->{'a'};\n")
