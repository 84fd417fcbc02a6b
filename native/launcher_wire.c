/* Bytes: the connection, whole frames, fields (docs/formats/wire.md).  Decides nothing. */
#include "launcher.h"

#include <sys/time.h>

#ifndef VERSION_TEXT
#define VERSION_TEXT "unknown"
#endif

enum { SILENT_AFTER_MS = 15000, SILENT_COUNTS_S = 60, COMPILE_HEADER = 41, RAN_HEADER = 17, BUFFER = 64 << 10 };

int deadline_ms(void)
{
    int ms = number_in(getenv("SCCACHE_LAUNCHER_DEADLINE_MS"));
    return ms > 0 ? ms : SILENT_AFTER_MS;
}

/* A daemon that was silent to another launcher a moment ago gets less time for its first word: a build of a thousand files
 * must not wait for a hung daemon a thousand times. */
int is_patience_short(void)
{
    static int is_short = -1;
    if (is_short < 0)
        is_short = is_stamped(".silent", SILENT_COUNTS_S);
    return is_short;
}

void set_patience(int fd, int ms)
{
    struct timeval limit = {ms / 1000, ms % 1000 * 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

/* A caller may have closed its standard streams; our own files must not take their numbers. */
int above_stdio(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return higher;
}

int open_connection(struct connection *c, int fd)
{
    static char first[BUFFER];
    *c = (struct connection){.fd = fd, .buffer = first, .capacity = sizeof first};
    return fd >= 0;
}

static char *put_number(char *at, uint64_t value, int bytes)
{
    while (bytes--)
        *at++ = (char)(value >> 8 * bytes);
    return at;
}

static int send_all(struct connection *c, const char *data, size_t size)
{
    while (size) {
        ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return 0;
        data += sent;
        size -= (size_t)sent;
    }
    return 1;
}

static size_t list_size(char **list)
{
    size_t size = 0;
    while (*list)
        size += strlen(*list++) + 1;
    return size;
}

static char *put_list(char *at, char **list)
{
    while (*list)
        at = stpcpy(at, *list++) + 1;
    return at;
}

struct frame compile_frame(const struct command *command)
{
    struct frame none = {NULL, 0};
    char *cwd = getcwd(NULL, 0);
    if (!cwd || cwd[0] != '/')
        return none;
    struct stat namespace;
    uint64_t mounts = stat("/proc/self/ns/mnt", &namespace) == 0 ? namespace.st_ino : 0;
    int terminals = stdin_kind() | isatty(1) * 2 | isatty(2) * 4;
    if (terminals & 4)
        terminals |= (terminal_columns() & 0xfff) << 4;
    mode_t mask = umask(0);
    umask(mask);
    size_t sizes[6] = {strlen(VERSION_TEXT), 0, strlen(command->executable), strlen(cwd), list_size(command->argv), list_size(environ)};
    size_t size = COMPILE_HEADER;
    for (int i = 0; i < 6; i++)
        size += sizes[i];
    char *frame = size <= MAX_FRAME ? malloc(size + 5) : NULL; /* stpcpy ends with a NUL of its own */
    if (!frame)
        return none;
    char *at = put_number(frame, size, 4);
    at = put_number(at, COMPILE, 1);
    at = put_number(at, PROTOCOL_VERSION, 2);
    at = put_number(at, (uint64_t)terminals, 2);
    at = put_number(at, mask, 4);
    at = put_number(at, mounts, 8);
    for (int i = 0; i < 6; i++)
        at = put_number(at, sizes[i], 4);
    at = stpcpy(stpcpy(stpcpy(at, VERSION_TEXT), command->executable), cwd);
    put_list(put_list(at, command->argv), environ);
    free(cwd);
    return (struct frame){frame, size + 4};
}

int send_frame(struct connection *c, struct frame frame)
{
    return frame.bytes && send_all(c, frame.bytes, frame.size);
}

/* Put a captured stream into a Ran: small ones as bytes, others as a descriptor. */
static char *put_stream(char *at, int captured, size_t size)
{
    if (captured < 0 || size > INLINE_STREAM)
        return put_number(at, 0, 4);
    ssize_t got = size ? pread(captured, at + 4, size, 0) : 0;
    put_number(at, got < 0 ? 0 : (uint64_t)got, 4);
    return at + 4 + (got < 0 ? 0 : got);
}

int send_ran(struct connection *c, const struct result *r)
{
    static char frame[4 + RAN_HEADER + 2 * (4 + INLINE_STREAM)];
    struct stat out = {0}, err = {0};
    if ((r->out >= 0 && fstat(r->out, &out) != 0) || (r->err >= 0 && fstat(r->err, &err) != 0))
        return 0;
    int fds[2], count = 0, flags = 0;
    if (out.st_size > INLINE_STREAM)
        fds[count++] = r->out, flags |= 1;
    if (err.st_size > INLINE_STREAM)
        fds[count++] = r->err, flags |= 2;
    char *at = put_number(frame + 4, RAN, 1);
    at = put_number(at, (uint32_t)r->status, 4);
    at = put_number(at, (uint64_t)flags, 4);
    at = put_number(at, r->duration_ns, 8);
    at = put_stream(at, r->out, (size_t)out.st_size);
    at = put_stream(at, r->err, (size_t)err.st_size);
    put_number(frame, (uint64_t)(at - frame - 4), 4);
    union {
        char bytes[CMSG_SPACE(sizeof fds)];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part = {frame, (size_t)(at - frame)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        memcpy(CMSG_DATA(rights), fds, sizeof(int) * (size_t)count);
    }
    ssize_t sent;
    do
        sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent > 0 && send_all(c, frame + sent, part.iov_len - (size_t)sent);
}

/* The next body if it is all there; 0 while it is not, -1 for nonsense. */
static int take_frame(struct connection *c, struct reader *body, size_t *missing)
{
    size_t there = c->end - c->start;
    *missing = 4;
    if (there < 4)
        return 0;
    struct reader length = {c->buffer + c->start, c->buffer + c->end, 0};
    size_t size = take_number(&length, 4);
    if (size == 0 || size > MAX_FRAME)
        return -1;
    *missing = size + 4;
    if (there < size + 4)
        return 0;
    *body = (struct reader){length.at, length.at + size, 0};
    c->start += size + 4;
    return 1;
}

static int make_room(struct connection *c, size_t needed)
{
    if (c->start) {
        memmove(c->buffer, c->buffer + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    if (needed <= c->capacity)
        return 1;
    char *larger = malloc(needed); /* the smaller one is left behind: it may be static, and we live for milliseconds */
    if (!larger)
        return 0;
    memcpy(larger, c->buffer, c->end);
    c->buffer = larger;
    c->capacity = needed;
    return 1;
}

static ssize_t fill(struct connection *c, int flags)
{
    ssize_t got;
    do
        got = recv(c->fd, c->buffer + c->end, c->capacity - c->end, flags);
    while (got < 0 && errno == EINTR);
    c->end += got > 0 ? (size_t)got : 0;
    return got;
}

/* Wait for the next frame; its body stays valid until the next call.  0: the daemon is lost (or silent for too long). */
int receive(struct connection *c, struct reader *body)
{
    for (;;) {
        size_t missing;
        int taken = take_frame(c, body, &missing);
        if (taken)
            return taken > 0;
        if (!make_room(c, missing))
            return 0;
        ssize_t got = fill(c, 0);
        c->silent = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        if (got <= 0)
            return 0;
    }
}

/* While our child runs the daemon may only say that it lives.  0: it is lost, or says anything else. */
int only_keep_alives(struct connection *c)
{
    struct reader body;
    size_t missing;
    int taken;
    if (!make_room(c, BUFFER))
        return 0;
    ssize_t got = fill(c, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
        return 0;
    while ((taken = take_frame(c, &body, &missing)) > 0)
        if (body.end - body.at != 1 || (unsigned char)*body.at != KEEP_ALIVE)
            return 0;
    return taken == 0 && missing <= 5;
}

uint32_t take_number(struct reader *r, int bytes)
{
    uint32_t value = 0;
    if (r->bad || r->end - r->at < bytes) {
        r->bad = 1;
        return 0;
    }
    while (bytes--)
        value = value << 8 | (unsigned char)*r->at++;
    return value;
}

char *take_blob(struct reader *r, size_t *size)
{
    *size = take_number(r, 4);
    if (r->bad || (size_t)(r->end - r->at) < *size) {
        r->bad = 1;
        *size = 0;
        return r->at;
    }
    r->at += *size;
    return r->at - *size;
}

/* A blob as a C string of its own. */
char *take_text(struct reader *r)
{
    size_t size;
    char *blob = take_blob(r, &size), *text = malloc(size + 1);
    if (!text || memchr(blob, 0, size)) {
        r->bad = 1;
        free(text);
        return NULL;
    }
    memcpy(text, blob, size);
    text[size] = 0;
    return text;
}

/* Pointers to a list's strings, ended by NULL; the strings stay in the body. */
char **take_list(struct reader *r)
{
    size_t size, count = 0;
    char *blob = take_blob(r, &size);
    if (size && blob[size - 1] != 0)
        r->bad = 1;
    if (r->bad)
        return NULL;
    for (size_t i = 0; i < size; i++)
        count += blob[i] == 0;
    char **list = malloc((count + 1) * sizeof *list);
    if (!list) {
        r->bad = 1;
        return NULL;
    }
    for (size_t i = 0; i < count; i++, blob += strlen(blob) + 1)
        list[i] = blob;
    list[count] = NULL;
    return list;
}
