/* Preloaded into programs under observation: notes what is no system call.  See observe.c; grammar of the report: stages/observation.py.
 *
 * A variable or clock reading is told apart by who asked: code that was loaded when the program began (the tool itself) or code
 * loaded later (a procedural macro).  Nothing is changed: every answer is what it would have been.
 * Must work before main, in any thread, in any program: no allocation, no stdio. */
#include "observe_names.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MAX_RANGES = 256, SLOTS = 4096, TRIES = 1000 };
enum { OUT_OF_THE_WAY = 500 }; /* a descriptor that no script writes in numbers */

extern char **environ;

static struct {
    int fd, is_begun;
    dev_t device;
    ino_t inode;
    char path[PATH_MAX];
} report = {.fd = -1};
static struct {
    uintptr_t begin, end;
    int is_shared; /* Rust's standard library: macros call it, too */
} early[MAX_RANGES];
static int early_count;
static unsigned long long early_loads;
static atomic_flag busy = ATOMIC_FLAG_INIT;
static uint64_t known[SLOTS];

/* Whether this record was not written yet; where that cannot be told it is written again, which does no harm. */
static int is_new(char kind, const char *text)
{
    uint64_t hash = 14695981039346656037u ^ (unsigned char)kind;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    hash |= 1;
    for (int i = 0; atomic_flag_test_and_set_explicit(&busy, memory_order_acquire); i++)
        if (i == TRIES) /* a signal handler may have interrupted the holder */
            return 1;
    int found = 0, at = (int)(hash >> 8) & (SLOTS - 1);
    for (int i = 0; i < SLOTS && known[at] && !found; i++) {
        found = known[at] == hash;
        at = found ? at : (at + 1) & (SLOTS - 1);
    }
    if (!found && !known[at])
        known[at] = hash;
    atomic_flag_clear_explicit(&busy, memory_order_release);
    return !found;
}

static void open_report(void)
{
    struct stat found;
    int low = open(report.path, O_WRONLY | O_APPEND | O_CLOEXEC), high = fcntl(low, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
    report.fd = high < 0 ? low : high;
    if (high >= 0)
        close(low);
    if (report.fd >= 0 && syscall(SYS_fstat, report.fd, &found) == 0) {
        report.device = found.st_dev;
        report.inode = found.st_ino;
    }
}

/* A program may close descriptors that it does not know and get ours for a file of its own: that must not be written to. */
static int is_ours(void)
{
    struct stat found; /* not fstat(): in libc that is a call which the observer traps */
    return syscall(SYS_fstat, report.fd, &found) == 0 && found.st_dev == report.device && found.st_ino == report.inode;
}

/* The observer sees this, and takes the report for incomplete: a disk was full, or all descriptors were in use. */
static void tell_of_loss(void)
{
    syscall(SYS_faccessat, AT_FDCWD, report.path, X_OK);
}

static void begin(void);

static void say(char kind, const char *number, const char *text)
{
    char record[PATH_MAX + 32];
    size_t first = strlen(number), rest = strlen(text);
    ssize_t written = -1;
    int saved = errno;
    if (!report.is_begun) /* a library's constructor, before ours */
        begin();
    if (!report.path[0] || !is_new(kind, text))
        return;
    if (!is_ours())
        open_report();
    if (first + rest + 2 <= sizeof record) {
        record[0] = kind;
        memcpy(record + 1, number, first);
        memcpy(record + 1 + first, text, rest + 1);
        do
            written = write(report.fd, record, first + rest + 2);
        while (written < 0 && errno == EINTR);
    }
    if (written != (ssize_t)(first + rest + 2))
        tell_of_loss();
    errno = saved;
}

/* How many objects were ever loaded; the C library counts. */
static int count_loads(struct dl_phdr_info *object, size_t size, void *loads)
{
    if (size >= offsetof(struct dl_phdr_info, dlpi_adds) + sizeof object->dlpi_adds)
        *(unsigned long long *)loads = object->dlpi_adds;
    return 1;
}

static int is_early(const void *code)
{
    unsigned long long loads = ~0ull;
    if (!report.is_begun)
        begin();
    for (int i = 0; i < early_count; i++) {
        if ((uintptr_t)code < early[i].begin || (uintptr_t)code >= early[i].end)
            continue;
        if (early[i].is_shared) /* who called it cannot be told: a macro, if there is one */
            dl_iterate_phdr(count_loads, &loads);
        return !early[i].is_shared || loads == early_loads;
    }
    return early_count == 0;
}

static char image[PATH_MAX];

static const char *object_of(const void *code)
{
    Dl_info found;
    return dladdr(code, &found) && found.dli_fname ? found.dli_fname : "?";
}

static char *variable(const char *name)
{
    size_t size = strlen(name);
    for (char **at = environ; at && *at; at++)
        if (strncmp(*at, name, size) == 0 && (*at)[size] == '=')
            return *at + size + 1;
    return NULL;
}

/* Until 1.8x, rustc shares libstd-HASH.so with the macros that it loads, even those that bring their own. */
static int is_standard_library(const char *path)
{
    const char *name = path ? strrchr(path, '/') : NULL;
    return name && strncmp(name, "/libstd-", 8) == 0;
}

static int remember(struct dl_phdr_info *object, size_t size, void *unused)
{
    (void)size, (void)unused;
    early_loads = object->dlpi_adds;
    for (int i = 0; i < object->dlpi_phnum && early_count < MAX_RANGES; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        early[early_count].begin = object->dlpi_addr + part->p_vaddr;
        early[early_count].end = early[early_count].begin + part->p_memsz;
        early[early_count].is_shared = is_standard_library(object->dlpi_name);
        early_count++;
    }
    return 0;
}

/* This process's number and a space. */
static const char *process(char text[32])
{
    char *at = text + 31;
    *at = 0;
    *--at = ' ';
    for (unsigned number = (unsigned)getpid(); number; number /= 10)
        *--at = (char)('0' + number % 10);
    return at;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = variable("SCCACHE_OBSERVE");
    char text[32];
    if (report.is_begun)
        return;
    report.is_begun = 1;
    if (!path || strlen(path) >= sizeof report.path)
        return;
    dl_iterate_phdr(remember, NULL);
    strcpy(report.path, path);
    open_report();
    ssize_t size = readlink("/proc/self/exe", image, sizeof image - 1);
    image[size < 0 ? 0 : size] = 0;
    say('i', process(text), image);
}

static int is_environment(const char *name)
{
    return strcmp(name, "environ") == 0 || strcmp(name, "__environ") == 0 || strcmp(name, "_environ") == 0;
}

/* Note objects that were loaded later and refer to the whole environment: std::env::vars, programs started. */
static int inspect(struct dl_phdr_info *object, size_t size, void *unused)
{
    (void)size, (void)unused;
    const ElfW(Dyn) *entry = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    size_t names_size = 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && part->p_flags & PF_X && is_early((void *)(object->dlpi_addr + part->p_vaddr)))
            return 0;
        if (part->p_type == PT_DYNAMIC)
            entry = (const void *)(object->dlpi_addr + part->p_vaddr);
    }
    for (; entry && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            symbols = (const void *)entry->d_un.d_ptr;
        else if (entry->d_tag == DT_STRTAB)
            names = (const void *)entry->d_un.d_ptr;
        else if (entry->d_tag == DT_STRSZ)
            names_size = entry->d_un.d_val;
    }
    /* No entry tells how many symbols there are; linkers put the names behind them.  What is between is read as symbols, to no harm. */
    if (!symbols || !names || (uintptr_t)symbols >= (uintptr_t)names) {
        say('E', "", object->dlpi_name);
        return 0;
    }
    for (; (uintptr_t)(symbols + 1) <= (uintptr_t)names; symbols++)
        if (symbols->st_shndx == SHN_UNDEF && symbols->st_name < names_size && is_environment(names + symbols->st_name))
            say('E', "", object->dlpi_name);
    return 0;
}

