/* Stand-ins for compilers that are not installed here: Diab's dcc, TASKING's cctc and ctc, NVIDIA's nvc++.
 * Each has the documented command line (docs/compilers/), answers the probe with its predefined macro, reads a settings file beside itself and
 * its variables, may ask a licence server, and has gcc behind it.  It is none of those compilers, and says so with --stand-in. */
#include <arpa/inet.h>
#include <libgen.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 4000 };
static const char *words[MOST], *command[MOST];
static int count, length;
static char *source, *others[MOST], *output, *depfile, *target;
static int more, wants_dependencies, is_assembly, compiles, preprocesses, keeps_assembly, informs;

static char *joined(const char *a, const char *b) {
    char *text = malloc(strlen(a) + strlen(b) + 1);
    return strcat(strcpy(text, a), b);
}

static void say(const char *word) { command[length++] = word; }

/* The value of an option that begins with `name`: the rest of the word, or the next one. */
static char *value(int *at, const char *name) {
    const char *rest = words[*at] + strlen(name);
    return (char *)(*rest || name[strlen(name) - 1] == '=' ? rest : words[++*at]);
}

static int is(int at, const char *name) { return strncmp(words[at], name, strlen(name)) == 0; }
static int equal(int at, const char *name) { return strcmp(words[at], name) == 0; }

static void take(char *text) {
    for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n"))
        words[count++] = word;
}

static char *content(const char *name) {
    FILE *file = fopen(name, "r");
    if (!file)
        return NULL;
    char *text = calloc(1, 65536);
    if (fread(text, 1, 65535, file) == 0)
        text[0] = 0;
    fclose(file);
    return text;
}

static void take_file(const char *name) {
    char *text = getenv(name) ? strdup(getenv(name)) : content(name);
    if (!text) {
        fprintf(stderr, "cannot read option file %s\n", name);
        exit(1);
    }
    take(text);
}

/* Each returns whether it understood the word. */
static int is_diab(int *at) {
    if (is(*at, "-Xmake-dependency-savefile="))
        depfile = value(at, "-Xmake-dependency-savefile=");
    else if (is(*at, "-Xmake-dependency-target="))
        target = value(at, "-Xmake-dependency-target=");
    else if (is(*at, "-Xmake-dependency=4"))
        wants_dependencies = 1;
    else if (equal(*at, "-Xkeep-assembly-file=2"))
        keeps_assembly = 1;
    else if (is(*at, "-t"))
        say(joined("-DTARGET=", value(at, "-t")));
    else if (equal(*at, "-XO"))
        say("-O2");
    else
        return is(*at, "-X");
    return 1;
}

static int is_tasking(int *at) {
    if (is(*at, "--dep-file=")) {
        depfile = value(at, "--dep-file=");
        wants_dependencies = 1;
    } else if (equal(*at, "-cs"))
        is_assembly = compiles = 1;
    else if (equal(*at, "-co"))
        compiles = 1;
    else if (is(*at, "--define="))
        say(joined("-D", value(at, "--define=")));
    else if (is(*at, "--output="))
        output = value(at, "--output=");
    else if (is(*at, "-C"))
        say(joined("-DTARGET=", value(at, "-C")));
    else
        return is(*at, "--") || is(*at, "-Wc-") || is(*at, "-Y") || is(*at, "-N");
    return 1;
}

static int is_nvidia(int *at) {
    if (equal(*at, "-MD"))
        wants_dependencies = 1;
    else if (equal(*at, "-MF"))
        depfile = value(at, "-MF");
    else if (equal(*at, "-MT"))
        target = value(at, "-MT");
    else if (is(*at, "-Minfo"))
        informs = 1;
    else if (is(*at, "-gpu="))
        say(joined("-DTARGET=", value(at, "-gpu=")));
    else
        return is(*at, "-acc") || is(*at, "-tp=") || is(*at, "-stdpar");
    return 1;
}

static void understand(int at, int (*own)(int *)) {
    for (; at < count; at++) {
        if (own(&at))
            continue;
        if (equal(at, "-E"))
            preprocesses = 1;
        else if (equal(at, "-c"))
            compiles = 1;
        else if (equal(at, "-S"))
            is_assembly = compiles = 1;
        else if (is(at, "-o"))
            output = value(&at, "-o");
        else if (equal(at, "-x")) {
            say(words[at++]);
            say(words[at]);
        }
        else if (words[at][0] == '-')
            say(words[at]);
        else if (source)
            others[more++] = (char *)words[at];
        else
            source = (char *)words[at];
    }
}

