/* Thousands of clients in one cheap process that come back to an edge at once for much, and read it, or do not.
 *
 *     comeback PORT SECONDS    (SECONDS: what one command may take; past it the process ends with status 1)
 *
 *     connect COUNT ROOM       open COUNT connections; ROOM > 0: the size of their receive buffers
 *     upgrade                  from now on a request is one for a WebSocket
 *     ask PATH                 send a request on each new one of them; a trailing `#` in PATH becomes its number
 *     read COUNT               read until each of them has had COUNT messages, or has been refused, or has ended
 *     drop                     close all of them
 *     quit
 *
 * Each is answered with `ok DONE MS`: how many have had all their messages, and how many milliseconds that took since
 * the last `ask`. A message is recognised by MARKER, which occurs once in each and nowhere else.
 */
#define _GNU_SOURCE
#include "client.h"
#include "times.h"

struct connection {
    int fd, over;
    size_t matched; /* how much of the marker the last bytes were: it may be cut by a read */
    long bytes, messages;
};

static struct connection connections[MAX_CONNECTIONS];
static int count, sent, over, done, upgrades; /* connections; of these with a request, with no more to come, with all */
static long wanted = 1;
static int64_t asked;
static char buffer[4 * READ_SIZE];

static void count_messages(struct connection *connection, const char *bytes, const char *end) {
    size_t length = strlen(MARKER), matched = connection->matched;
    while (bytes < end) {
        if (!matched && !(bytes = memchr(bytes, MARKER[0], end - bytes))) break;
        matched = *bytes == MARKER[matched] ? matched + 1 : *bytes == MARKER[0];
        bytes++;
        if (matched == length) {
            connection->messages++;
            matched = 0;
        }
    }
    connection->matched = matched;
}

static void finish(struct connection *connection) {
    connection->over = 1;
    over++;
    done += connection->messages >= wanted;
}

static void on_ready(int number, uint32_t events) {
    (void)events;
    struct connection *connection = &connections[number];
    ssize_t size = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
        if (!connection->over) finish(connection);
        return;
    }
    int is_refused = !connection->bytes && memcmp(buffer + 9, upgrades ? "101" : "200", 3);
    connection->bytes += size;
    count_messages(connection, buffer, buffer + size);
    if (!connection->over && (is_refused || connection->messages >= wanted)) finish(connection);
}

/* Between commands nothing is read: that is what a client does that is slow. */
static int wait_for_line(void) { return 1; }

static void open_connections(int how_many, int room) {
    for (int i = 0; i < how_many; i++, count++) {
        if (count == MAX_CONNECTIONS) fail("more than %d connections", MAX_CONNECTIONS);
        connections[count] = (struct connection){.fd = dial(count, room)};
    }
}

static void ask(const char *path) {
    asked = now_ns();
    for (; sent < count; sent++) send_numbered(connections[sent].fd, path, sent, "*/*", upgrades ? UPGRADE : "");
}

static void read_all(long messages) {
    wanted = messages;
    for (int i = 0; i < count; i++) watch(connections[i].fd, i);
    while (over < count) turn();
}

static void drop(void) {
    for (int i = 0; i < count; i++) close(connections[i].fd);
    count = sent = over = done = 0;
}

/* Do one command; return the number its `ok` is answered with. */
static long number_for(char *line) {
    char path[LINE_SIZE];
    int number, room;
    if (sscanf(line, "connect %d %d", &number, &room) == 2) return open_connections(number, room), count;
    if (sscanf(line, "ask %511s", path) == 1) return ask(path), count;
    if (sscanf(line, "read %d", &number) == 1) return read_all(number), done;
    if (strncmp(line, "upgrade", 7) == 0) return upgrades = 1;
    if (strncmp(line, "drop", 4) == 0) return drop(), 0;
    fail("an unknown command: %s", line);
    return 0;
}

static void obey(char *line) {
    long number = number_for(line);
    printf("ok %ld %ld\n", number, (long)((now_ns() - asked) / 1000000));
}

int main(int words, char **word) { return serve(words, word, wait_for_line, obey); }
