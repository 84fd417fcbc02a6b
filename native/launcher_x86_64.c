/* What the launcher needs of libc, for Linux on x86-64, so that it starts without libc's own start.
 *
 * Measured on a virtual machine: a static glibc program that does nothing takes 580 us from spawn to exit, one without libc 57.
 * glibc asks the processor about itself some 80 times (cpuid, for its caches and the fastest memcpy); under a hypervisor each question
 * leaves the machine, 1 to 30 us.  The launcher itself needs 30 us, and runs once per compile.  native/compile.py builds this variant
 * first, tries it, and falls back to libc.
 *
 * The functions are declared by libc's own headers and do what POSIX says, as far as the launcher goes.  Built with -nostdlib. */
#ifdef WITHOUT_LIBC
#include "launcher.h"
#if !defined __linux__ || !defined __x86_64__ || defined __ILP32__
#error this is for Linux on x86-64
#endif

#include <poll.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

char **environ;

/* --- entering and leaving ----------------------------------------------------------------------------------------- */

int main(int argc, char **argv);

_Noreturn __attribute__((used)) void start_c(long *stack)
{
    environ = (char **)(stack + 1 + stack[0] + 1);
    _exit(main((int)stack[0], (char **)(stack + 1)));
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start_c\n");

/* The child returns first and overwrites the return address on the shared stack; it waits in a register instead. */
__asm__(".globl vfork\nvfork:\n\tpop %rdx\n\tmov $58, %eax\n\tsyscall\n\tpush %rdx\n\tret\n");

__asm__("return_from_signal:\n\tmov $15, %eax\n\tsyscall\n");
void return_from_signal(void);

static int error_number;

int *__errno_location(void)
{
    return &error_number;
}

static inline __attribute__((always_inline)) long call6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    if (result < 0 && result > -4096) {
        error_number = (int)-result;
        return -1;
    }
    return result;
}

#define CALL(name, ...) CALL_(SYS_##name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(number, a, b, c, d, e, f, ...) call6(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

void _exit(int code)
{
    for (;;)
        CALL(exit_group, code);
}

/* --- system calls ------------------------------------------------------------------------------------------------- */

pid_t fork(void) { return (pid_t)CALL(fork, 0); }
pid_t getpid(void) { return (pid_t)CALL(getpid, 0); }
pid_t getppid(void) { return (pid_t)CALL(getppid, 0); }
uid_t getuid(void) { return (uid_t)CALL(getuid, 0); }
uid_t geteuid(void) { return (uid_t)CALL(geteuid, 0); }
pid_t setsid(void) { return (pid_t)CALL(setsid, 0); }
int kill(pid_t pid, int number) { return (int)CALL(kill, pid, number); }
int raise(int number) { return kill(getpid(), number); }
int execve(const char *path, char *const *argv, char *const *envp) { return (int)CALL(execve, path, argv, envp); }
pid_t waitpid(pid_t pid, int *status, int options) { return (pid_t)CALL(wait4, pid, status, options, 0); }
ssize_t read(int fd, void *data, size_t size) { return CALL(read, fd, data, size); }
ssize_t write(int fd, const void *data, size_t size) { return CALL(write, fd, data, size); }
ssize_t pread(int fd, void *data, size_t size, off_t at) { return CALL(pread64, fd, data, size, at); }
int close(int fd) { return (int)CALL(close, fd); }
int dup2(int from, int to) { return (int)CALL(dup2, from, to); }
int pipe(int fds[2]) { return (int)CALL(pipe, fds); }
int access(const char *path, int mode) { return (int)CALL(access, path, mode); }
int unlink(const char *path) { return (int)CALL(unlink, path); }
int mkdir(const char *path, mode_t mode) { return (int)CALL(mkdir, path, mode); }
int flock(int fd, int operation) { return (int)CALL(flock, fd, operation); }
mode_t umask(mode_t mask) { return (mode_t)CALL(umask, mask); }
int stat(const char *restrict path, struct stat *restrict facts) { return (int)CALL(stat, path, facts); }
int lstat(const char *restrict path, struct stat *restrict facts) { return (int)CALL(lstat, path, facts); }
int fstat(int fd, struct stat *facts) { return (int)CALL(fstat, fd, facts); }
int memfd_create(const char *name, unsigned flags) { return (int)CALL(memfd_create, name, flags); }
int socket(int domain, int type, int protocol) { return (int)CALL(socket, domain, type, protocol); }
ssize_t send(int fd, const void *data, size_t size, int flags) { return CALL(sendto, fd, data, size, flags, 0, 0); }
ssize_t recv(int fd, void *data, size_t size, int flags) { return CALL(recvfrom, fd, data, size, flags, 0, 0); }
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) { return CALL(sendmsg, fd, message, flags); }
int poll(struct pollfd *fds, nfds_t count, int ms) { return (int)CALL(poll, fds, count, ms); }
int nanosleep(const struct timespec *wanted, struct timespec *left) { return (int)CALL(nanosleep, wanted, left); }
int clock_gettime(clockid_t clock, struct timespec *now) { return (int)CALL(clock_gettime, clock, now); }
time_t time(time_t *now) { return CALL(time, now); }
ssize_t readlink(const char *restrict path, char *restrict target, size_t size) { return CALL(readlink, path, target, size); }

