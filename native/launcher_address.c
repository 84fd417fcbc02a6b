/* Names: socket, lock, runtime directory; the same as protocol/address.py computes.  Whom we may trust there. */
#include "launcher.h"

#include <stddef.h>
#include <sys/un.h>

enum { DEFAULT_PORT = 4226 };

static int parse_port(const char *text)
{
    int port = number_in(text);
    return port > 0 && port < 1 << 16 && strlen(text) <= 5 ? port : DEFAULT_PORT;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *found = c ? strchr(digits, c | ('A' <= c && c <= 'F' ? 32 : 0)) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* Undo the escapes of an abstract name into `out`; its size, or 0 when it is malformed (then the port counts). */
static size_t unescape(const char *in, char *out, size_t room)
{
    static const char names[] = "nrt'\"\\", values[] = "\n\r\t'\"\\";
    size_t size = 0;
    out[size++] = 0; /* what makes it abstract */
    while (*in) {
        char c = *in++;
        if (c == '\\') {
            char escape = *in ? *in++ : 0;
            const char *simple = escape ? strchr(names, escape) : NULL;
            if (escape == 'x') {
                int high = hex_digit(in[0]), low = high < 0 ? -1 : hex_digit(in[1]);
                if (low < 0)
                    return 0;
                c = (char)(high << 4 | low);
                in += 2;
            } else if (simple) {
                c = values[simple - names];
            } else {
                return 0;
            }
        }
        if (size == room)
            return room + 1;
        out[size++] = c;
    }
    return size;
}

static uint64_t fnv1a(const char *data, size_t size)
{
    uint64_t value = 0xCBF29CE484222325u;
    for (size_t i = 0; i < size; i++)
        value = (value ^ (unsigned char)data[i]) * 0x100000001B3u;
    return value;
}

/* Digits of `value`, at least `width` of them. */
static const char *digits_of(uint64_t value, unsigned base, int width, char *end)
{
    *--end = 0;
    for (; value || width > 0; value /= base, width--)
        *--end = "0123456789abcdef"[value % base];
    return end;
}

const struct address *our_address(void)
{
    static struct address a;
    if (a.runtime_dir[0])
        return &a;
    const char *uds = getenv("SCCACHE_SERVER_UDS");
    int port = parse_port(getenv("SCCACHE_SERVER_PORT"));
    char digits[24], *end = digits + sizeof digits;
    join(a.runtime_dir, sizeof a.runtime_dir, PARTS("/tmp/sccache-", digits_of(getuid(), 10, 1, end)));
    if (uds && strncmp(uds, "\\x00", 4) == 0) {
        a.socket_size = unescape(uds + 4, a.socket_name, sizeof a.socket_name);
    } else if (uds && *uds) {
        a.socket_size = strlen(uds);
        if (a.socket_size < sizeof a.socket_name)
            memcpy(a.socket_name, uds, a.socket_size);
        else
            a.socket_size = sizeof a.socket_name + 1;
    }
    if (a.socket_size > sizeof a.socket_name) {
        a.socket_size = 0; /* no such socket can exist */
    } else if (a.socket_size) {
        uint64_t name = fnv1a(a.socket_name, a.socket_size);
        join(a.base, sizeof a.base, PARTS(a.runtime_dir, "/uds-", digits_of(name, 16, 16, end)));
    } else {
        a.in_runtime_dir = 1;
        join(a.base, sizeof a.base, PARTS(a.runtime_dir, "/", digits_of((uint64_t)port, 10, 1, end)));
        a.socket_size = strlen(join(a.socket_name, sizeof a.socket_name, PARTS(a.base, ".sock")));
    }
    return &a;
}

int is_private_dir(const char *path)
{
    struct stat facts;
    return lstat(path, &facts) == 0 && S_ISDIR(facts.st_mode) && facts.st_uid == geteuid() && !(facts.st_mode & 077);
}

static int is_same_user(int fd)
{
#ifdef SO_PEERCRED
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
#else
    uid_t uid;
    gid_t gid;
    return getpeereid(fd, &uid, &gid) == 0 && uid == geteuid();
#endif
}

/* A connected socket with deadlines on it, or NO_DAEMON, or UNUSABLE_DAEMON. */
int connect_daemon(void)
{
    const struct address *a = our_address();
    struct stat facts;
    if (!a->socket_size)
        return UNUSABLE_DAEMON;
    if (a->in_runtime_dir && !is_private_dir(a->runtime_dir))
        return lstat(a->runtime_dir, &facts) == 0 ? UNUSABLE_DAEMON : NO_DAEMON;
#ifdef SOCK_CLOEXEC
    int fd = above_stdio(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
#else
    int fd = above_stdio(socket(AF_UNIX, SOCK_STREAM, 0));
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
    if (fd < 0)
        return UNUSABLE_DAEMON;
    set_patience(fd, is_patience_short() ? deadline_ms() / 15 : deadline_ms());
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, a->socket_name, a->socket_size);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + a->socket_size + (a->socket_name[0] ? 1 : 0));
    int failed;
    do
        failed = connect(fd, (struct sockaddr *)&to, size > sizeof to ? sizeof to : size);
    while (failed && errno == EINTR);
    if (!failed && is_same_user(fd))
        return fd;
    int absent = failed && (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR);
    close(fd);
    return absent ? NO_DAEMON : UNUSABLE_DAEMON;
}
