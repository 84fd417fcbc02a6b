/* sccache-observe REPORT SHIM PROGRAM ARGV0 [ARGUMENT...]: run a program and write down what it and its children touch.
 *
 * The program runs under a seccomp filter whose listener we are: each system call that opens, looks at, executes or changes a
 * file waits until we have noted it, and then goes on as if nothing had been.  Nothing is refused or changed.  SHIM (may be empty) is preloaded;
 * it notes what is no system call: variables, the clock (observe_env.c).  Grammar of the report: stages/observation.py.
 *
 * Where the kernel gives no listener the program runs all the same and the report says so.  Sources: seccomp_unotify(2), seccomp(2). */
#include "observe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1u
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1ul << 5)
#endif

/* How long children that outlive the program may go on before a process of its own answers for them. */
enum { GRACE_MS = 20 };
/* How often to ask whether the program has ended where no descriptor tells: a sandbox may forbid pidfd_open. */
enum { ASK_MS = 50 };

static volatile sig_atomic_t program_pid;

static void forward(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (program_pid > 0 && info->si_code <= 0) /* else the terminal sent it, to the whole group */
        kill(program_pid, number);
}

/* Linux 5.0 gives listeners; 5.5 lets a call go on, 5.9 tells when nobody is left.  Asked first: a filter stays. */
static int kernel_suffices(void)
{
    struct utsname system;
    unsigned major = 0, minor = 0;
    return uname(&system) == 0 && sscanf(system.release, "%u.%u", &major, &minor) == 2 && (major > 5 || (major == 5 && minor >= 9));
}

static int listen_with(const struct sock_fprog *filter, unsigned long more)
{
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW | more;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, filter);
}

/* A signal must not end a call that is with us: no program expects EINTR of a stat().  Older kernels (5.19) cannot hold it. */
static int listen_patiently(const struct sock_fprog *filter)
{
    int fd = listen_with(filter, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    return fd < 0 && errno == EINVAL ? listen_with(filter, 0) : fd;
}

static int install_filter(void)
{
    if (!kernel_suffices())
        return -1;
    struct sock_filter code[MAX_FILTER];
    struct sock_fprog filter = {.filter = code, .len = make_filter(code)};
    int fd = listen_patiently(&filter);
    if (fd < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) /* who may not administer the system */
        fd = listen_patiently(&filter);
    return fd;
}

static void send_descriptor(int socket, int fd)
{
    char word = fd < 0 ? '-' : '+';
    struct iovec io = {&word, 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof fd)];
    } control = {0};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    }
    while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

