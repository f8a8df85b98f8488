/* The load generator: thousands of subscribers in one cheap process, which counts their messages.
 *
 *     load PORT SECONDS        (SECONDS: what one command may take; past it the process ends with status 1)
 *
 *     sse COUNT PATH     open COUNT streams, a few at a time, and wait for every welcome; a trailing `#` in PATH
 *                        becomes the number of the connection
 *     upgrade            from now on a stream is a WebSocket
 *     head               from now on a stream is ready when the head of its answer is there, welcome or not
 *     wait COUNT         wait until every stream has had COUNT messages; answers with the sum over all streams
 *     polls COUNT        open COUNT kept-alive connections
 *     poll PATH          send a poll on each of them, from its last position on if it has one; do not wait
 *     answers            wait until each of them has been answered; answers with the bytes of the last answer's head
 *     quit
 *
 * Each command is answered with a line `ok …`, or with `error …` and the end of the process. Between commands the
 * streams go on being read. A message is recognised by MARKER, which occurs once in each and nowhere else.
 */
#define _GNU_SOURCE
#include "client.h"

#define WELCOME "welcome" /* like MARKER it must not repeat its first letter: see count_matches */

enum { ANSWER_SIZE = 4096, SEQ_SIZE = 48, HEADERS_SIZE = 256 };

/* What only polling connections need: the answer so far, and the position to go on from. */
struct poll {
    size_t size;
    int waiting;
    char seq[SEQ_SIZE];         /* a position in the query … */
    char headers[HEADERS_SIZE]; /* … or, as Nchan has it, a conditional request */
    char answer[ANSWER_SIZE];
};

struct connection {
    int fd;
    int welcomed;
    size_t matched; /* how much of the marker the last bytes were: it may be cut by a read */
    long messages;
    struct poll *poll; /* NULL: a stream */
};

static struct connection connections[MAX_CONNECTIONS];
static int count; /* connections in use */
static int streams, welcomed, satisfied, unanswered, head_size;
static long wanted; /* messages each stream waits for; `satisfied` streams have them */
static int head_is_welcome; /* a stream is ready when the head of the answer is there */
static int upgrades;        /* a stream is a WebSocket: the server's frames are not masked, so MARKER shows in them, too */
static char buffer[READ_SIZE];

static struct connection *open_connection(void) {
    if (count == MAX_CONNECTIONS) fail("more than %d connections", MAX_CONNECTIONS);
    struct connection *connection = &connections[count];
    connection->fd = dial(count, 0);
    watch(connection->fd, count++);
    return connection;
}

/* Count the occurrences of a text whose first letter comes only once in it, over any number of reads. */
static long count_matches(struct connection *connection, const char *text, const char *bytes, size_t size) {
    size_t length = strlen(text), matched = connection->matched;
    long found = 0;
    for (size_t i = 0; i < size; i++) {
        matched = bytes[i] == text[matched] ? matched + 1 : bytes[i] == text[0];
        if (matched == length) {
            found++;
            matched = 0;
        }
    }
    connection->matched = matched;
    return found;
}

/* A head comes in one piece, with the welcome in it or right behind. */
static int is_welcome(struct connection *connection, size_t size) {
    if (head_is_welcome) return strstr(buffer, "\r\n\r\n") != NULL;
    return count_matches(connection, WELCOME, buffer, size) > 0;
}

static void on_stream_bytes(struct connection *connection, size_t size) {
    if (!connection->welcomed) {
        if (connection->matched == 0 && strncmp(buffer, "HTTP", 4) == 0)
            expect_status(buffer, upgrades ? "101" : "200");
        if (!is_welcome(connection, size)) return;
        connection->welcomed = 1;
        connection->matched = 0;
        welcomed++;
        return;
    }
    long before = connection->messages;
    connection->messages += count_matches(connection, MARKER, buffer, size);
    if (before < wanted && connection->messages >= wanted) satisfied++;
}

static const char *header(const char *head, const char *name) {
    const char *found = strcasestr(head, name);
    return found ? found + strlen(name) : "";
}

static int line_length(const char *text) { return strcspn(text, "\r\n"); }

