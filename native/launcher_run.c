/* The compiler as our child: its streams, signals and result.  Knows no message. */
#include "launcher.h"

#include <limits.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#ifdef __linux__
#include <sys/mman.h>
#include <sys/prctl.h>
#endif

/* A group-wide kill reaches our child without us.  gcc that gets a signal twice dies before it removed its temporary
 * files, so the child is given this long to die by itself. */
enum { FORWARD_AFTER_MS = 100 };

/* Reads of a channel between two looks at signals and daemon; and after the child's end, when all it said is in there: more than any
 * channel holds, so that a grandchild that goes on writing does not keep us. */
enum { CHUNK = 4096, CHUNKS_IN_PASSING = 16, CHUNKS_AT_THE_END = 512 };

static const int fatal_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { FATAL_COUNT = sizeof fatal_signals / sizeof *fatal_signals };

static struct {
    int pipe[2];
    sigset_t mask;
    struct sigaction fatal[FATAL_COUNT], child, broken_pipe;
    volatile sig_atomic_t fatal_signal, sent_by_process;
} caller;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            poll(&room, 1, -1); /* the compiler itself would have blocked or lost output here */
        } else if (written < 0 && errno != EINTR) {
            return 0;
        } else if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
    return 1;
}

void write_captured(int captured, off_t from, int fd)
{
    static char chunk[64 << 10];
    off_t at = from;
    ssize_t got;
    while (captured >= 0 && (got = pread(captured, chunk, sizeof chunk, at)) > 0 && write_all(fd, chunk, (size_t)got))
        at += got;
}

/* Exit as the child did; by the same signal if one killed it, so that our parent sees what it would have seen. */
_Noreturn void exit_as(int status)
{
    if (status >= 0)
        _exit(status);
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core); /* the compiler has left its core; ours would overwrite it */
    signal(-status, SIG_DFL);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, -status);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(-status);
    _exit(128 - status);
}

static int unlinked_file(const char *name)
{
#ifdef MFD_CLOEXEC
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd >= 0)
        return above_stdio(fd);
#endif
    (void)name;
    char path[] = "/tmp/sccache-stream-XXXXXX";
    int file = mkstemp(path);
    if (file >= 0) {
        unlink(path);
        file = above_stdio(file);
        fcntl(file, F_SETFD, FD_CLOEXEC);
    }
    return file;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    if (number != SIGCHLD) {
        caller.fatal_signal = number;
        caller.sent_by_process = info->si_code <= 0; /* else the terminal sent it, to the whole group */
    }
    while (write(caller.pipe[1], "", 1) < 0 && errno == EINTR) {
    }
    errno = saved;
}

static int make_pipe(int fds[2])
{
    if (pipe(fds) != 0)
        return 0;
    for (int i = 0; i < 2; i++) {
        fds[i] = above_stdio(fds[i]);
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    return fds[0] >= 0 && fds[1] >= 0;
}

/* Signals are blocked on return; the child unblocks them for itself, the parent once the child is there. */
static void catch_signals(int is_streamed)
{
    struct sigaction ours = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO}; /* also a write to a slow reader is left */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&ours.sa_mask);
    sigemptyset(&ignore.sa_mask);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &caller.mask);
    sigaction(SIGCHLD, &ours, &caller.child);
    for (int i = 0; i < FATAL_COUNT; i++) {
        sigaction(fatal_signals[i], NULL, &caller.fatal[i]);
        if (caller.fatal[i].sa_handler != SIG_IGN)
            sigaction(fatal_signals[i], &ours, NULL);
    }
    if (is_streamed)
        sigaction(SIGPIPE, &ignore, &caller.broken_pipe); /* while the compiler works; see show */
}

static void restore_signals(int is_streamed)
{
    if (is_streamed)
        sigaction(SIGPIPE, &caller.broken_pipe, NULL);
    sigaction(SIGCHLD, &caller.child, NULL);
    for (int i = 0; i < FATAL_COUNT; i++)
        sigaction(fatal_signals[i], &caller.fatal[i], NULL);
    sigprocmask(SIG_SETMASK, &caller.mask, NULL);
}

/* In the vforked child: only system calls, nothing that the parent would notice. */
static void become(int flags, const char *path, char **argv, char **envp, const struct result *r, const struct channel *t, pid_t parent)
{
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* not SIGKILL: a driver removes its half-written files on SIGTERM */
    if (getppid() != parent)
        return;
#endif
    (void)parent;
    if (flags & NO_STDIN) {
        int null = open("/dev/null", O_RDONLY);
        if (null > 0 && (dup2(null, 0) < 0 || close(null) < 0))
            return;
    }
    int err = t->theirs >= 0 ? t->theirs : r->err;
    if ((r->out >= 0 && dup2(r->out, 1) < 0) || (err >= 0 && dup2(err, 2) < 0))
        return;
    restore_signals(flags & STREAM_STDERR);
    execute(path, argv, envp);
}

static int status_of(int waited)
{
    return WIFSIGNALED(waited) ? -WTERMSIG(waited) : WEXITSTATUS(waited);
}

/* Keep what came through the channel; 0 when nothing can come any more. */
static int drain(const struct channel *t, struct result *r, struct connection *c, int chunks)
{
    char chunk[CHUNK];
    while (chunks--) {
        ssize_t got = read(t->ours, chunk, sizeof chunk);
        if (got == 0 || (got < 0 && errno != EINTR))
            return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        if (got > 0 && !write_all(r->err, chunk, (size_t)got))
            c->lost = 1; /* no memory for it: the daemon must not keep a part */
        else if (got > 0)
            r->err_size += got;
    }
    return 1;
}

