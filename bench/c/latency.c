/* How late messages arrive: subscribers that read the sender's clock in each message.
 *
 *     latency PORT SECONDS        (SECONDS: what one command may take; past it the process ends with status 1)
 *
 *     open COUNT PATH    open COUNT streams, a few at a time, each ready when the head of its answer is there
 *     stuck COUNT PATH   open COUNT streams that never read, with the smallest receive buffer there is
 *     reset              forget the latencies taken so far
 *     wait COUNT         wait until COUNT messages in all have arrived since then
 *     count              how many that are now
 *     report             answers with `ok COUNT LEAST MEDIAN P99 MOST`, in microseconds
 *     quit
 *
 * Each message tells when it was due: see client.h.
 */
#define _GNU_SOURCE
#include "client.h"
#include "times.h"

enum { REST = 32, MAX_SAMPLES = 8000000, SMALLEST = 1 };

struct stream {
    int fd;
    int ready;
    int size; /* of `rest`: the end of the last read, where a stamp may have been cut */
    char rest[REST];
};

static struct stream streams[MAX_CONNECTIONS];
static int count, reading, ready;
static uint32_t samples[MAX_SAMPLES];
static int taken;
static char buffer[REST + READ_SIZE + 1];

static void take(const char *digits, int64_t now) {
    char text[DIGITS + 1] = {0};
    memcpy(text, digits, DIGITS);
    int64_t late = (now - atoll(text)) / 1000;
    if (taken == MAX_SAMPLES) fail("more than %d messages", MAX_SAMPLES);
    samples[taken++] = late < 0 ? 0 : late;
}

/* Take every whole stamp; return where the first byte is that may belong to one that is not whole. */
static const char *take_stamps(const char *start, const char *end, int64_t now) {
    const size_t marker = strlen(MARKER), whole = marker + DIGITS;
    const char *found;
    while ((found = memmem(start, end - start, MARKER, marker))) {
        if ((size_t)(end - found) < whole) return found;
        take(found + marker, now);
        start = found + whole;
    }
    return end - start > (long)marker ? end - marker : start;
}

static void on_ready(int number, uint32_t events) {
    (void)events;
    struct stream *stream = &streams[number];
    memcpy(buffer, stream->rest, stream->size);
    ssize_t size = recv(stream->fd, buffer + stream->size, READ_SIZE, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) fail("the server ended stream %d", number);
    char *end = buffer + stream->size + size;
    *end = 0;
    if (!stream->ready) {
        expect_ok(buffer);
        if (!strstr(buffer, "\r\n\r\n")) fail("a head in pieces");
        stream->ready = 1;
        ready++;
    }
    const char *rest = take_stamps(buffer, end, now_ns());
    stream->size = end - rest;
    memmove(stream->rest, rest, stream->size);
}

static int subscribe(const char *path, int room) {
    if (count == MAX_CONNECTIONS) fail("more than %d connections", MAX_CONNECTIONS);
    streams[count].fd = dial(count, room);
    send_head(streams[count].fd, path, "text/event-stream", "");
    return count++;
}

static int open_streams(int how_many, const char *path) {
    for (int i = 0; i < how_many; i++) {
        int number = subscribe(path, 0);
        watch(streams[number].fd, number);
        reading++;
        while (reading - ready >= WINDOW) turn();
    }
    while (ready < reading) turn();
    return ready;
}

static int by_size(const void *one, const void *other) {
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static uint32_t quantile(double share) { return samples[(int)(share * (taken - 1) + 0.5)]; }

static void report(void) {
    if (!taken) fail("no message has arrived");
    qsort(samples, taken, sizeof *samples, by_size);
    printf("ok %d %u %u %u %u\n", taken, samples[0], quantile(0.5), quantile(0.99), samples[taken - 1]);
}

static void obey(char *line) {
    char path[LINE_SIZE];
    int number;
    if (strncmp(line, "report", 6) == 0) return report();
    if (sscanf(line, "open %d %511s", &number, path) == 2) number = open_streams(number, path);
    else if (sscanf(line, "stuck %d %511s", &number, path) == 2)
        for (int i = 0; i < number; i++) subscribe(path, SMALLEST);
    else if (strncmp(line, "reset", 5) == 0) number = taken = 0;
    else if (sscanf(line, "wait %d", &number) == 1)
        while (taken < number) turn();
    else if (strncmp(line, "count", 5) == 0) number = taken;
    else fail("an unknown command: %s", line);
    printf("ok %d\n", number);
}

int main(int words, char **word) { return serve(words, word, turn, obey); }