static int receive_descriptor(int socket)
{
    char word;
    struct iovec io = {&word, 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t got;
    while ((got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
    }
    int fd = -1;
    if (got == 1 && word == '+' && CMSG_FIRSTHDR(&message))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

/* The loader takes spaces and colons in LD_PRELOAD for ends of names. */
static const char *name_without_separators(const char *shim)
{
    static char name[64];
    if (!strpbrk(shim, " :"))
        return shim;
    int fd = open(shim, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return "";
    snprintf(name, sizeof name, "/proc/%ld/fd/%d", (long)getpid(), fd);
    return name;
}

static void preload(const char *shim, const char *report)
{
    const char *before = getenv("LD_PRELOAD");
    char *value = NULL;
    if (!*shim || setenv("SCCACHE_OBSERVE", report, 1) != 0)
        return;
    if (before && *before && asprintf(&value, "%s:%s", shim, before) < 0)
        return;
    setenv("LD_PRELOAD", value ? value : shim, 1);
    free(value);
}

/* Returns only on failure; a script without #! is run by sh, as shells and execvp do. */
static void run_program(char **argv)
{
    static char shell[] = "sh";
    execv(argv[3], argv + 4);
    if (errno != ENOEXEC)
        return;
    argv[4] = argv[3];
    argv[3] = shell;
    execv("/bin/sh", argv + 3);
    argv[3] = argv[4];
    errno = ENOEXEC;
}

/* The child: never returns.  The exec itself is already seen by the listener. */
static _Noreturn void become(char **argv, const char *shim, pid_t parent, int socket)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* without us its calls would fail */
    if (getppid() != parent)
        _exit(127);
    preload(shim, argv[1]);
    int fd = install_filter();
    send_descriptor(socket, fd);
    if (fd >= 0)
        close(fd);
    run_program(argv);
    fprintf(stderr, "sccache-observe: cannot run %s: %s\n", argv[3], strerror(errno));
    _exit(127);
}

static void answer(int listener, struct seccomp_notif *call)
{
    struct seccomp_notif_resp go_on = {.id = call->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &go_on); /* fails where the caller was killed meanwhile */
}

/* Take one call; 0 when nobody is left who could make one. */
static int serve(int listener, short events, int is_noted)
{
    struct seccomp_notif call;
    memset(&call, 0, sizeof call); /* the kernel insists */
    if (!(events & POLLIN))
        return !(events & (POLLHUP | POLLERR | POLLNVAL));
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
        return errno == EINTR || errno == ENOENT; /* the caller died before we looked */
    if (is_noted)
        note_call(&call);
    answer(listener, &call);
    return 1;
}

/* Processes that outlive the program need answers as long as they live; nobody waits for them. */
static void leave_behind(int listener)
{
    note('u', "a process outlived the program");
    if (fork() != 0)
        return;
    setsid();
    dup2(listener, 3);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    syscall(SYS_close_range, 4u, ~0u, 0u);
    struct pollfd one = {.fd = 3, .events = POLLIN};
    do
        one.revents = 0;
    while (poll(&one, 1, -1) < 0 || serve(3, one.revents, 0));
    _exit(0);
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static void observe(int listener, pid_t program, int *status)
{
    uint64_t wake_up = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP; /* a fifth of the time where the kernel (6.6) has it */
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, wake_up);
    int pidfd = (int)syscall(SYS_pidfd_open, program, 0u);
    int is_over = 0;
    long long end_ms = 0; /* also of children that are never quiet */
    for (;;) {
        struct pollfd both[2] = {{.fd = listener, .events = POLLIN}, {.fd = is_over ? -1 : pidfd, .events = POLLIN}};
        long long left_ms = is_over ? end_ms - now_ms() : pidfd < 0 ? ASK_MS : -1;
        int is_late = is_over && left_ms <= 0, count = poll(both, 2, is_late ? 0 : (int)left_ms);
        if (count < 0 && errno != EINTR)
            break;
        if (is_late && count >= 0 && !(both[0].revents & (POLLHUP | POLLERR | POLLNVAL))) {
            leave_behind(listener);
            break;
        }
        if (count < 0)
            continue;
        if (!is_over && (both[1].revents || pidfd < 0) && waitpid(program, status, WNOHANG) == program) {
            is_over = 1;
            end_ms = now_ms() + GRACE_MS;
        }
        if (count > 0 && both[0].revents && !serve(listener, both[0].revents, 1))
            break;
    }
    if (pidfd >= 0)
        close(pidfd);
    while (!is_over && waitpid(program, status, 0) < 0 && errno == EINTR) {
    }
}

static _Noreturn void exit_as(int status)
{
    if (!WIFSIGNALED(status))
        _exit(WEXITSTATUS(status));
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core); /* the program has left its core */
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, WTERMSIG(status));
    signal(WTERMSIG(status), SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    raise(WTERMSIG(status));
    _exit(128 + WTERMSIG(status));
}

static void forward_signals(void)
{
    static const int fatal[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction ours = {.sa_sigaction = forward, .sa_flags = SA_SIGINFO | SA_RESTART}, before;
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        if (sigaction(fatal[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(fatal[i], &ours, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fputs("usage: sccache-observe REPORT SHIM PROGRAM ARGV0 [ARGUMENT...]\n", stderr);
        return 2;
    }
    int pair[2];
    const char *shim = name_without_separators(argv[2]);
    if (!open_report(argv[1], shim) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        run_program(argv), _exit(127);
    pid_t us = getpid();
    sigset_t fatal, before; /* a signal between the fork and the handlers must not end us alone */
    sigfillset(&fatal);
    sigprocmask(SIG_BLOCK, &fatal, &before);
    struct sigaction of_children, usual = {.sa_handler = SIG_DFL}; /* who ignores their end is not told how they ended */
    sigaction(SIGCHLD, &usual, &of_children);
    pid_t program = fork();
    if (program == 0) {
        sigaction(SIGCHLD, &of_children, NULL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        close(pair[0]);
        become(argv, shim, us, pair[1]);
    }
    if (program < 0)
        run_program(argv), _exit(127);
    program_pid = program;
    forward_signals();
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(pair[1]);
    int status = 127 << 8, listener = receive_descriptor(pair[0]);
    if (listener >= 0) {
        observe(listener, program, &status);
    } else {
        note('!', "the kernel gives no listener for system calls");
        while (waitpid(program, &status, 0) < 0 && errno == EINTR) {
        }
    }
    close_report();
    exit_as(status);
}