/* Pass on what is kept, as far as our caller takes it now: a slow reader holds up neither the compiler nor us.  If nobody reads any
 * more, the compile goes on to its end, as it does for a caller who asked for nothing; what is left kills us in the replay. */
static void show(struct result *r)
{
    char chunk[PIPE_BUF]; /* a pipe that has room takes so much at once */
    while (!r->nobody_reads && r->err_shown < r->err_size) {
        struct pollfd room = {.fd = 2, .events = POLLOUT};
        if (poll(&room, 1, 0) <= 0)
            return;
        ssize_t size = pread(r->err, chunk, sizeof chunk, r->err_shown), written = size > 0 ? write(2, chunk, (size_t)size) : -1;
        if (written > 0)
            r->err_shown += written;
        else if (size > 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        else
            r->nobody_reads = 1;
    }
}

/* Wait for the child while listening to the daemon and to the child's stderr; forward what kills us. */
static int wait_for(pid_t child, int flags, struct connection *c, const struct channel *t, struct result *r)
{
    int is_open = t->ours >= 0;
    uint64_t forward_at = 0;
    int waited, forwarded = 0;
    for (;;) {
        pid_t gone = waitpid(child, &waited, WNOHANG);
        if (gone == child)
            return status_of(waited);
        if (gone < 0 && errno != EINTR)
            return NOT_STARTED;
        int patience = -1;
        if (caller.fatal_signal && caller.sent_by_process && !forwarded) {
            uint64_t now = now_ns();
            forward_at = forward_at ? forward_at : now + FORWARD_AFTER_MS * 1000000u;
            forwarded = now >= forward_at;
            if (forwarded)
                kill(child, caller.fatal_signal);
            else
                patience = FORWARD_AFTER_MS;
        }
        int is_behind = (flags & STREAM_STDERR) && !r->nobody_reads && r->err_shown < r->err_size;
        struct pollfd wakers[4] = {
            {.fd = caller.pipe[0], .events = POLLIN},
            {.fd = c->lost ? -1 : c->fd, .events = POLLIN},
            {.fd = is_open ? t->ours : -1, .events = POLLIN},
            {.fd = is_behind ? 2 : -1, .events = POLLOUT},
        };
        if (poll(wakers, 4, patience) < 0)
            continue;
        char bytes[16];
        while (wakers[0].revents && read(caller.pipe[0], bytes, sizeof bytes) > 0) {
        }
        if (wakers[1].revents && !only_keep_alives(c))
            c->lost = 1; /* what the child does is still wanted; see launcher.c */
        if (wakers[2].revents)
            is_open = drain(t, r, c, CHUNKS_IN_PASSING);
        if (flags & STREAM_STDERR)
            show(r);
    }
}

static int open_channel(int flags, struct channel *t)
{
    if (flags & ON_TERMINAL)
        return open_terminal(t);
    return !(flags & STREAM_STDERR) || open_stream(t);
}

/* Run a command to its end.  0: we could not even try.  Sets r->status to minus the signal that is to kill us, too. */
int run_child(struct connection *c, int flags, const char *path, char **argv, char **envp, struct result *r)
{
    *r = (struct result){.out = -1, .err = -1, .status = NOT_STARTED};
    if (((flags & CAPTURE_STDOUT) && (r->out = unlinked_file("stdout")) < 0) ||
        ((flags & (CAPTURE_STDERR | STREAM_STDERR)) && (r->err = unlinked_file("stderr")) < 0) || (!caller.pipe[1] && !make_pipe(caller.pipe)))
        return 0;
    struct channel t = {-1, -1};
    int has_all = path && open_channel(flags, &t);
    uint64_t started = now_ns();
    pid_t parent = getpid();
    volatile int failed = 0;
    catch_signals(flags & STREAM_STDERR);
    pid_t child = has_all ? vfork() : -1;
    if (child == 0) {
        become(flags, path, argv, envp, r, &t, parent);
        failed = 1;
        _exit(127);
    }
    sigprocmask(SIG_SETMASK, &caller.mask, NULL);
    if (t.theirs >= 0)
        close(t.theirs), t.theirs = -1;
    if (child > 0)
        r->status = wait_for(child, flags, c, &t, r);
    if (t.ours >= 0)
        drain(&t, r, c, CHUNKS_AT_THE_END);
    if (flags & STREAM_STDERR)
        show(r);
    close_channel(&t);
    if (failed)
        r->status = NOT_STARTED;
    restore_signals(flags & STREAM_STDERR);
    r->duration_ns = now_ns() - started;
    r->have = 1;
    return caller.fatal_signal ? -caller.fatal_signal : 1;
}

static int is_changed(const char *variable, char **changes)
{
    size_t name = strcspn(variable, "=");
    for (; *changes; changes++)
        if (strncmp(*changes, variable, name) == 0 && ((*changes)[name] == '=' || !(*changes)[name]))
            return 1;
    return 0;
}

/* The caller's environment with "K=V" set and "K" removed; NULL without memory. */
char **changed_environment(char **changes)
{
    size_t count = 1;
    for (char **variable = environ; *variable; variable++)
        count++;
    for (char **change = changes; *change; change++)
        count++;
    char **changed = malloc(count * sizeof *changed), **at = changed;
    if (!changed)
        return NULL;
    for (char **variable = environ; *variable; variable++)
        if (!is_changed(*variable, changes))
            *at++ = *variable;
    for (char **change = changes; *change; change++)
        if (strchr(*change, '='))
            *at++ = *change;
    *at = NULL;
    return changed;
}
