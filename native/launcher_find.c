/* Programs: the compiler on PATH, the Python beside us.  Knows nothing of the daemon. */
#include "launcher.h"

#include <limits.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

/* Write the parts, ended by NULL, one after another; cut where the room ends. */
char *join(char *to, size_t room, const char *const *parts)
{
    char *at = to;
    for (; *parts; parts++)
        for (const char *c = *parts; *c && at < to + room - 1; c++)
            *at++ = *c;
    *at = 0;
    return to;
}

/* A number in decimal digits and nothing else; 0 if it is none or large. */
int number_in(const char *text)
{
    int value = 0;
    for (; text && *text >= '0' && *text <= '9' && value < 100000000; text++)
        value = value * 10 + (*text - '0');
    return text && !*text ? value : 0;
}

const char *own_path(void)
{
    static char path[PATH_MAX];
    if (path[0])
        return path;
#ifdef __APPLE__
    char named[PATH_MAX];
    uint32_t size = sizeof named;
    if (_NSGetExecutablePath(named, &size) != 0 || !realpath(named, path))
        path[0] = 0;
#else
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    path[size > 0 ? size : 0] = 0;
#endif
    return path;
}

static int is_ourselves(const struct stat *candidate)
{
    static struct stat own;
    if (!own.st_ino && stat(own_path(), &own) != 0)
        return 0;
    return candidate->st_ino == own.st_ino && candidate->st_dev == own.st_dev;
}

/* What find_program found stands behind a link to us on PATH. */
int found_behind_us;

/* Find `name` as execvp would, but never ourselves: a masquerading link stands earlier on PATH than the compiler. */
const char *find_program(const char *name)
{
    found_behind_us = 0;
    if (!*name)
        return NULL;
    if (strchr(name, '/'))
        return name;
    const char *dirs = getenv("PATH");
    if (!dirs)
        dirs = "/bin:/usr/bin";
    char *path = malloc(strlen(dirs) + strlen(name) + 3);
    if (!path)
        return NULL;
    for (const char *dir = dirs;; dir++) {
        size_t size = strcspn(dir, ":");
        memcpy(path, dir, size);
        if (!size)
            path[size++] = '.';
        path[size] = '/';
        strcpy(path + size + 1, name);
        struct stat facts;
        if (stat(path, &facts) == 0 && S_ISREG(facts.st_mode) && access(path, X_OK) == 0) {
            if (!is_ourselves(&facts))
                return path;
            found_behind_us = 1;
        }
        dir += strcspn(dir, ":");
        if (!*dir)
            break;
    }
    free(path);
    return NULL;
}

/* Returns only on failure; a script without #! is run by sh, as shells and execvp do. */
int execute(const char *path, char **argv, char **envp)
{
    execve(path, argv, envp);
    if (errno != ENOEXEC)
        return -1;
    size_t count = 0;
    while (argv[count])
        count++;
    char **script = malloc((count + 2) * sizeof *script);
    if (!script)
        return -1;
    script[0] = "sh";
    script[1] = (char *)path;
    memcpy(script + 2, argv + (count ? 1 : 0), (count ? count : 1) * sizeof *script);
    execve("/bin/sh", script, envp);
    errno = ENOEXEC;
    return -1;
}

const char *python_beside_us(void)
{
    static char path[PATH_MAX + 16];
    strcpy(path, own_path());
    char *slash = strrchr(path, '/');
    if (slash) {
        strcpy(slash + 1, "sccache-python");
        if (access(path, X_OK) == 0)
            return path;
    }
    return find_program("sccache-python"); /* we are a copy or a hard link somewhere else */
}

/* A build's PYTHONPATH, PYTHONHOME, PYTHONWARNINGS are meant for the Python that it builds or runs, not for ours. */
char **python_environment(void)
{
    size_t count = 1;
    for (char **variable = environ; *variable; variable++)
        count++;
    char **kept = malloc(count * sizeof *kept), **at = kept;
    if (!kept)
        return environ;
    for (char **variable = environ; *variable; variable++)
        if (strncmp(*variable, "PYTHON", 6) != 0)
            *at++ = *variable;
    *at = NULL;
    return kept;
}
