/* The daemon's hands: runs what the daemon says, knows nothing of caching.  If the daemon is not there, dies, talks
 * nonsense or stays silent, the compiler runs all the same: nothing of that is an error for the user. */
#include "launcher.h"

enum outcome { LOST, RETIRED };

/* A daemon that asks for more goes round in circles.  A command of 200 sources may need three Runs for each. */
enum { MAX_RUNS = 1024 };

/* What must still be done when the daemon is lost. */
static struct {
    struct result compile; /* the compile itself has run: its result is the answer */
    struct result last;    /* what a replay repeats */
    char **scratch[MAX_RUNS];
    int scratch_count;
} so_far = {.compile = {.out = -1, .err = -1}, .last = {.out = -1, .err = -1}};

/* In one write, so that lines of many launchers do not mix. */
static void say(const char *const *parts)
{
    char line[8192];
    join(line, sizeof line, parts);
    write_all(2, line, strlen(line));
}

static void note(const char *what)
{
    const char *log = getenv("SCCACHE_LOG");
    if (log && *log)
        say(PARTS("sccache: note: ", what, "\n"));
}

static _Noreturn void fail(const char *what, const char *name, const char *why)
{
    say(PARTS("sccache: error: ", what, " `", name, "`", *why ? ": " : "", why, "\n"));
    _exit(EXIT_NO_COMPILER);
}

static void remove_scratch(void)
{
    for (int i = 0; i < so_far.scratch_count; i++)
        for (char **path = so_far.scratch[i]; *path; path++)
            unlink(*path);
}

static _Noreturn void replay(const struct result *r)
{
    write_captured(r->out, 0, 1);
    write_captured(r->err, r->err_shown, 2);
    exit_as(r->status);
}

/* What to run.  A compiler behind a link to us runs under its own path: gcc looks for cc1 beside what argv[0] names. */
static const char *path_for(const struct command *command, const char *executable, char **argv)
{
    if (*executable)
        return executable;
    int is_ours = *command->executable && strcmp(argv[0], command->argv[0]) == 0;
    const char *path = is_ours ? command->executable : find_program(argv[0]);
    if (path && (is_ours || found_behind_us))
        argv[0] = (char *)path;
    return path;
}

static _Noreturn void run_original(const struct command *command)
{
    const char *path = path_for(command, "", command->argv);
    if (!path)
        fail("cannot find the compiler", command->argv[0], "");
    execute(path, command->argv, environ);
    fail("cannot run the compiler", path, strerror(errno));
}

/* --- the daemon's messages -------------------------------------------------------------------------------------- */

static void finish(struct reader body)
{
    size_t out_size, err_size;
    int status = (int)take_number(&body, 4), is_replay = (int)take_number(&body, 1);
    char *out = take_blob(&body, &out_size), *err = take_blob(&body, &err_size);
    if (body.bad || body.at != body.end || is_replay > 1 || (is_replay && (out_size || err_size || !so_far.last.have)))
        return;
    if (is_replay && so_far.last.status == NOT_STARTED)
        return;
    if (is_replay)
        replay(&so_far.last);
    write_all(1, out, out_size);
    write_all(2, err, err_size);
    exit_as(status);
}

static void hand_over(struct reader body, const struct command *command)
{
    char *executable = take_text(&body), **argv = take_list(&body), **changes = take_list(&body);
    if (body.bad || body.at != body.end)
        return;
    char **envp = changed_environment(changes);
    argv = *argv ? argv : command->argv;
    const char *path = path_for(command, executable, argv);
    if (envp && path)
        execute(path, argv, envp);
}