int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t size)
{
    return (int)CALL(connect, fd, to.__sockaddr__, size);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    return (int)CALL(setsockopt, fd, level, name, value, size);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size)
{
    return (int)CALL(getsockopt, fd, level, name, value, size);
}

int isatty(int fd)
{
    char settings[256];
    return CALL(ioctl, fd, 0x5401 /* TCGETS */, settings) == 0;
}

/* The third argument, which is an int wherever the launcher gives one. */
#define ONE_MORE(last, name)                                                                                                                 \
    va_list rest;                                                                                                                            \
    va_start(rest, last);                                                                                                                    \
    int name = va_arg(rest, int);                                                                                                            \
    va_end(rest)

int open(const char *path, int flags, ...)
{
    ONE_MORE(flags, mode);
    return (int)CALL(open, path, flags, mode & 07777);
}

int fcntl(int fd, int command, ...)
{
    ONE_MORE(command, value);
    return (int)CALL(fcntl, fd, command, value);
}

int prctl(int option, ...)
{
    ONE_MORE(option, value);
    return (int)CALL(prctl, option, value, 0, 0, 0);
}

long syscall(long number, ...)
{
    va_list rest;
    va_start(rest, number);
    long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long);
    va_end(rest);
    return call6(number, (unsigned)a, (unsigned)b, c, 0, 0, 0); /* only close_range and ioctl, which take unsigned int */
}

int getrlimit(__rlimit_resource_t what, struct rlimit *limit)
{
    return (int)CALL(prlimit64, 0, what, 0, limit);
}

int setrlimit(__rlimit_resource_t what, const struct rlimit *limit)
{
    return (int)CALL(prlimit64, 0, what, limit, 0);
}

char *getcwd(char *path, size_t size)
{
    size = path ? size : 4096;
    path = path ? path : malloc(size);
    return path && CALL(getcwd, path, size) > 0 ? path : NULL;
}

