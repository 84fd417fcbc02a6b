/* Names as the observer and its preloaded part both write them, so that a name told by both is one. */
#ifndef OBSERVE_NAMES_H
#define OBSERVE_NAMES_H

#include <string.h>

/* Collapse "//" and "/./" in place; ".." stays: what it leads to depends on links. */
static inline void tidy(char *path)
{
    char *to = path;
    for (const char *from = path; *from;) {
        while (*from == '/')
            from++;
        size_t size = strcspn(from, "/");
        if (size && !(size == 1 && *from == '.')) {
            *to++ = '/';
            memmove(to, from, size);
            to += size;
        }
        from += size;
    }
    if (to == path)
        *to++ = '/';
    *to = 0;
}

#endif
