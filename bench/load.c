/* The load generator: thousands of subscribers in one cheap process, driven by lines on stdin.
 *
 *     load PORT SECONDS        (SECONDS: what one command may take; past it the process ends with status 1)
 *
 *     sse COUNT PATH     open COUNT streams, a few at a time, and wait for every welcome; a trailing `#` in PATH
 *                        becomes the number of the connection
 *     wait COUNT         wait until every stream has had COUNT messages; answers with the sum over all streams
 *     polls COUNT        open COUNT kept-alive connections
 *     poll PATH          send a poll on each of them, from its last position on if it has one; do not wait
 *     answers            wait until each of them has been answered
 *     quit
 *
 * Each command is answered with a line `ok …`, or with `error …` and the end of the process. Between commands the
 * streams go on being read. A message is recognised by MARKER, which occurs once in each and nowhere else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MARKER "bench-"
#define WELCOME "welcome" /* like MARKER it must not repeat its first letter: see count_matches */

enum { MAX_CONNECTIONS = 19900, MAX_EVENTS = 256, WINDOW = 64, SOURCES = 10, COMMAND = MAX_CONNECTIONS };
enum { READ_SIZE = 65536, ANSWER_SIZE = 4096, SEQ_SIZE = 48, LINE_SIZE = 512 };

/* What only polling connections need: the answer so far, and the position to go on from. */
struct poll {
    size_t size;
    int waiting;
    char seq[SEQ_SIZE];
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
static int streams, welcomed, satisfied, unanswered;
static long wanted; /* messages each stream waits for; `satisfied` streams have them */
static int epoll_fd, port, seconds;
static char buffer[READ_SIZE];

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("error ");
    vprintf(format, arguments);
    printf("\n");
    fflush(stdout);
    exit(1);
}

static void on_deadline(int number) {
    (void)number;
    static const char text[] = "error the command took too long\n";
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0) _exit(2);
    _exit(1);
}

static void watch(int fd, int number) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl: %s", strerror(errno));
}

/* Connect from one of several source addresses, each of which has its own ports. */
static int dial(int number) {
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number % SOURCES);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) fail("bind: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect: %s", strerror(errno));
    return fd;
}

static struct connection *open_connection(void) {
    if (count == MAX_CONNECTIONS) fail("more than %d connections", MAX_CONNECTIONS);
    struct connection *connection = &connections[count];
    connection->fd = dial(count);
    watch(connection->fd, count++);
    return connection;
}

static void send_request(struct connection *connection, const char *path, const char *accept) {
    char request[LINE_SIZE * 2];
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nAccept: %s\r\n\r\n", path, accept);
    if (write(connection->fd, request, size) != size) fail("a request was not taken: %s", strerror(errno));
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

static void expect_ok(const char *bytes) {
    if (strncmp(bytes, "HTTP/1.1 200 ", 13) != 0) fail("expected a 200, got: %.60s", bytes);
}

static void on_stream_bytes(struct connection *connection, size_t size) {
    if (!connection->welcomed) {
        if (connection->matched == 0 && strncmp(buffer, "HTTP", 4) == 0) expect_ok(buffer);
        if (!count_matches(connection, WELCOME, buffer, size)) return;
        connection->welcomed = 1;
        connection->matched = 0;
        welcomed++;
        return;
    }
    long before = connection->messages;
    connection->messages += count_matches(connection, MARKER, buffer, size);
    if (before < wanted && connection->messages >= wanted) satisfied++;
}

/* Keep the position of an answer: the first `seq` in it is the one to go on from. */
static void take_answer(struct poll *poll, const char *body) {
    const char *seq = strstr(body, "\"seq\":\"");
    if (!poll->waiting) fail("an answer nobody waited for: %.200s", body);
    if (!seq || !strstr(body, MARKER)) fail("an answer without seq or message: %.200s", body);
    snprintf(poll->seq, sizeof poll->seq, "%.*s", (int)strcspn(seq + 7, "\""), seq + 7);
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
    char *length = strcasestr(poll->answer, "\r\ncontent-length:");
    if (!length || length > end) fail("an answer without Content-Length");
    char *body = end + 4;
    if (poll->answer + poll->size >= body + atoi(length + 17)) take_answer(poll, body);
}

static void on_readable(struct connection *connection) {
    ssize_t size = recv(connection->fd, buffer, sizeof buffer - 1, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) fail("the server ended connection %ld", (long)(connection - connections));
    buffer[size] = 0;
    if (connection->poll) on_poll_bytes(connection->poll, size);
    else on_stream_bytes(connection, size);
}

/* Handle one batch of events; return whether a command can be read. */
static int turn(void) {
    struct epoll_event ready[MAX_EVENTS];
    int command = 0, n = epoll_wait(epoll_fd, ready, MAX_EVENTS, -1);
    if (n < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
        if (ready[i].data.u32 == COMMAND) command = 1;
        else on_readable(&connections[ready[i].data.u32]);
    }
    return command;
}

static void open_streams(int how_many, char *path) {
    char *number = strchr(path, '#');
    char numbered[LINE_SIZE * 2];
    if (number) *number = 0;
    for (int i = 0; i < how_many; i++) {
        snprintf(numbered, sizeof numbered, number ? "%s%d" : "%s", path, i);
        send_request(open_connection(), numbered, "text/event-stream");
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
        send_request(&connections[i], whole, "application/json");
        poll->waiting = 1;
        unanswered++;
    }
}

/* Do one command; return the number its `ok` is answered with. */
static long obey(char *line) {
    char path[LINE_SIZE];
    int number;
    if (sscanf(line, "sse %d %511s", &number, path) == 2) return open_streams(number, path), welcomed;
    if (sscanf(line, "wait %d", &number) == 1) return wait_for(number);
    if (sscanf(line, "polls %d", &number) == 1) return open_polls(number), number;
    if (sscanf(line, "poll %511s", path) == 1) return send_polls(path), unanswered;
    if (strncmp(line, "answers", 7) == 0) {
        while (unanswered) turn();
        return 0;
    }
    if (strncmp(line, "quit", 4) == 0) exit(0);
    fail("an unknown command: %s", line);
    return 0;
}

int main(int words, char **word) {
    if (words != 3) {
        fprintf(stderr, "usage: load PORT SECONDS\n");
        return 2;
    }
    port = atoi(word[1]);
    seconds = atoi(word[2]);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* end with the benchmark, however that ends */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, on_deadline);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(STDIN_FILENO, COMMAND);
    for (;;) {
        char line[LINE_SIZE];
        if (!turn()) continue;
        ssize_t size = read(STDIN_FILENO, line, sizeof line - 1); /* the driver waits for each answer: one line */
        if (size <= 0) return 0;
        line[size] = 0;
        alarm(seconds);
        printf("ok %ld\n", obey(line));
        fflush(stdout);
        alarm(0);
    }
}
