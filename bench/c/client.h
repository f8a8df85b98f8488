/* What the client programs share: dialling, watching, and saying what went wrong.
 *
 * Each is driven by lines on stdin; each line is answered with `ok …`, or with `error …` and the end of the process.
 */
#ifndef CLIENT_H
#define CLIENT_H
#include <arpa/inet.h>
#include <errno.h>
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

/* A message may tell when it was due: by MARKER and, right behind it, DIGITS of CLOCK_MONOTONIC in nanoseconds. */
#define MARKER "bench-" /* comes once in each message and nowhere else */
enum { DIGITS = 19 };

/* More of a head: it makes a request one for a WebSocket. */
#define UPGRADE \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

enum { MAX_CONNECTIONS = 19900, MAX_EVENTS = 256, WINDOW = 64, SOURCES = 10, COMMAND = MAX_CONNECTIONS };
enum { READ_SIZE = 65536, LINE_SIZE = 512 };

static int epoll_fd, port, seconds;

static inline void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("error ");
    vprintf(format, arguments);
    printf("\n");
    fflush(stdout);
    exit(1);
}

static inline void on_deadline(int number) {
    (void)number;
    static const char text[] = "error the command took too long\n";
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0) _exit(2);
    _exit(1);
}

static inline void watch(int fd, int number) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl: %s", strerror(errno));
}

/* Connect from one of several source addresses, each of which has its own ports; `room` > 0: the receive buffer. */
static inline int dial(int number, int room) {
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number % SOURCES);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket: %s", strerror(errno));
    if (room) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) fail("bind: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect: %s", strerror(errno));
    return fd;
}

static inline void send_head(int fd, const char *path, const char *accept, const char *more) {
    char request[LINE_SIZE * 4];
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nAccept: %s\r\n%s\r\n", path, accept, more);
    if (write(fd, request, size) != size) fail("a request was not taken: %s", strerror(errno));
}

/* Send a request; a trailing `#` in its path becomes the number. */
static inline void send_numbered(int fd, const char *path, int number, const char *accept, const char *more) {
    char numbered[LINE_SIZE * 2];
    int length = strcspn(path, "#");
    snprintf(numbered, sizeof numbered, path[length] ? "%.*s%d" : "%.*s", length, path, number);
    send_head(fd, numbered, accept, more);
}

static inline void expect_status(const char *bytes, const char *status) {
    if (strncmp(bytes, "HTTP/1.1 ", 9) != 0 || strncmp(bytes + 9, status, 3) != 0)
        fail("expected a %s, got: %.60s", status, bytes);
}

static inline void expect_ok(const char *bytes) { expect_status(bytes, "200"); }

/* Each program's own: something has happened on the connection that is watched under this number. */
static void on_ready(int number, uint32_t events);

/* Handle one batch of events, and wait so many milliseconds for it (-1: any); return whether a command can be read. */
static inline int turn_within(int timeout) {
    struct epoll_event ready[MAX_EVENTS];
    int command = 0, n = epoll_wait(epoll_fd, ready, MAX_EVENTS, timeout);
    if (n < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
        if (ready[i].data.u32 == COMMAND) command = 1;
        else on_ready(ready[i].data.u32, ready[i].events);
    }
    return command;
}

static inline int turn(void) { return turn_within(-1); }

/* Obey lines from stdin; `turn` handles one batch of events and returns whether a line can be read. */
static inline int obey_lines(int (*turn)(void), void (*obey)(char *line)) {
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
        if (strncmp(line, "quit", 4) == 0) return 0;
        alarm(seconds);
        obey(line);
        fflush(stdout);
        alarm(0);
    }
}

/* Be the program `PROGRAM PORT SECONDS`: its clients connect to the port, and each line is obeyed in those seconds. */
static inline int serve(int words, char **word, int (*turn)(void), void (*obey)(char *line)) {
    if (words != 3) {
        fprintf(stderr, "usage: %s PORT SECONDS\n", word[0]);
        return 2;
    }
    port = atoi(word[1]);
    seconds = atoi(word[2]);
    return obey_lines(turn, obey);
}
#endif