static int run(struct reader body, const struct command *command, struct connection *c)
{
    size_t size = (size_t)(body.end - body.at);
    char *copy = malloc(size + 1); /* the connection's buffer is used again while the child runs */
    if (!copy)
        return 0;
    memcpy(copy, body.at, size);
    body = (struct reader){copy, copy + size, 0};
    int flags = (int)take_number(&body, 2);
    char *executable = take_text(&body), **argv = take_list(&body), **changes = take_list(&body), **scratch = take_list(&body);
    if (body.bad || body.at != body.end || !*argv || so_far.scratch_count == MAX_RUNS)
        return 0;
    so_far.scratch[so_far.scratch_count++] = scratch;
    char **envp = changed_environment(changes);
    if (so_far.last.have && so_far.last.out != so_far.compile.out && so_far.last.out >= 0)
        close(so_far.last.out);
    if (so_far.last.have && so_far.last.err != so_far.compile.err && so_far.last.err >= 0)
        close(so_far.last.err);
    int ran = envp ? run_child(c, flags, path_for(command, executable, argv), argv, envp, &so_far.last) : 0;
    if (ran < 0) {
        remove_scratch();
        exit_as(ran);
    }
    if (ran && (flags & IS_COMPILE) && so_far.last.status != NOT_STARTED)
        so_far.compile = so_far.last;
    return ran && !c->lost && send_ran(c, &so_far.last);
}

static enum outcome converse(const struct command *command, struct frame request, int fd)
{
    struct connection c;
    struct reader body;
    int is_first = 1;
    if (!open_connection(&c, fd) || !send_frame(&c, request))
        return LOST;
    while (receive(&c, &body)) {
        if (is_first && is_patience_short()) {
            unstamp(".silent");
            set_patience(fd, deadline_ms());
        }
        is_first = 0;
        switch (take_number(&body, 1)) {
        case KEEP_ALIVE:
            continue;
        case RETIRE:
            close(fd);
            return so_far.last.have ? LOST : RETIRED;
        case FINISH:
            finish(body);
            return LOST; /* it was malformed, else we would not be here */
        case EXEC:
            hand_over(body, command);
            return LOST;
        case RUN:
            if (run(body, command, &c))
                continue;
            return LOST;
        default:
            return LOST;
        }
    }
    if (c.silent)
        stamp(".silent");
    return LOST;
}

static _Noreturn void compile(const struct command *command)
{
    struct frame request = compile_frame(command); /* before we connect: who is awake for us wants to read it */
    int fd = connect_daemon();
    if (fd == NO_DAEMON)
        fd = start_daemon();
    if (fd >= 0 && converse(command, request, fd) == RETIRED && (fd = start_daemon()) >= 0)
        converse(command, request, fd);
    note(fd < 0 ? "no daemon can be reached; the compiler runs uncached" : "the daemon is lost; the compiler's own result counts");
    remove_scratch();
    if (so_far.compile.have)
        replay(&so_far.compile);
    run_original(command);
}

/* --- which command is this --------------------------------------------------------------------------------------- */

static _Noreturn void run_python(const char *role, char **arguments)
{
    const char *python = python_beside_us();
    size_t count = 0;
    while (arguments[count])
        count++;
    char **argv = malloc((count + 3) * sizeof *argv);
    if (!python || !argv)
        fail("cannot find sccache-python beside", own_path(), "reinstall pysccache");
    argv[0] = "sccache-python";
    argv[1] = (char *)role;
    memcpy(argv + 2, arguments, (count + 1) * sizeof *argv);
    execute(python, argv, python_environment());
    fail("cannot run", python, strerror(errno));
}

static int has_stem(const char *path, const char *stem)
{
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    const char *dot = strrchr(name, '.');
    size_t size = dot && dot != name ? (size_t)(dot - name) : strlen(name);
    if (size != strlen(stem))
        return 0;
    for (size_t i = 0; i < size; i++)
        if (name[i] != stem[i] && (name[i] < 'A' || name[i] > 'Z' || name[i] + 32 != stem[i]))
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    char *no_arguments[] = {NULL};
    char **rest = argc > 0 ? argv + 1 : no_arguments;
    const char *called = argc > 0 && argv[0][0] ? argv[0] : own_path();
    const char *start = getenv("SCCACHE_START_SERVER");
    if (has_stem(called, "sccache-dist"))
        run_python("dist", rest);
    if (start && strcmp(start, "1") == 0)
        run_python("cli", rest);
    if (has_stem(called, "sccache")) {
        if (!rest[0] || rest[0][0] == '-')
            run_python("cli", rest);
        compile(&(struct command){.argv = rest, .executable = ""});
    }
    const char *slash = strrchr(called, '/');
    const char *compiler = find_program(slash ? slash + 1 : called);
    if (!compiler)
        fail("cannot find the compiler", called, "only sccache itself has that name on PATH");
    compile(&(struct command){.argv = argv, .executable = compiler});
}
