/* A stand-in for Microsoft's cl, which runs on Windows alone: it says that it is one.  Written from Microsoft's documentation of cl's options.
 *
 * gcc's preprocessor reads the headers.  The "object" is a COFF header, the object's own absolute path (cl writes it, too), and the
 * preprocessed text.  Like cl it prints the source's name first, all messages on standard output, notes of /showIncludes with one blank
 * more for each level in the language of VSLANG, JSON for /sourceDependencies, and it continues a program database that is there.
 * Words come from CL, the command line with its @files, and _CL_.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 512 };

static char *words[MOST], *sources[MOST], *gcc[MOST];
static int n_words, n_sources, n_gcc;
static const char *object, *database, *listing, *json;
static int compiles, preprocesses, notes, debug, several_processes;
static char work[PATH_MAX];

static void fail(const char *what)
{
    printf("cl : Command line error D8000 : stand-in: %s\n", what);
    exit(2);
}

static char *slurp(const char *path, long *size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *text = calloc(1, 1 << 22);
    *size = (long)fread(text, 1, (1 << 22) - 1, file);
    fclose(file);
    return text;
}

static void add(char *word)
{
    if (n_words + 1 >= MOST)
        fail("too many words");
    words[n_words++] = word;
}

/* Words apart by blanks; quotes keep them together, and \" is a quote. */
static void split(const char *text, int is_variable)
{
    while (*text) {
        char *word = calloc(1, strlen(text) + 1), *end = word;
        int quoted = 0;
        text += strspn(text, " \t\r\n");
        if (!*text)
            return;
        for (; *text && (quoted || !strchr(" \t\r\n", *text)); text++) {
            if (text[0] == '\\' && text[1] == '"')
                *end++ = *++text;
            else if (*text == '"')
                quoted = !quoted;
            else
                *end++ = is_variable && *text == '#' ? '=' : *text;
        }
        add(word);
    }
}

static void response_file(const char *path)
{
    long size = 0;
    char *text = slurp(path, &size);
    if (!text)
        fail("cannot open a response file");
    if ((unsigned char)text[0] == 0xff && (unsigned char)text[1] == 0xfe) {
        long at = 0;
        for (long from = 2; from + 1 < size; from += 2)
            text[at++] = text[from];
        text[at] = 0;
    }
    split((unsigned char)text[0] == 0xef ? text + 3 : text, 0);
}

static const char *after(const char *word, const char *name)
{
    return (word[0] == '/' || word[0] == '-') && !strncmp(word + 1, name, strlen(name)) ? word + 1 + strlen(name) : NULL;
}

static void pass(const char *option, const char *value)
{
    char *joined = NULL;
    if (asprintf(&joined, "%s%s", option, value) < 0)
        exit(2);
    gcc[n_gcc++] = joined;
}

static const char *value_of(const char *joined, int *at)
{
    joined += *joined == ':';
    return *joined ? joined : words[++*at];
}

static void understand(void)
{
    for (int at = 0; at < n_words; at++) {
        const char *word = words[at], *value;
        if (word[0] != '/' && word[0] != '-')
            sources[n_sources++] = words[at];
        else if ((value = after(word, "showIncludes")))
            notes = 1;
        else if ((value = after(word, "sourceDependencies")))
            json = value_of(value, &at);
        else if ((value = after(word, "FI")))
            pass("-include", ""), pass(value_of(value, &at), "");
        else if ((value = after(word, "Fo")))
            object = value_of(value, &at);
        else if ((value = after(word, "Fd")))
            database = value_of(value, &at);
        else if ((value = after(word, "FA")) || (value = after(word, "Fa")))
            listing = *value && word[2] == 'a' ? value : "";
        else if (after(word, "Zi"))
            debug = 1;
        else if (after(word, "MP"))
            several_processes = 1;
        else if ((value = after(word, "I")))
            pass("-I", value_of(value, &at));
        else if ((value = after(word, "D")))
            pass("-D", value_of(value, &at));
        else if (!strcmp(word + 1, "c"))
            compiles = 1;
        else if (!strcmp(word + 1, "E"))
            preprocesses = 1;
        else if (word[0] == '/' && !access(word, R_OK) && strchr(word + 1, '/'))
            sources[n_sources++] = words[at]; /* cl does not know such names; outside Windows there are no others */
    }
    char *include = getenv("INCLUDE");
    for (char *part = include ? strtok(strdup(include), ";") : NULL; part; part = strtok(NULL, ";"))
        pass("-isystem", ""), pass(part, "");
}