__attribute__((destructor)) static void end(void)
{
    char text[32];
    if (!report.path[0])
        return;
    dl_iterate_phdr(inspect, NULL);
    say('q', process(text), "");
}

char *getenv(const char *name)
{
    say(is_early(__builtin_return_address(0)) ? 't' : 'e', "", name);
    return variable(name);
}

char *secure_getenv(const char *name)
{
    say(is_early(__builtin_return_address(0)) ? 't' : 'e', "", name);
    return variable(name);
}

static void note_clock(const void *caller)
{
    if (is_early(caller))
        say('C', "", image);
    else
        say('c', "", object_of(caller));
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*original)(clockid_t, struct timespec *);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "clock_gettime");
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI)
        note_clock(__builtin_return_address(0));
    return original(clock, now);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    static int (*original)(struct timeval *, void *);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "gettimeofday");
    note_clock(__builtin_return_address(0));
    return original(now, zone);
}

time_t time(time_t *now)
{
    static time_t (*original)(time_t *);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "time");
    note_clock(__builtin_return_address(0));
    return original(now);
}

/* An absolute path of what a program named; empty where it is too long. */
static const char *absolute(const char *path, char whole[PATH_MAX])
{
    size_t size = strlen(path), at = 0;
    whole[0] = 0;
    if (path[0] != '/') {
        if (syscall(SYS_getcwd, whole, (size_t)PATH_MAX) <= 0 || whole[0] != '/')
            return whole[0] = 0, whole;
        at = strlen(whole);
        if (at + 1 < PATH_MAX)
            whole[at++] = '/';
    }
    if (at + size >= PATH_MAX)
        return whole[0] = 0, whole;
    memcpy(whole + at, path, size + 1);
    tidy(whole);
    return whole;
}

/* What a link leads to: the observer sees no readlink, of which rustc makes hundreds.  That a name is not there counts whoever
 * asked (clippy looks for its settings so), where it leads only if a macro did. */
static void note_link(const char *path, int is_found, const void *caller)
{
    char whole[PATH_MAX];
    int saved = errno;
    if (path && path[0] && is_found && !is_early(caller))
        say('l', "", absolute(path, whole));
    else if (path && path[0] && !is_found && (saved == ENOENT || saved == ENOTDIR) && *absolute(path, whole))
        say('a', "", whole);
    errno = saved;
}

ssize_t readlink(const char *restrict path, char *restrict target, size_t size)
{
    static ssize_t (*original)(const char *, char *, size_t);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "readlink");
    ssize_t got = original(path, target, size);
    note_link(path, got >= 0, __builtin_return_address(0));
    return got;
}

char *realpath(const char *restrict path, char *restrict resolved)
{
    static char *(*original)(const char *, char *);
#ifdef __GLIBC__
    if (!original)
        *(void **)&original = dlvsym(RTLD_NEXT, "realpath", "GLIBC_2.3"); /* the one that allocates */
#endif
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "realpath");
    char *got = original(path, resolved);
    note_link(path, got != NULL, __builtin_return_address(0));
    return got;
}

char *getcwd(char *name, size_t size)
{
    static char *(*original)(char *, size_t);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "getcwd");
    if (!is_early(__builtin_return_address(0)))
        say('l', "", ".");
    return original(name, size);
}

ssize_t read(int fd, void *into, size_t size)
{
    static ssize_t (*original)(int, void *, size_t);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "read");
    if (fd == 0 && !is_early(__builtin_return_address(0)))
        say('u', "", "a macro reads standard input");
    return original(fd, into, size);
}
