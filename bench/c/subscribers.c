/* Thousands of SSE subscribers in one cheap process that check what they get and come back when they are cut.
 *
 *     subscribers NUMBER SECONDS
 *                    NUMBER: they connect from 127.NUMBER.0.1 to .10, so that ports do not run out
 *                    SECONDS: what one command may take; past it the process ends with status 1
 *
 *     open COUNT PORT WINDOW FIRST MODULO PATH
 *                    open COUNT streams, at most WINDOW at a time (0: all at once), and wait for every welcome; a
 *                    trailing `#` in PATH becomes (FIRST + i) % MODULO
 *     wait TOTAL     wait until all streams together have had TOTAL messages
 *     drop           close every stream
 *     forget         close them for good: the next `open` is the first again
 *     back PORT WINDOW
 *                    all come back, to that port and with `since=` their position, and wait for every welcome
 *     latencies F    write to file F, and forget, how long each message took from its stamp (32-bit microseconds)
 *     welcomes F     the same for each welcome, from the start of its connection
 *     positions F    write to file F a line `NUMBER OFFSET` for each stream: the number in its path, and its offset
 *     state          answered like every command
 *     quit
 *
 * A command is answered with `ok HELD MESSAGES LOST DUPLICATES RESETS REFUSED BROKEN`, or with `error …` and the end
 * of the process. LOST and DUPLICATES are counted by each stream in the offsets it sees, over all its connections.
 * A stream that is refused (503, or an end before the welcome) comes back after the pause it was told, one that is cut
 * off (BROKEN) after a second. Each message tells when it was due: see client.h.
 */
#define _GNU_SOURCE
#include "client.h"
#include "times.h"

enum { BREATH = 16, HELD_LINE_SIZE = 56, PAUSE_MS = 1000, SCAN_MS = 20 };
enum kind { NOTHING, MESSAGE, WELCOME, RESET, OTHER };

struct position {
    long offset, tag;
};

struct connection {
    struct position last;   /* of the last event; kept over reconnects */
    struct position stated; /* the `id:` of the event that is arriving */
    int64_t since, due;     /* when this connection was started; when the next shall be (0: not waiting) */
    int fd;                 /* -1: not connected */
    int port, name, pause_ms;
    char kind, welcomed, size;
    char line[HELD_LINE_SIZE]; /* the beginning of a line that has not arrived whole */
};

static struct connection connections[MAX_CONNECTIONS];
static struct times latencies, welcomes;
static int count, welcomed, opening, absent; /* connections; of these seated, on their way, pausing */
static long messages, lost, duplicates, resets, refused, broken;
static int process_number;
static char path[LINE_SIZE], buffer[READ_SIZE];

static void set_watch(int operation, int fd, uint32_t events, int number) {
    struct epoll_event event = {.events = events, .data.u32 = number};
    if (epoll_ctl(epoll_fd, operation, fd, &event) < 0) fail("epoll_ctl: %s", strerror(errno));
}

/* Begin a connection from one of our addresses, each of which has its own ports; do not wait for it. */
static int begin(int number, int to_port) {
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(to_port)};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (process_number << 16) + number % SOURCES);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) fail("bind: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) fail("connect: %s", strerror(errno));
    return fd;
}

static void start(struct connection *connection) {
    int number = connection - connections;
    connection->since = now_ns();
    connection->due = 0;
    connection->pause_ms = PAUSE_MS;
    connection->welcomed = connection->size = connection->kind = 0;
    connection->fd = begin(number, connection->port);
    set_watch(EPOLL_CTL_ADD, connection->fd, EPOLLIN | EPOLLOUT, number);
    opening++;
}

static void hang_up(struct connection *connection) {
    if (connection->fd < 0) return;
    close(connection->fd);
    connection->fd = -1;
    if (connection->welcomed) welcomed--;
    else opening--;
}

/* The server has ended a connection: count why, and come back after a pause. */
static void on_end(struct connection *connection) {
    if (connection->welcomed || connection->kind == NOTHING) broken++;
    else refused++;
    hang_up(connection);
    connection->due = now_ns() + connection->pause_ms * 1000000L;
    absent++;
}

