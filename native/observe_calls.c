/* Which system calls the observer sees, and what each tells.  TABLE is the one place to look; knows no process control.
 * Source for each call's arguments: its page in section 2 of the Linux manual. */
#include "observe.h"
#include "observe_names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#if defined __x86_64__
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "no table of system calls for this processor"
#endif
enum { OTHER_NUMBERS = 0x40000000 }; /* x32 calls, on x86-64 */

enum meaning {
    OPENS,    /* argument `more`: flags */
    CREATES,  /* as open with O_CREAT | O_WRONLY | O_TRUNC */
    OPENS_HOW, /* argument `more`: struct open_how */
    LOOKS,
    EXECUTES,
    CHANGES, /* makes, removes or renames what is there */
    MAKES_DIRECTORY,
    POINTS,   /* a link that leads to argument `more`: reading it reads that */
    CONNECTS,
    SOCKETS, /* of a family that reaches out: what is sent without a connection is not seen */
    LEAVES, /* what comes after cannot be followed */
};
enum { NONE = -1, CWD = -2 }; /* instead of an argument's index */

static const struct call {
    int number;
    enum meaning meaning;
    signed char directory, path, more;
} TABLE[] = {
#ifdef __NR_open
    {__NR_open, OPENS, CWD, 0, 1},
    {__NR_creat, CREATES, CWD, 0, NONE},
    {__NR_stat, LOOKS, CWD, 0, NONE},
    {__NR_lstat, LOOKS, CWD, 0, NONE},
    {__NR_access, LOOKS, CWD, 0, NONE},
    {__NR_unlink, CHANGES, CWD, 0, NONE},
    {__NR_rmdir, CHANGES, CWD, 0, NONE},
    {__NR_mkdir, MAKES_DIRECTORY, CWD, 0, NONE},
    {__NR_rename, CHANGES, CWD, 0, NONE},
    {__NR_rename, CHANGES, CWD, 1, NONE},
    {__NR_link, LOOKS, CWD, 0, NONE},
    {__NR_link, CHANGES, CWD, 1, NONE},
    {__NR_symlink, POINTS, CWD, 1, 0},
    {__NR_mknod, CHANGES, CWD, 0, NONE},
    {__NR_chmod, CHANGES, CWD, 0, NONE},
#endif
    {__NR_openat, OPENS, 0, 1, 2},
    {__NR_openat2, OPENS_HOW, 0, 1, 2},
    {__NR_newfstatat, LOOKS, 0, 1, NONE},
    {__NR_statx, LOOKS, 0, 1, NONE},
    {__NR_faccessat, LOOKS, 0, 1, NONE},
    {__NR_faccessat2, LOOKS, 0, 1, NONE},
    {__NR_execve, EXECUTES, CWD, 0, NONE},
    {__NR_execveat, EXECUTES, 0, 1, NONE},
    {__NR_unlinkat, CHANGES, 0, 1, NONE},
    {__NR_mkdirat, MAKES_DIRECTORY, 0, 1, NONE},
#ifdef __NR_renameat
    {__NR_renameat, CHANGES, 0, 1, NONE},
    {__NR_renameat, CHANGES, 2, 3, NONE},
#endif
    {__NR_renameat2, CHANGES, 0, 1, NONE},
    {__NR_renameat2, CHANGES, 2, 3, NONE},
    {__NR_linkat, LOOKS, 0, 1, NONE},
    {__NR_linkat, CHANGES, 2, 3, NONE},
    {__NR_symlinkat, POINTS, 1, 2, 0},
    {__NR_mknodat, CHANGES, 0, 1, NONE},
    {__NR_fchmodat, CHANGES, 0, 1, NONE},
    {__NR_truncate, CHANGES, CWD, 0, NONE},
    {__NR_connect, CONNECTS, NONE, 1, 2},
    {__NR_socket, SOCKETS, NONE, 0, NONE},
    {__NR_io_uring_setup, LEAVES, NONE, NONE, NONE},
    {__NR_open_by_handle_at, LEAVES, NONE, NONE, NONE},
    {__NR_chroot, LEAVES, NONE, NONE, NONE},
    {__NR_pivot_root, LEAVES, NONE, NONE, NONE},
    {__NR_mount, LEAVES, NONE, NONE, NONE},
    {__NR_unshare, LEAVES, NONE, NONE, NONE},
    {__NR_setns, LEAVES, NONE, NONE, NONE},
};
enum { ROWS = sizeof TABLE / sizeof *TABLE };
_Static_assert(2 * ROWS + 7 <= MAX_FILTER, "the filter has room for every row");