static int run(char **argv, const char *out, const char *err)
{
    pid_t child = fork();
    if (!child) {
        if (out)
            dup2(open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
        if (err)
            dup2(open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
        execvp(argv[0], argv);
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static const char *base(const char *path)
{
    return strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
}

/* Where something is made whose name may be missing, or that of a directory. */
static char *place(const char *named, const char *source, const char *extension)
{
    char *path = NULL;
    const char *name = named ? named : "";
    if (!*base(name)) {
        const char *dot = strrchr(base(source), '.');
        int length = dot ? (int)(dot - base(source)) : (int)strlen(base(source));
        if (asprintf(&path, "%s%.*s.%s", name, length, base(source), extension) < 0)
            exit(2);
    } else if (asprintf(&path, "%s%s%s", name, strchr(base(name), '.') ? "" : ".", strchr(base(name), '.') ? "" : extension) < 0) {
        exit(2);
    }
    return path;
}

static const char *whole(const char *path)
{
    static char out[3 * PATH_MAX];
    snprintf(out, sizeof out, "%s%s%s", *path == '/' ? "" : work, *path == '/' ? "" : "/", strncmp(path, "./", 2) ? path : path + 2);
    return out;
}

static void write_file(const char *path, const char *mode, const char *start, const char *middle, const char *text)
{
    FILE *file = fopen(path, mode);
    if (!file)
        fail("cannot write");
    fprintf(file, "%s%s%s", start, middle, text);
    fclose(file);
}

/* gcc -H: one dot a level, then the header; anything else is a message. */
static void tell(char *said, const char *source, FILE *list)
{
    const char *language = getenv("VSLANG");
    const char *prefix = language && !strcmp(language, "1031") ? "Hinweis: Einlesen der Datei:" : "Note: including file:";
    int first = 1, guards = 0;
    if (list)
        fprintf(list, "{\"Version\": \"1.2\", \"Data\": {\"Source\": \"%s\", \"Includes\": [", whole(source));
    for (char *line = strtok(said, "\n"); line; line = strtok(NULL, "\n")) {
        int depth = (int)strspn(line, ".");
        guards |= !strncmp(line, "Multiple include guards", 23);
        if (depth && line[depth] == ' ') {
            if (notes)
                printf("%s%*s%s\n", prefix, depth, "", whole(line + depth + 1));
            if (list)
                fprintf(list, "%s\"%s\"", first ? "" : ", ", whole(line + depth + 1));
            first = 0;
        } else if (!guards) {
            printf("%s\n", line);
        }
    }
    if (list)
        fprintf(list, "]}}\n");
}

static int compile(const char *source)
{
    char out[] = "/tmp/cl-out-XXXXXX", err[] = "/tmp/cl-err-XXXXXX";
    long size = 0;
    close(mkstemp(out));
    close(mkstemp(err));
    int at = n_gcc;
    printf("%s\n", base(source));
    gcc[at++] = (char *)source;
    gcc[at] = NULL;
    int status = run(gcc, out, err);
    char *text = slurp(out, &size), *said = slurp(err, &size);
    unlink(out);
    unlink(err);
    char *made = place(object, source, "obj");
    FILE *list = NULL;
    if (json && !status)
        list = strcmp(json, "-") ? fopen(json, "w") : stdout;
    tell(said, source, list);
    if (list && list != stdout)
        fclose(list);
    if (status)
        return 2;
    write_file(made, "w", "\x64\x86stand-in for cl\n", whole(made), text);
    if (debug) /* continued where it is */
        write_file(place(database ? database : "vc140.pdb", source, "pdb"), "a", "Microsoft C/C++ MSF 7.00\r\n", whole(made), "\n");
    if (listing)
        write_file(place(listing, source, "asm"), "w", "; Listing generated by a stand-in\n", "", text);
    return 0;
}

int main(int argc, char **argv)
{
    int status = 0;
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (!getcwd(work, sizeof work))
        return 2;
    split(getenv("CL") ? getenv("CL") : "", 1);
    for (int at = 1; at < argc; at++)
        if (argv[at][0] == '@')
            response_file(argv[at] + 1);
        else
            add(argv[at]);
    split(getenv("_CL_") ? getenv("_CL_") : "", 1);
    static const char *const begin[] = {"gcc", "-E", "-P", "-undef", "-nostdinc", "-D_MSC_VER=1940", "-D_WIN32=1"};
    for (unsigned at = 0; at < sizeof begin / sizeof *begin; at++)
        pass(begin[at], "");
    understand();
    if (preprocesses && n_sources) {
        gcc[n_gcc] = sources[0];
        return run(gcc, NULL, NULL);
    }
    pass("-H", "");
    if (!compiles)
        fail("no /c");
    for (int at = 0; at < n_sources && !status; at++)
        status = compile(sources[at]);
    if (n_sources > 1 && !several_processes)
        printf("Generating Code...\n");
    return status;
}