static int run(const char *stop, const char *made) {
    int before = length;
    say(stop);
    if (made) {
        say("-o");
        say(made);
    }
    command[length] = NULL;
    pid_t child = fork();
    if (child == 0) {
        execvp("gcc", (char **)command);
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    length = before;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* The licence server's answer does not matter: a floating licence is asked for before each compile. */
static void ask_licence(const char *variable) {
    const char *port = getenv(variable);
    if (!port)
        return;
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&server, sizeof server) != 0)
        fprintf(stderr, "no licence server\n");
    close(connection);
}

static char *with_suffix(const char *path, const char *suffix) {
    char *text = joined(path, "        ");
    char *dot = strrchr(text, '.');
    strcpy(dot ? dot : text + strlen(path), suffix);
    return text;
}

/* TASKING writes its command line into the assembly. */
static void invocation(int argc, char **argv) {
    FILE *file = fopen(output, "a");
    fprintf(file, "; .compiler_invocation");
    for (int i = 1; i < argc; i++)
        fprintf(file, " %s", argv[i]);
    fprintf(file, "\n");
    fclose(file);
}

/* One source; the words for it are taken back. */
static int compile(void) {
    int before = length, status = 0;
    say(source);
    if (keeps_assembly)
        status = run("-S", with_suffix(output, ".s"));
    if (wants_dependencies) {
        say("-MD");
        say("-MF");
        say(depfile ? depfile : with_suffix(output, ".d"));
        say("-MT");
        say(target ? target : output);
    }
    if (informs)
        fprintf(stderr, "%s:\n      1, nothing to parallelise (stand-in)\n", source);
    status = status ? status : run(!compiles ? "-v" : is_assembly ? "-S" : "-c", output);
    length = before;
    return status;
}

int main(int argc, char **argv) {
    char *name = basename(strdup(argv[0])), here[4096] = {0};
    if (argc > 1 && strcmp(argv[1], "--stand-in") == 0)
        return printf("a stand-in for %s, with gcc behind it\n", name) < 0;
    int diab = strcmp(name, "dcc") == 0, nvidia = strncmp(name, "nvc", 3) == 0;
    int (*own)(int *) = diab ? is_diab : nvidia ? is_nvidia : is_tasking;
    const char *macro = diab ? "-D__DCC__" : nvidia ? "-D__NVCOMPILER" : "-D__TASKING__";
    say("gcc");
    say(macro);
    if (!nvidia)
        say("-U__GNUC__");
    if (!nvidia && !diab)
        say("-D__CTC__"); /* TriCore's, beside what all their compilers define */
    if (readlink("/proc/self/exe", here, sizeof here - 1) < 0)
        return 1;
    char *settings = content(joined(dirname(here), "/settings")); /* dtools.conf, processors.xml, localrc */
    if (settings)
        take(settings);
    if (diab && getenv("DFLAGS"))
        take(strdup(getenv("DFLAGS")));
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '@' || (diab && strncmp(argv[i], "-@", 2) == 0))
            take_file(strchr(argv[i], '@') + 1);
        else if (!diab && !nvidia && strcmp(argv[i], "-f") == 0)
            take_file(argv[++i]);
        else
            words[count++] = argv[i];
    }
    if (strcmp(name, "ctc") == 0)
        is_assembly = compiles = 1;
    understand(0, own);
    if (!source) {
        fprintf(stderr, "%s: no source\n", name);
        return 1;
    }
    if (preprocesses) {
        say(source);
        return run("-E", NULL);
    }
    if (output && more) {
        fprintf(stderr, "%s: one output for several sources\n", name);
        return 1;
    }
    ask_licence(diab ? "WRSD_LICENSE_FILE" : "TSK_LICENSE_SERVER");
    const char *given = output, *suffix = !is_assembly ? ".o" : diab || nvidia ? ".s" : ".src";
    int status = 0;
    others[more] = source;
    for (int i = 0; status == 0 && i <= more; i++) {
        source = others[(i + more) % (more + 1)];
        output = given ? (char *)given : with_suffix(basename(strdup(source)), suffix);
        status = compile();
        if (status == 0 && is_assembly && !diab && !nvidia)
            invocation(argc, argv);
    }
    return status;
}
