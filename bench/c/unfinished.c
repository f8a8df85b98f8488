/* Connections that do not finish what they begin, in one cheap process: how each of them ends, and when.
 *
 *     unfinished PORT SECONDS   (SECONDS: what one command may take; past it the process ends with status 1)
 *
 *     open COUNT     open COUNT connections, a quarter of each kind:
 *                    idle: it says nothing;
 *                    partial: it sends a part of a request head;
 *                    dripping: it sends a head byte by byte, one in DRIP_MS;
 *                    dripping: it sends the body of a POST so
 *     closed         drip on until the server has closed all of them; answers with `ok COUNT TOLD SLOWEST`: how many
 *                    were closed, how many of these were told so with a 408, and the milliseconds that the slowest took
 *     quit
 *
 * A connection is closed when the server has sent its end, whatever it had said before.
 */
#define _GNU_SOURCE
#include "client.h"
#include "times.h"

#define HEAD "GET /poll?id=1 HTTP/1.1\r\nHost: x\r\nX-Dripping: "
#define BODY "POST /sub/ffffffff.AAAAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: x\r\nContent-Length: 16000\r\n\r\n["
#define TIMEOUT "HTTP/1.1 408 "

enum kind { IDLE, PARTIAL, DRIPPING_HEAD, DRIPPING_BODY, KINDS };
enum { DRIP_MS = 500 };

struct connection {
    int64_t since; /* when it was open */
    int fd;        /* -1: closed */
    char told;
};

static struct connection connections[MAX_CONNECTIONS];
static int count, closed, told;
static int64_t slowest, dripped_at;
static char buffer[READ_SIZE];

static void on_end(struct connection *connection) {
    int64_t took = now_ns() - connection->since;
    if (took > slowest) slowest = took;
    closed++;
    told += connection->told;
    close(connection->fd);
    connection->fd = -1;
}

static void on_ready(int number, uint32_t events) {
    (void)events;
    struct connection *connection = &connections[number];
    if (connection->fd < 0) return;
    ssize_t size = read(connection->fd, buffer, sizeof buffer);
    if (size > 0) connection->told |= strncmp(buffer, TIMEOUT, strlen(TIMEOUT)) == 0;
    else on_end(connection);
}

/* Send one byte more on each connection that drips; one that was closed meanwhile is noticed when it is read. */
static void drip(void) {
    if (now_ns() < dripped_at + DRIP_MS * 1000000L) return;
    dripped_at = now_ns();
    for (int i = 0; i < count; i++)
        if (connections[i].fd >= 0 && i % KINDS >= DRIPPING_HEAD) send(connections[i].fd, "a", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int turn_and_drip(void) {
    int command = turn_within(DRIP_MS / 10);
    drip();
    return command;
}

static void open_connections(int how_many) {
    if (count + how_many > MAX_CONNECTIONS) fail("more than %d connections", MAX_CONNECTIONS);
    for (int i = 0; i < how_many; i++, count++) {
        struct connection *connection = &connections[count];
        connection->fd = dial(count, 0);
        connection->since = now_ns();
        const char *part = count % KINDS == IDLE ? "" : count % KINDS == DRIPPING_BODY ? BODY : HEAD;
        if (*part && write(connection->fd, part, strlen(part)) < 0) fail("a part was not taken: %s", strerror(errno));
        watch(connection->fd, count);
        drip();
    }
}

static void obey(char *line) {
    int number;
    if (sscanf(line, "open %d", &number) == 1) {
        open_connections(number);
        printf("ok %d\n", count);
    } else if (strncmp(line, "closed", 6) == 0) {
        while (closed < count) turn_and_drip();
        printf("ok %d %d %ld\n", closed, told, (long)(slowest / 1000000));
    } else {
        fail("an unknown command: %s", line);
    }
}

int main(int words, char **word) { return serve(words, word, turn_and_drip, obey); }