static void send_request(struct connection *connection) {
    char request[2 * LINE_SIZE], target[LINE_SIZE + 64];
    int size = snprintf(target, sizeof target, "%s", path);
    if (connection->name >= 0) size += snprintf(target + size, sizeof target - size, "%d", connection->name);
    struct position last = connection->last;
    if (last.tag) snprintf(target + size, sizeof target - size, "&since=%ld-%ld", last.offset, last.tag);
    size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n", target);
    if (write(connection->fd, request, size) != size) return on_end(connection);
    set_watch(EPOLL_CTL_MOD, connection->fd, EPOLLIN, connection - connections);
}

/* A welcome names the position the stream goes on from: after a reconnect, the one it had. */
static void on_welcome(struct connection *connection) {
    struct position at = connection->stated, last = connection->last;
    if (last.tag && at.tag && at.tag != last.tag) lost++;
    if (at.tag) connection->last = at;
    if (connection->welcomed) return;
    connection->welcomed = 1;
    welcomed++;
    opening--;
    keep_time(&welcomes, now_ns() - connection->since);
}

static void on_message(struct connection *connection, const char *stamp) {
    struct position at = connection->stated, last = connection->last;
    messages++;
    keep_time(&latencies, now_ns() - atol(stamp));
    if (!at.tag) return; /* without a position: live only */
    if (at.offset <= last.offset) duplicates++;
    else lost += at.offset - last.offset - 1;
    connection->last = at;
}

static void on_event_end(struct connection *connection) {
    if (connection->kind == RESET) {
        resets++;
        connection->last = connection->stated;
    }
    connection->stated = (struct position){0};
    connection->kind = OTHER;
}

static int begins(const char *line, const char *start) { return strncmp(line, start, strlen(start)) == 0; }

/* Take one line of the response: of its head, of the chunking, or of an event. */
static void on_line(struct connection *connection, const char *line) {
    if (line[0] == 0 || line[0] == '\r') on_event_end(connection);
    else if (begins(line, "id: ")) sscanf(line + 4, "%ld-%ld", &connection->stated.offset, &connection->stated.tag);
    else if (begins(line, "event: welcome")) connection->kind = WELCOME;
    else if (begins(line, "event: reset")) connection->kind = RESET;
    else if (begins(line, "retry: ")) connection->pause_ms = atoi(line + 7);
    else if (begins(line, "data: " MARKER)) on_message(connection, line + strlen("data: " MARKER));
    else if (begins(line, "data: ") && connection->kind == WELCOME) on_welcome(connection);
    else if (connection->kind != NOTHING && strncasecmp(line, "retry-after: ", 13) == 0)
        connection->pause_ms = 1000 * atoi(line + 13);
    else if (begins(line, "HTTP/1.1 ")) {
        if (!begins(line + 9, "200") && !begins(line + 9, "503")) fail("answered: %.50s", line);
        connection->kind = OTHER;
    }
}

/* Take a line whose beginning may have come before; what exceeds HELD_LINE_SIZE is not needed. */
static void on_line_end(struct connection *connection, const char *bytes, size_t size, int whole) {
    size_t had = connection->size, room = HELD_LINE_SIZE - 1 - had;
    if (had == 0 && whole) return on_line(connection, bytes);
    memcpy(connection->line + had, bytes, size < room ? size : room);
    connection->size = had + (size < room ? size : room);
    if (!whole) return;
    connection->line[(size_t)connection->size] = 0;
    connection->size = 0;
    on_line(connection, connection->line);
}

static void on_bytes(struct connection *connection, ssize_t size) {
    char *start = buffer, *end = buffer + size, *newline;
    while ((newline = memchr(start, '\n', end - start))) {
        *newline = 0;
        on_line_end(connection, start, newline - start, 1);
        start = newline + 1;
    }
    if (start < end) on_line_end(connection, start, end - start, 0);
}

