/* sccache-enter SPECIFICATION STATUS: run a program with exactly this directory, name, arguments, environment and limits.
 *
 * A worker's sandbox ends in this: what builds the sandbox (bubblewrap, a shell) adds variables of its own, PWD before all, cannot choose
 * argv[0], and tells signals as exit codes; compilers record the first and act by the second.  The specification is a file, so that
 * nothing of it stands in a list of processes; it may be longer than a command line.
 *
 *   <specification> ::= umask address-space file-size processes directory program count (argument){count} (name "=" value)*    each ends in NUL
 *   <status>        ::= status " " cpu-ns newline          ; exit code, or minus the signal
 *
 * Limits are numbers, 0 for none: bytes, bytes, processes of this user namespace.  Sources: setrlimit(2), wait(2), user_namespaces(7). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT = 127, MAX_BYTES = 64 << 20, FIXED = 7 };

static int fail(const char *what, const char *name)
{
    fprintf(stderr, "sccache-enter: %s %s: %s\n", what, name, strerror(errno));
    return CANNOT;
}

static char *read_all(const char *path, size_t *size)
{
    struct stat facts;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &facts) != 0 || facts.st_size <= 0 || facts.st_size > MAX_BYTES)
        return NULL;
    char *data = malloc((size_t)facts.st_size);
    size_t length = 0;
    while (data != NULL && length < (size_t)facts.st_size) {
        ssize_t count = read(file, data + length, (size_t)facts.st_size - length);
        if (count <= 0)
            return NULL;
        length += (size_t)count;
    }
    close(file);
    *size = length;
    return data != NULL && data[length - 1] == '\0' ? data : NULL;
}

static void limit(int what, const char *text)
{
    struct rlimit value;
    value.rlim_cur = value.rlim_max = strtoull(text, NULL, 10);
    if (value.rlim_max > 0 || what == RLIMIT_CORE)
        setrlimit((__rlimit_resource_t)what, &value);
}

static int become(char **word, size_t count)
{
    char **arguments = calloc(count + 1, sizeof *arguments);
    if (arguments == NULL)
        return fail("no memory for", word[5]);
    memcpy(arguments, word + FIXED, count * sizeof *arguments);
    if (chdir(word[4]) != 0)
        return fail("cannot enter", word[4]);
    umask((mode_t)strtoul(word[0], NULL, 8));
    limit(RLIMIT_CORE, "0");
    limit(RLIMIT_AS, word[1]);
    limit(RLIMIT_FSIZE, word[2]);
    limit(RLIMIT_NPROC, word[3]);
    execve(word[5], arguments, word + FIXED + count);
    return fail("cannot run", word[5]);
}

static int tell(const char *path, int status, const struct rusage *used)
{
    int code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    long long cpu_us = (used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000000LL + used->ru_utime.tv_usec + used->ru_stime.tv_usec;
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return CANNOT;
    fprintf(file, "%d %lld\n", code, cpu_us * 1000);
    return fclose(file) == 0 ? 0 : CANNOT;
}

int main(int argc, char **argv)
{
    size_t size = 0, words = 0, index = 0;
    char *data = argc == 3 ? read_all(argv[1], &size) : NULL;
    for (size_t at = 0; data != NULL && at < size; at++)
        words += data[at] == '\0';
    char **word = calloc(words + 1, sizeof *word);
    if (word == NULL || words <= FIXED) {
        fprintf(stderr, "sccache-enter: there is no specification\n");
        return CANNOT;
    }
    for (char *at = data; index < words; at += strlen(at) + 1)
        word[index++] = at;
    size_t count = strtoul(word[6], NULL, 10);
    if (count == 0 || count > words - FIXED)
        return CANNOT;
    pid_t child = fork();
    if (child == 0)
        _exit(become(word, count));
    int status = 0;
    struct rusage used = {0};
    while (child > 0 && wait4(child, &status, 0, &used) < 0 && errno == EINTR)
        ;
    return child < 0 ? fail("cannot start", word[5]) : tell(argv[2], status, &used);
}
