/* The clock of the stamps; and the times of many events, kept until they are written to a file. Needs client.h. */
#ifndef TIMES_H
#define TIMES_H
#include <stdint.h>
#include <time.h>

/* Times in microseconds, as many as come. */
struct times {
    uint32_t *values;
    size_t count, room;
};

static inline int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static inline void keep_time(struct times *times, int64_t nanoseconds) {
    if (times->count == times->room) {
        times->room = times->room ? 2 * times->room : 1024;
        times->values = realloc(times->values, times->room * sizeof *times->values);
        if (!times->values) fail("realloc");
    }
    int64_t microseconds = nanoseconds / 1000;
    times->values[times->count++] = microseconds > UINT32_MAX ? UINT32_MAX : microseconds;
}

static inline void write_times(struct times *times, const char *name) {
    FILE *file = fopen(name, "wb");
    if (!file) fail("%s: %s", name, strerror(errno));
    if (fwrite(times->values, sizeof *times->values, times->count, file) != times->count) fail("%s is cut", name);
    if (fclose(file)) fail("%s: %s", name, strerror(errno));
    times->count = 0;
}
#endif
