/* What a child's stderr goes through on its way to us: a terminal of our own in place of the caller's (the compiler asks its stderr
 * whether and how wide it is, and colours, links and cuts its messages accordingly), or a pipe.  Also what our own streams are.  Knows
 * no message. */
#include "launcher.h"

#include <sys/ioctl.h>
#ifdef __linux__
#include <sys/syscall.h>
#else
#include <termios.h>
#endif

static int control(int fd, unsigned long request, void *value)
{
#ifdef __linux__
    return (int)syscall(SYS_ioctl, fd, request, value); /* launcher_x86_64.c has no ioctl */
#else
    return ioctl(fd, request, value);
#endif
}

static int is_null_device(const struct stat *facts)
{
#ifdef __linux__
    return facts->st_rdev == 0x103; /* 1:3 since 1991 */
#else
    struct stat null;
    return stat("/dev/null", &null) == 0 && facts->st_rdev == null.st_rdev;
#endif
}

/* 1: a terminal; 8: nothing can be read there (/dev/null, an empty file, closed); else 0.  Asks no more than isatty where it is none. */
int stdin_kind(void)
{
    struct stat facts;
    if (fstat(0, &facts) != 0)
        return 8;
    if (S_ISREG(facts.st_mode))
        return facts.st_size == 0 ? 8 : 0;
    if (!S_ISCHR(facts.st_mode))
        return 0;
    return is_null_device(&facts) ? 8 : isatty(0);
}

/* Columns of the terminal that a compiler would ask (gcc asks stdin, others stderr, which is one); 0: unknown. */
int terminal_columns(void)
{
    struct winsize size = {0, 0, 0, 0};
    if (control(0, TIOCGWINSZ, &size) != 0 && control(2, TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col;
}

#ifdef __linux__

static int open_other_end(int ours)
{
    long how = O_RDWR | O_NOCTTY | O_CLOEXEC;
    int fd = (int)syscall(SYS_ioctl, ours, TIOCGPTPEER, how), number;
    if (fd >= 0 || control(ours, TIOCGPTN, &number) != 0)
        return fd;
    char path[32] = "/dev/pts/", digits[12], *at = path + strlen(path), *digit = digits; /* before Linux 4.13 */
    do
        *digit++ = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (digit > digits)
        *at++ = *--digit;
    *at = 0;
    return open(path, (int)how);
}

/* Only system calls: glibc's functions for this need its locale and its tables of terminals. */
static int open_pair(struct channel *t)
{
    int locked = 0, settings[64]; /* the kernel's struct termios begins with input, output, control, local modes */
    t->ours = above_stdio(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (t->ours < 0 || control(t->ours, TIOCSPTLCK, &locked) != 0)
        return 0;
    t->theirs = above_stdio(open_other_end(t->ours));
    if (t->theirs < 0 || control(t->theirs, 0x5401 /* TCGETS */, settings) != 0)
        return 0;
    settings[1] &= ~1; /* OPOST: a line ends as the compiler ended it */
    return control(t->theirs, 0x5402 /* TCSETS */, settings) == 0;
}

#else

static int open_pair(struct channel *t)
{
    struct termios settings;
    t->ours = above_stdio(posix_openpt(O_RDWR | O_NOCTTY));
    if (t->ours < 0 || grantpt(t->ours) != 0 || unlockpt(t->ours) != 0)
        return 0;
    t->theirs = above_stdio(open(ptsname(t->ours), O_RDWR | O_NOCTTY));
    if (t->theirs < 0 || tcgetattr(t->theirs, &settings) != 0)
        return 0;
    settings.c_oflag &= ~(tcflag_t)OPOST;
    return tcsetattr(t->theirs, TCSANOW, &settings) == 0;
}

#endif

/* Make a terminal that looks like the caller's.  0: there are none to be had. */
int open_terminal(struct channel *t)
{
    struct winsize size;
    *t = (struct channel){-1, -1};
    if (!open_pair(t)) {
        close_channel(t);
        return 0;
    }
    fcntl(t->ours, F_SETFD, FD_CLOEXEC);
    fcntl(t->theirs, F_SETFD, FD_CLOEXEC);
    fcntl(t->ours, F_SETFL, O_NONBLOCK);
    if (control(2, TIOCGWINSZ, &size) == 0)
        control(t->ours, TIOCSWINSZ, &size);
    return 1;
}

/* A pipe instead, for what is to be passed on while it is written. */
int open_stream(struct channel *t)
{
    int ends[2];
    *t = (struct channel){-1, -1};
    if (pipe(ends) != 0)
        return 0;
    *t = (struct channel){above_stdio(ends[0]), above_stdio(ends[1])};
    if (t->ours < 0 || t->theirs < 0) {
        close_channel(t);
        return 0;
    }
    fcntl(t->ours, F_SETFD, FD_CLOEXEC);
    fcntl(t->theirs, F_SETFD, FD_CLOEXEC);
    fcntl(t->ours, F_SETFL, O_NONBLOCK); /* not theirs: a compiler does not expect that */
    return 1;
}

void close_channel(struct channel *t)
{
    if (t->theirs >= 0)
        close(t->theirs);
    if (t->ours >= 0)
        close(t->ours);
    *t = (struct channel){-1, -1};
}
