/* The observer's parts.  See observe.c. */
#ifndef OBSERVE_H
#define OBSERVE_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>

enum { MAX_FILTER = 256 };

/* observe_report.c: the file, each record once. */
int open_report(const char *path, const char *shim);
void note(char kind, const char *text);
void note_stamped(char kind, const char *stamp, const char *path);
int is_report(const char *path);
int is_shim(const char *path);
void close_report(void);

/* observe_calls.c: which calls are seen, and what each means. */
unsigned short make_filter(struct sock_filter *code);
void note_call(const struct seccomp_notif *call);

#endif