/* Keep the position of an answer: its validators if it has any, else the first `seq` in it. */
static void keep_position(struct poll *poll, const char *body) {
    const char *modified = header(poll->answer, "\r\nLast-Modified: "), *etag = header(poll->answer, "\r\nEtag: ");
    const char *seq = strstr(body, "\"seq\":\"");
    if (*modified)
        snprintf(poll->headers, sizeof poll->headers, "If-Modified-Since: %.*s\r\nIf-None-Match: %.*s\r\n",
                 line_length(modified), modified, line_length(etag), etag);
    else if (seq) snprintf(poll->seq, sizeof poll->seq, "%.*s", (int)strcspn(seq + 7, "\""), seq + 7);
    else fail("an answer without a position: %.200s", body);
}

static void take_answer(struct poll *poll, const char *body) {
    if (!poll->waiting) fail("an answer that no poll waited for: %.200s", body);
    if (!strstr(body, MARKER)) fail("an answer without a message: %.200s", body);
    keep_position(poll, body);
    head_size = body - poll->answer;
    poll->waiting = 0;
    poll->size = 0;
    unanswered--;
}

static void on_poll_bytes(struct poll *poll, size_t size) {
    if (poll->size + size >= ANSWER_SIZE) fail("an answer of more than %d bytes", ANSWER_SIZE);
    memcpy(poll->answer + poll->size, buffer, size);
    poll->size += size;
    poll->answer[poll->size] = 0;
    char *end = strstr(poll->answer, "\r\n\r\n");
    if (!end) return;
    expect_ok(poll->answer);
    const char *length = header(poll->answer, "\r\nContent-Length:"), *body = end + 4;
    if (!*length || length > end) fail("an answer without Content-Length");
    if (poll->answer + poll->size >= body + atoi(length)) take_answer(poll, body);
}

static void on_ready(int number, uint32_t events) {
    (void)events;
    struct connection *connection = &connections[number];
    ssize_t size = recv(connection->fd, buffer, sizeof buffer - 1, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) fail("the server ended connection %d", number);
    buffer[size] = 0;
    if (connection->poll) on_poll_bytes(connection->poll, size);
    else on_stream_bytes(connection, size);
}

static void open_streams(int how_many, const char *path) {
    for (int i = 0; i < how_many; i++) {
        send_numbered(open_connection()->fd, path, i, "text/event-stream", upgrades ? UPGRADE : "");
        streams++;
        while (streams - welcomed >= WINDOW) turn();
    }
    while (welcomed < streams) turn();
}

static long wait_for(long messages) {
    long sum = 0;
    satisfied = 0;
    wanted = messages;
    for (int i = 0; i < count; i++) satisfied += !connections[i].poll && connections[i].messages >= wanted;
    while (satisfied < streams) turn();
    for (int i = 0; i < count; i++) sum += connections[i].messages;
    return sum;
}

static void open_polls(int how_many) {
    for (int i = 0; i < how_many; i++) {
        struct connection *connection = open_connection();
        connection->poll = calloc(1, sizeof *connection->poll);
        if (!connection->poll) fail("calloc");
    }
}

static void send_polls(const char *path) {
    char whole[LINE_SIZE * 2];
    for (int i = 0; i < count; i++) {
        struct poll *poll = connections[i].poll;
        if (!poll) continue;
        if (poll->waiting) fail("connection %d still waits for its answer", i);
        snprintf(whole, sizeof whole, poll->seq[0] ? "%s&since=%s" : "%s", path, poll->seq);
        send_head(connections[i].fd, whole, "application/json", poll->headers);
        poll->waiting = 1;
        unanswered++;
    }
}

/* Do one command; return the number its `ok` is answered with. */
static long number_for(char *line) {
    char path[LINE_SIZE];
    int number;
    if (sscanf(line, "sse %d %511s", &number, path) == 2) return open_streams(number, path), welcomed;
    if (sscanf(line, "wait %d", &number) == 1) return wait_for(number);
    if (sscanf(line, "polls %d", &number) == 1) return open_polls(number), number;
    if (sscanf(line, "poll %511s", path) == 1) return send_polls(path), unanswered;
    if (strncmp(line, "head", 4) == 0) return head_is_welcome = 1;
    if (strncmp(line, "upgrade", 7) == 0) return upgrades = 1;
    if (strncmp(line, "answers", 7) == 0) {
        while (unanswered) turn();
        return head_size;
    }
    fail("an unknown command: %s", line);
    return 0;
}

static void obey(char *line) { printf("ok %ld\n", number_for(line)); }

int main(int words, char **word) { return serve(words, word, turn, obey); }