/* Notify of the table's calls and of any call by another architecture's numbers; let all else pass. */
unsigned short make_filter(struct sock_filter *code)
{
    unsigned short at = 0;
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCHITECTURE, 1, 0);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int row = 0; row < ROWS; row++) {
        code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)TABLE[row].number, 0, 1);
        code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    }
    code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_NUMBERS, 0, 1);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return at;
}

static ssize_t read_memory(pid_t caller, uint64_t from, void *into, size_t size)
{
    struct iovec here = {into, size}, there = {(void *)(uintptr_t)from, size};
    return process_vm_readv(caller, &here, 1, &there, 1, 0);
}

/* A string of the caller's; 0 where it cannot be read. */
static int read_text(pid_t caller, uint64_t from, char *text, size_t size)
{
    const size_t page = 4096; /* a read must not reach beyond the string into a page that is not there */
    for (size_t got = 0; got < size;) {
        size_t part = page - (size_t)((from + got) % page);
        ssize_t count = read_memory(caller, from + got, text + got, part < size - got ? part : size - got);
        if (count <= 0)
            return 0;
        if (memchr(text + got, 0, (size_t)count))
            return 1;
        got += (size_t)count;
    }
    return 0;
}

enum { PATH_SIZE = 2 * PATH_MAX + 2 };

/* The absolute path of an argument.  0: there is none (an empty path means the descriptor itself); -1: it cannot be read. */
static int path_of(const struct seccomp_notif *call, const struct call *row, char *path)
{
    char given[PATH_MAX], link[64];
    uint64_t at = call->data.args[row->path];
    if (!at)
        return 0;
    if (!read_text((pid_t)call->pid, at, given, sizeof given))
        return -1;
    if (!given[0])
        return 0;
    if (given[0] == '/') {
        strcpy(path, given);
    } else {
        int directory = row->directory == CWD ? AT_FDCWD : (int)call->data.args[row->directory];
        if (directory == AT_FDCWD)
            snprintf(link, sizeof link, "/proc/%u/cwd", call->pid);
        else
            snprintf(link, sizeof link, "/proc/%u/fd/%d", call->pid, directory);
        ssize_t size = readlink(link, path, PATH_MAX);
        if (size <= 0 || size >= PATH_MAX || path[0] != '/')
            return -1;
        snprintf(path + size, (size_t)(PATH_SIZE - size), "/%s", given);
    }
    tidy(path);
    return 1;
}

static void note_seen(char kind, const char *path, int is_opened)
{
    struct stat found;
    char stamp[160];
    if (stat(path, &found) != 0) {
        note('a', path);
    } else if (S_ISREG(found.st_mode)) {
        snprintf(stamp, sizeof stamp, "%llu %llu %lld %lld %lld ", (unsigned long long)found.st_dev, (unsigned long long)found.st_ino,
                 (long long)found.st_size, found.st_mtim.tv_sec * 1000000000ll + found.st_mtim.tv_nsec,
                 found.st_ctim.tv_sec * 1000000000ll + found.st_ctim.tv_nsec);
        note_stamped(kind, stamp, path);
    } else if (S_ISDIR(found.st_mode)) {
        note(is_opened ? 'd' : 'D', path);
    } else {
        note('o', path);
    }
}

static void note_opened(const char *path, uint64_t flags)
{
    struct stat found;
    int is_there = stat(path, &found) == 0;
    if (is_there && !S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))
        note('o', path);
    else if ((flags & O_TMPFILE) == O_TMPFILE) /* a file without a name; the path is the directory's */
        note_seen('s', path, 0);
    else if ((flags & O_ACCMODE) == O_RDONLY && !(flags & (O_CREAT | O_TRUNC)))
        note_seen((flags & O_PATH) ? 's' : 'r', path, !(flags & O_PATH));
    else {
        if (is_there && (flags & O_ACCMODE) != O_WRONLY && !(flags & O_TRUNC))
            note_seen('r', path, 1);
        note('w', path);
    }
}

static void note_connection(const struct seccomp_notif *call, const struct call *row)
{
    struct sockaddr_un address = {0};
    uint64_t size = call->data.args[row->more];
    char text[sizeof address.sun_path + 32];
    if (read_memory((pid_t)call->pid, call->data.args[row->path], &address, size < sizeof address ? size : sizeof address) <= 0)
        return;
    const char *name = address.sun_family == AF_UNIX ? address.sun_path : "";
    snprintf(text, sizeof text, "family %u %.*s", address.sun_family, (int)sizeof address.sun_path, name);
    note('n', text);
}

