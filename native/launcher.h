/* What the parts of the native launcher share.  Its Python twin is src/sccache/launcher.py; both pass tests/launcher.
 *
 * launcher.c          which command this is; the conversation with the daemon; what happens when the daemon is lost
 * launcher_wire.c     bytes: the connection, whole frames, fields (docs/formats/wire.md)
 * launcher_address.c  names: socket, lock, runtime directory (protocol/address.py)
 * launcher_start.c    starting a daemon, once for many launchers
 * launcher_run.c      the compiler as our child: streams, signals, its result
 * launcher_terminal.c what a child's stderr goes through on its way: a terminal of our own, or a pipe
 * launcher_find.c     programs: the compiler on PATH, the Python beside us
 * launcher_x86_64.c   in place of libc, on Linux, for a start in a tenth of the time
 */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#define _GNU_SOURCE
#define _DARWIN_C_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: SO_NOSIGPIPE is set instead */
#endif

extern char **environ;

enum { PROTOCOL_VERSION = 2, MAX_FRAME = 1 << 30, INLINE_STREAM = 64 << 10 };
enum { COMPILE = 0x01, RAN = 0x02, FINISH = 0x81, EXEC = 0x82, RUN = 0x83, KEEP_ALIVE = 0x84, RETIRE = 0x85 };
enum { CAPTURE_STDOUT = 1, CAPTURE_STDERR = 2, NO_STDIN = 4, IS_COMPILE = 8, ON_TERMINAL = 16, STREAM_STDERR = 32 };
enum { NOT_STARTED = -1000, EXIT_NO_COMPILER = 2 };
enum { NO_DAEMON = -1, UNUSABLE_DAEMON = -2 };

/* Fields taken off a received body; `bad` once anything did not fit. */
struct reader {
    char *at, *end;
    int bad;
};

struct frame {
    char *bytes; /* NULL: it cannot be said */
    size_t size;
};

struct connection {
    int fd, lost, silent;
    char *buffer;
    size_t start, end, capacity;
};

/* A finished child: its status as in Ran, and its streams in unlinked files (-1: not captured). */
struct result {
    int have, status, out, err;
    off_t err_size, err_shown; /* bytes of stderr that came through a channel; that our caller has already */
    int nobody_reads;          /* our own stderr takes no more */
    uint64_t duration_ns;
};

/* Both ends of what a child's stderr goes through, a terminal of our own or a pipe; -1: none. */
struct channel {
    int ours, theirs;
};

/* Exactly what the caller asked for. */
struct command {
    char **argv;
    const char *executable; /* resolved when masquerading, else "" */
};

struct address {
    char runtime_dir[64], base[128];
    char socket_name[108];
    size_t socket_size; /* bytes of socket_name that count; 0: unusable */
    int in_runtime_dir;
};

/* launcher_wire.c */
int deadline_ms(void);
int is_patience_short(void);
void set_patience(int fd, int ms);
int above_stdio(int fd);
void close_later(int fd);
int open_connection(struct connection *c, int fd);
struct frame compile_frame(const struct command *command);
int send_frame(struct connection *c, struct frame frame);
int send_ran(struct connection *c, const struct result *r);
int receive(struct connection *c, struct reader *body);
int only_keep_alives(struct connection *c);
uint32_t take_number(struct reader *r, int bytes);
char *take_blob(struct reader *r, size_t *size);
char *take_text(struct reader *r);
char **take_list(struct reader *r);

/* launcher_address.c */
const struct address *our_address(void);
int is_private_dir(const char *path);
int connect_daemon(void);

/* launcher_start.c */
int is_stamped(const char *suffix, int for_s);
void stamp(const char *suffix);
void unstamp(const char *suffix);
int start_daemon(void);

/* launcher_run.c */
int write_all(int fd, const char *data, size_t size);
void write_captured(int captured, off_t from, int fd);
_Noreturn void exit_as(int status);
int run_child(struct connection *c, int flags, const char *path, char **argv, char **envp, struct result *result);
char **changed_environment(char **changes);

/* launcher_terminal.c */
int stdin_kind(void);
int terminal_columns(void);
int open_terminal(struct channel *t);
int open_stream(struct channel *t);
void close_channel(struct channel *t);

/* launcher_find.c */
int number_in(const char *text);
#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})
char *join(char *to, size_t room, const char *const *parts);
const char *own_path(void);
extern int found_behind_us;
const char *find_program(const char *name);
int execute(const char *path, char **argv, char **envp);
const char *python_beside_us(void);
char **python_environment(void);

#endif
