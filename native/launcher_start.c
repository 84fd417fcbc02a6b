/* Start a daemon: one launcher of many does it, the others wait.  Every wait has an end; failing is remembered for a while. */
#include "launcher.h"

#include <sys/file.h>
#include <sys/resource.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <sys/wait.h>
#include <time.h>

enum { START_MS = 30000, LOCK_MS = 35000, POLL_MS = 10, FAILED_COUNTS_S = 10 };

static void path_beside(char *path, size_t size, const char *suffix)
{
    join(path, size, PARTS(our_address()->base, suffix));
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* Stamps are empty files whose age counts; they tell other launchers what this one has met. */
int is_stamped(const char *suffix, int for_s)
{
    char path[160];
    struct stat facts;
    path_beside(path, sizeof path, suffix);
    if (lstat(path, &facts) != 0)
        return 0;
    time_t age = time(NULL) - facts.st_mtime;
    return age > -for_s && age < for_s;
}

void stamp(const char *suffix)
{
    char path[160];
    path_beside(path, sizeof path, suffix);
    int fd = is_private_dir(our_address()->runtime_dir) ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (fd >= 0) {
        write_all(fd, "\n", 1); /* or the time of an empty file might stay */
        close(fd);
    }
}

void unstamp(const char *suffix)
{
    char path[160];
    path_beside(path, sizeof path, suffix);
    unlink(path);
}

static int failed_just_now(void)
{
    return is_stamped(".failed", FAILED_COUNTS_S);
}

static int lock_start(void)
{
    char path[160];
    path_beside(path, sizeof path, ".lock");
    int fd = above_stdio(open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    for (int waited = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; waited += POLL_MS) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || waited >= LOCK_MS) {
            close(fd);
            return -1;
        }
        pause_ms(POLL_MS);
    }
    return fd;
}

/* A daemon outlives this build step: it must hold none of its pipes, locks and jobserver descriptors. */
static void close_foreign(void)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 3u, ~0u, 0) == 0)
        return;
#endif
    struct rlimit limit;
    int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1 << 16 ? (int)limit.rlim_cur : 1 << 16;
    for (int fd = 3; fd < end; fd++)
        close(fd);
}

static int run_start_command(const char *python)
{
    pid_t child = fork();
    if (child == 0) {
        setsid(); /* Ctrl-C stops this build, not the daemon that others will use */
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            if (null != fd)
                dup2(null, fd);
        close_foreign();
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGCHLD, SIG_DFL);
        char *argv[] = {"sccache-python", "cli", "--start-server-for-compile", NULL};
        execute(python, argv, python_environment());
        _exit(127);
    }
    int status = 0;
    pid_t gone = 0;
    for (int waited = 0; child > 0 && waited < START_MS; waited += POLL_MS) {
        gone = waitpid(child, &status, WNOHANG);
        if (gone == child)
            return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (gone < 0 && errno != EINTR)
            return 1; /* the caller ignores SIGCHLD: the child is gone, how it ended is unknown */
        pause_ms(POLL_MS);
    }
    if (child > 0) {
        kill(-child, SIGKILL);
        waitpid(child, &status, 0);
    }
    return 0;
}

/* A connection to a daemon that we or another launcher started, or something negative. */
int start_daemon(void)
{
    const struct address *a = our_address();
    if ((mkdir(a->runtime_dir, 0700) != 0 && errno != EEXIST) || !is_private_dir(a->runtime_dir) || failed_just_now())
        return UNUSABLE_DAEMON;
    int lock = lock_start();
    if (lock < 0)
        return UNUSABLE_DAEMON;
    int fd = connect_daemon();
    if (fd == NO_DAEMON && !failed_just_now()) {
        const char *python = python_beside_us();
        int started = python && run_start_command(python);
        fd = connect_daemon();
        if (fd < 0 || !started)
            stamp(".failed");
    }
    close(lock);
    return fd;
}