int mkstemp(char *template)
{
    char *end = template + strlen(template);
    for (unsigned attempt = (unsigned)getpid() * 64u, last = attempt + 64; attempt < last; attempt++) {
        unsigned number = attempt;
        for (int i = 1; i <= 6; i++, number /= 26)
            end[-i] = (char)('a' + number % 26);
        int fd = open(template, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

struct kernel_sigaction {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

int sigaction(int number, const struct sigaction *restrict wanted, struct sigaction *restrict previous)
{
    struct kernel_sigaction new, old;
    if (wanted) {
        new = (struct kernel_sigaction){wanted->sa_sigaction, (unsigned)wanted->sa_flags | 0x04000000 /* SA_RESTORER */, return_from_signal, 0};
        memcpy(&new.mask, &wanted->sa_mask, sizeof new.mask);
    }
    if (CALL(rt_sigaction, number, wanted ? &new : NULL, previous ? &old : NULL, sizeof new.mask) != 0)
        return -1;
    if (previous) {
        memset(previous, 0, sizeof *previous);
        previous->sa_sigaction = old.handler;
        previous->sa_flags = (int)old.flags;
        memcpy(&previous->sa_mask, &old.mask, sizeof old.mask);
    }
    return 0;
}

__sighandler_t signal(int number, __sighandler_t handler)
{
    struct sigaction wanted = {.sa_handler = handler}, previous;
    return sigaction(number, &wanted, &previous) == 0 ? previous.sa_handler : SIG_ERR;
}

int sigprocmask(int how, const sigset_t *restrict wanted, sigset_t *restrict previous)
{
    return (int)CALL(rt_sigprocmask, how, wanted, previous, sizeof(unsigned long));
}

int sigemptyset(sigset_t *set)
{
    memset(set, 0, sizeof *set);
    return 0;
}

int sigfillset(sigset_t *set)
{
    memset(set, 0xff, sizeof *set);
    return 0;
}

int sigaddset(sigset_t *set, int number)
{
    set->__val[0] |= 1ul << (number - 1);
    return 0;
}

/* --- memory and strings --------------------------------------------------------------------------------------------- */

/* Nothing is ever given back: a launcher lives for milliseconds. */
void *malloc(size_t size)
{
    static char first[64 << 10];
    static char *at = first, *end = first + sizeof first;
    size = (size + 15) & ~(size_t)15;
    if (size > (size_t)(end - at)) {
        size_t more = (size + (1 << 20)) & ~(size_t)4095;
        long mapped = CALL(mmap, 0, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == -1)
            return NULL;
        at = (char *)mapped;
        end = at + more;
    }
    at += size;
    return at - size;
}

void free(void *memory)
{
    (void)memory;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    void *result = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return result;
}

void *memmove(void *to, const void *from, size_t size)
{
    char *at = to;
    const char *source = from;
    if (at <= source)
        return memcpy(to, from, size);
    while (size--) {
        at[size] = source[size];
        __asm__ volatile("" : : : "memory"); /* or the compiler makes a call of memmove of it */
    }
    return to;
}

void *memset(void *to, int value, size_t size)
{
    void *result = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return result;
}

void *memchr(const void *memory, int value, size_t size)
{
    for (const char *at = memory; size--; at++)
        if (*at == (char)value)
            return (void *)at;
    return NULL;
}

size_t strlen(const char *text)
{
    const char *at = text;
    while (*at) {
        at++;
        __asm__ volatile("");
    }
    return (size_t)(at - text);
}

int strncmp(const char *a, const char *b, size_t size)
{
    for (; size; a++, b++, size--)
        if (*a != *b || !*a)
            return (unsigned char)*a - (unsigned char)*b;
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *text, int wanted)
{
    for (; *text != (char)wanted; text++)
        if (!*text)
            return NULL;
    return (char *)text;
}

char *strrchr(const char *text, int wanted)
{
    char *last = NULL;
    for (; *text; text++)
        if (*text == (char)wanted)
            last = (char *)text;
    return last;
}

size_t strcspn(const char *text, const char *refused)
{
    size_t size = 0;
    while (text[size] && !strchr(refused, text[size]))
        size++;
    return size;
}

char *stpcpy(char *restrict to, const char *restrict from)
{
    size_t size = strlen(from);
    memcpy(to, from, size + 1);
    return to + size;
}

char *strcpy(char *restrict to, const char *restrict from)
{
    stpcpy(to, from);
    return to;
}

char *getenv(const char *name)
{
    size_t size = strlen(name);
    for (char **variable = environ; *variable; variable++)
        if (strncmp(*variable, name, size) == 0 && (*variable)[size] == '=')
            return *variable + size + 1;
    return NULL;
}

char *strerror(int number)
{
    switch (number) {
    case ENOENT:
        return "No such file or directory";
    case EACCES:
        return "Permission denied";
    case E2BIG:
        return "Argument list too long";
    case ENOEXEC:
        return "Exec format error";
    case ENOMEM:
        return "Cannot allocate memory";
    default:
        return "it cannot be executed";
    }
}
#endif