static void on_ready(int number, uint32_t events) {
    struct connection *connection = &connections[number];
    if (connection->fd < 0) return;
    if (events & EPOLLOUT) return send_request(connection);
    ssize_t size = recv(connection->fd, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return on_end(connection);
    on_bytes(connection, size);
}

/* Start the connections whose pause is over. */
static void scan_absent(void) {
    int64_t now = now_ns();
    for (int i = 0; i < count; i++) {
        if (!connections[i].due || connections[i].due > now) continue;
        absent--;
        start(&connections[i]);
    }
}

/* Handle one batch of events, and start those whose pause is over; return whether a command can be read. */
static int go_on_within(int timeout) {
    static int64_t scanned;
    int command = turn_within(timeout < 0 && absent ? SCAN_MS : timeout);
    if (absent && now_ns() - scanned > SCAN_MS * 1000000L) {
        scanned = now_ns();
        scan_absent();
    }
    return command;
}

static int go_on(void) { return go_on_within(-1); }

/* Start all connections from the first on, `window` at a time (0: all), and wait until all are welcomed. */
static void bring(int first, int window) {
    for (int i = first; i < count; i++) {
        start(&connections[i]);
        if (i % BREATH == 0) go_on_within(0);
        while (window && opening >= window) go_on();
    }
    while (welcomed < count) go_on();
}

static void open_streams(int how_many, int to_port, int window, int first_name, int modulo) {
    int first = count;
    char *number = strchr(path, '#');
    if (number) *number = 0;
    if (count + how_many > MAX_CONNECTIONS) fail("more than %d connections", MAX_CONNECTIONS);
    for (int i = 0; i < how_many; i++) {
        int name = number ? (first_name + i) % modulo : -1;
        connections[count++] = (struct connection){.port = to_port, .name = name, .fd = -1};
    }
    bring(first, window);
}

static void write_positions(const char *name) {
    FILE *file = fopen(name, "w");
    if (!file) fail("%s: %s", name, strerror(errno));
    for (int i = 0; i < count; i++) fprintf(file, "%d %ld\n", connections[i].name, connections[i].last.offset);
    if (fclose(file)) fail("%s: %s", name, strerror(errno));
}

static void drop(void) {
    for (int i = 0; i < count; i++) {
        hang_up(&connections[i]);
        connections[i].due = 0;
    }
    absent = 0;
}

static void come_back(int to_port, int window) {
    for (int i = 0; i < count; i++) connections[i].port = to_port;
    bring(0, window);
}

static void do_command(char *line) {
    char word[LINE_SIZE];
    int number, to_port, window, first, modulo;
    long total;
    if (sscanf(line, "open %d %d %d %d %d %511s", &number, &to_port, &window, &first, &modulo, path) == 6)
        return open_streams(number, to_port, window, first, modulo);
    if (sscanf(line, "back %d %d", &to_port, &window) == 2) return come_back(to_port, window);
    if (sscanf(line, "latencies %511s", word) == 1) return write_times(&latencies, word);
    if (sscanf(line, "welcomes %511s", word) == 1) return write_times(&welcomes, word);
    if (sscanf(line, "positions %511s", word) == 1) return write_positions(word);
    if (sscanf(line, "wait %ld", &total) == 1) {
        while (messages < total) go_on();
        return;
    }
    if (begins(line, "drop")) return drop();
    if (begins(line, "forget")) return drop(), (void)(count = 0);
    if (!begins(line, "state")) fail("an unknown command: %s", line);
}

static void obey(char *line) {
    do_command(line);
    printf("ok %d %ld %ld %ld %ld %ld %ld\n", welcomed, messages, lost, duplicates, resets, refused, broken);
}

int main(int words, char **word) {
    if (words != 3) {
        fprintf(stderr, "usage: subscribers NUMBER SECONDS\n");
        return 2;
    }
    process_number = atoi(word[1]);
    seconds = atoi(word[2]);
    return obey_lines(go_on, obey);
}
