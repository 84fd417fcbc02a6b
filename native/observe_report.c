/* The report: NUL-terminated records, each once, in the order of their first occurrence.  Knows no system call. */
#include "observe.h"
#include "observe_names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    int fd;
    char path[PATH_MAX], shim[PATH_MAX]; /* nothing that the program depends on */
    char buffer[64 << 10];
    size_t used;
    char **known; /* open addressing; a power of two of slots */
    size_t slots, count;
    int is_damaged;
} report = {.fd = -1};

int open_report(const char *path, const char *shim)
{
    if (path[0] != '/' || strlen(path) >= sizeof report.path || strlen(shim) >= sizeof report.shim)
        return 0;
    tidy(strcpy(report.path, path));
    if (*shim)
        tidy(strcpy(report.shim, shim));
    report.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return report.fd >= 0;
}

int is_report(const char *path)
{
    return strcmp(path, report.path) == 0;
}

int is_shim(const char *path)
{
    return strcmp(path, report.shim) == 0;
}

static void flush(void)
{
    size_t at = 0;
    while (at < report.used) {
        ssize_t written = write(report.fd, report.buffer + at, report.used - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            report.is_damaged = 1; /* a full disk: without its end nobody uses the report */
            break;
        }
        at += (size_t)written;
    }
    report.used = 0;
}

static size_t slot_of(const char *text, size_t slots)
{
    size_t hash = 14695981039346656037u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash & (slots - 1);
}

static int grow(void)
{
    size_t slots = report.slots ? 2 * report.slots : 4096;
    char **larger = calloc(slots, sizeof *larger);
    if (!larger)
        return 0;
    for (size_t i = 0; i < report.slots; i++) {
        if (!report.known[i])
            continue;
        size_t at = slot_of(report.known[i], slots);
        while (larger[at])
            at = (at + 1) & (slots - 1);
        larger[at] = report.known[i];
    }
    free(report.known);
    report.known = larger;
    report.slots = slots;
    return 1;
}

/* Whether this is new; it is known from now on. */
static int is_new(const char *key)
{
    if (2 * report.count >= report.slots && !grow())
        return 1;
    size_t at = slot_of(key, report.slots);
    for (; report.known[at]; at = (at + 1) & (report.slots - 1))
        if (strcmp(report.known[at], key) == 0)
            return 0;
    report.known[at] = strdup(key);
    report.count += report.known[at] != NULL;
    return 1;
}

static void put(const char *text)
{
    size_t size = strlen(text) + 1;
    if (report.used + size > sizeof report.buffer)
        flush();
    if (!report.used) /* the preloaded part may have written half a record before: a full disk */
        report.buffer[report.used++] = 0;
    if (report.used + size > sizeof report.buffer) {
        report.is_damaged = 1;
        return;
    }
    memcpy(report.buffer + report.used, text, size);
    report.used += size;
}

void note_stamped(char kind, const char *stamp, const char *path)
{
    char key[3 * PATH_MAX + 2], record[3 * PATH_MAX + 256];
    snprintf(key, sizeof key, "%c%s", kind, path);
    if (!is_new(key))
        return;
    snprintf(record, sizeof record, "%c%s%s", kind, stamp, path);
    put(record);
}

void note(char kind, const char *text)
{
    note_stamped(kind, "", text);
}

void close_report(void)
{
    if (!report.is_damaged)
        put(".");
    flush();
    close(report.fd);
}