static void note_target(const struct seccomp_notif *call, const struct call *row, const char *link)
{
    char target[PATH_MAX], path[PATH_SIZE];
    if (!read_text((pid_t)call->pid, call->data.args[row->more], target, sizeof target))
        return;
    const char *end = strrchr(link, '/');
    if (target[0] == '/')
        strcpy(path, target);
    else if (snprintf(path, sizeof path, "%.*s/%s", (int)(end - link), link, target) >= (int)sizeof path)
        return;
    tidy(path);
    note_seen('s', path, 0);
}

/* A program that runs itself again by /proc/self/exe means its own, not ours. */
static int name_itself(const struct seccomp_notif *call, const char *path, char *program)
{
    char link[64];
    if (strcmp(path, "/proc/self/exe") != 0 && strcmp(path, "/proc/thread-self/exe") != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/%u/exe", call->pid);
    ssize_t size = readlink(link, program, PATH_SIZE - 1);
    if (size > 0)
        program[size] = 0;
    return size > 0;
}

/* A program, and what the kernel runs in place of a script without another call. */
static void note_program(const struct seccomp_notif *call, const char *path)
{
    enum { MAX_DEPTH = 5 }; /* the kernel's */
    char program[PATH_SIZE], line[256];
    struct stat found;
    if (!name_itself(call, path, program))
        strcpy(program, path);
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        int is_there = stat(program, &found) == 0;
        note(is_there ? 'x' : 'a', program);
        int fd = is_there && S_ISREG(found.st_mode) ? open(program, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
        ssize_t size = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
        if (fd >= 0)
            close(fd);
        if (size < 2 || line[0] != '#' || line[1] != '!')
            return;
        line[size] = 0;
        char *name = line + 2 + strspn(line + 2, " \t");
        name[strcspn(name, " \t\n")] = 0;
        if (name[0] != '/') /* relative to a directory that is not worth finding out */
            return note('u', "a script's interpreter without a full path");
        tidy(strcpy(program, name));
    }
}

static void note_path(const struct seccomp_notif *call, const struct call *row, const char *path)
{
    struct stat found;
    struct open_how how = {0};
    switch (row->meaning) {
    case OPENS:
        note_opened(path, call->data.args[row->more]);
        break;
    case OPENS_HOW:
        if (read_memory((pid_t)call->pid, call->data.args[row->more], &how, sizeof how.flags) == sizeof how.flags)
            note_opened(path, how.flags);
        else
            note('u', "openat2");
        break;
    case LOOKS:
        note_seen('s', path, 0);
        break;
    case EXECUTES:
        note_program(call, path);
        break;
    case POINTS:
        note_target(call, row, path);
        note('w', path);
        break;
    case MAKES_DIRECTORY: /* one that is there already stays what it is */
        if (lstat(path, &found) != 0)
            note('w', path);
        break;
    default:
        note_seen('s', path, 0); /* that it was there before */
        note('w', path);
    }
}

void note_call(const struct seccomp_notif *call)
{
    char path[PATH_SIZE], text[64];
    int is_ours = call->data.arch == OUR_ARCHITECTURE;
    for (int row = 0; row < ROWS && is_ours; row++) {
        if (TABLE[row].number != call->data.nr)
            continue;
        if (TABLE[row].meaning == CONNECTS) {
            note_connection(call, &TABLE[row]);
            return;
        }
        if (TABLE[row].meaning == SOCKETS) {
            snprintf(text, sizeof text, "socket family %u", (unsigned)call->data.args[0]);
            if (call->data.args[0] != AF_UNIX)
                note('n', text);
            return;
        }
        int has = TABLE[row].meaning == LEAVES ? -1 : path_of(call, &TABLE[row], path);
        if (has < 0)
            break;
        if (!has && TABLE[row].meaning == EXECUTES)
            note('u', "a program run by its descriptor");
        if (has && is_report(path)) {
            if (TABLE[row].meaning == LOOKS)
                note('u', "a record of the preloaded part was lost"); /* so it says */
        } else if (has && !is_shim(path)) {
            note_path(call, &TABLE[row], path);
        }
        if (row + 1 == ROWS || TABLE[row + 1].number != call->data.nr)
            return;
    }
    snprintf(text, sizeof text, "call %d of architecture %x", call->data.nr, call->data.arch);
    note('u', text);
}
