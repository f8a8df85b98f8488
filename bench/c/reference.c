/* The limit to measure against: a bare epoll loop that holds subscribers and writes to them, and nothing else.
 *
 *     reference PORT [HEAD]     HEAD: the least length of the head of a poll's answer, padded to that
 *
 *     GET /sse?id=…       head and welcome in one write, then held; every message is one chunk
 *     GET /poll?id=…      held until the next message, answered with Content-Length, kept alive
 *     GET /pub?content=…  sends the content to all held connections; answered 204, may be pipelined
 *
 * It does what no server can do without: accept, read a head, remember the held connections, write. What it leaves out
 * makes it faster than a real server, never slower: one channel only (no look-up by id), no history, no time-outs, no
 * unescaping, and a subscriber that cannot take a whole frame at once is closed. It waits with level-triggered epoll
 * and sets the socket options of the edge on the listener, from which accepted sockets inherit them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 65536, MAX_EVENTS = 256, MAX_ACCEPTS = 64, MAX_CONTENT = 4096, MAX_HEAD = 1024, READ_SIZE = 65536 };
enum { BACKLOG = 4096, USER_TIMEOUT_MS = 30000, SEND_BUFFER = 65536 }; /* as in edge/server/listener.py */

#define NO_STORE "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
#define SSE_HEAD                                                                                                       \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" NO_STORE                                                  \
    "X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
#define WELCOME                                                                                                        \
    "retry: 2000\nid: %ld-%ld\nevent: welcome\n"                                                                       \
    "data: {\"type\":\"welcome\",\"id\":\"room\",\"content\":\"hello world!\",\"seq\":\"%ld-%ld\"}\n\n"
#define POLL_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" NO_STORE "%s\r\n"
#define POLL_BODY                                                                                                      \
    "{\"seq\":\"%ld-%ld\",\"messages\":[{\"type\":\"data\",\"id\":\"room\",\"content\":\"%s\",\"seq\":\"%ld-%ld\"}]}\n"
#define NO_CONTENT "HTTP/1.1 204 No Content\r\n\r\n"
#define NOT_FOUND "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

/* A dense list of descriptors, so that a message goes to the held ones and to no others. */
struct seats {
    int fds[MAX_FD];
    int count;
};
static struct seats streams, polls;
static struct seats *held_in[MAX_FD]; /* which list a descriptor is in, NULL: none */
static int place[MAX_FD];             /* and where */
static char *rest[MAX_FD];            /* the beginning of a head that has not arrived whole: rare, so on the heap */
static size_t rest_size[MAX_FD];
static char is_open[MAX_FD];

static int epoll_fd, listener;
static long offset, tag; /* the position of the last message */
static int head_size;    /* of a poll's answer, at least */

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void hold(struct seats *seats, int fd) {
    place[fd] = seats->count;
    held_in[fd] = seats;
    seats->fds[seats->count++] = fd;
}

static void release(int fd) {
    struct seats *seats = held_in[fd];
    if (!seats) return;
    int last = seats->fds[--seats->count];
    seats->fds[place[fd]] = last;
    place[last] = place[fd];
    held_in[fd] = NULL;
}

static void drop(int fd) {
    release(fd);
    free(rest[fd]);
    rest[fd] = NULL;
    rest_size[fd] = 0;
    is_open[fd] = 0;
    close(fd);
}

/* Write all or give up: a bare loop has no place for what a slow reader left over. */
static void send_or_drop(int fd, const char *bytes, size_t size) {
    if (write(fd, bytes, size) != (ssize_t)size) drop(fd);
}

/* The clock with microseconds, as the tag of a position: frames get the length that the edge's have. */
static long clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void welcome(int fd) {
    char event[256], answer[1024];
    int size = snprintf(event, sizeof event, WELCOME, offset, tag, offset, tag);
    size = snprintf(answer, sizeof answer, SSE_HEAD "%x\r\n%s\r\n", size, event);
    hold(&streams, fd);
    send_or_drop(fd, answer, size);
}

/* Backwards, because dropping a seat moves the last one into its place. */
static void send_to_streams(const char *content) {
    char event[MAX_CONTENT + 256], frame[MAX_CONTENT + 512];
    int size = snprintf(event, sizeof event, "id: %ld-%ld\ndata: %s\n\n", offset, tag, content);
    size = snprintf(frame, sizeof frame, "%x\r\n%s\r\n", size, event);
    for (int i = streams.count - 1; i >= 0; i--) send_or_drop(streams.fds[i], frame, size);
}

/* A header that makes a head of `size` bytes as long as it shall be. */
static const char *padding(int size) {
    static char header[MAX_HEAD];
    int missing = head_size - size - (int)strlen("X: \r\n");
    if (missing <= 0) return "";
    snprintf(header, sizeof header, "X: %0*d\r\n", missing, 0);
    return header;
}

static void answer_polls(const char *content) {
    char body[MAX_CONTENT + 256], answer[MAX_CONTENT + MAX_HEAD + 512];
    int length = snprintf(body, sizeof body, POLL_BODY, offset, tag, content, offset, tag);
    int size = snprintf(answer, sizeof answer, POLL_HEAD, length, "");
    size = snprintf(answer, sizeof answer, POLL_HEAD "%s", length, padding(size), body);
    for (int i = polls.count - 1; i >= 0; i--) {
        int fd = polls.fds[i];
        release(fd);
        send_or_drop(fd, answer, size);
    }
}

static void publish(int fd, const char *content) {
    size_t size = strcspn(content, " &\r\n");
    char text[MAX_CONTENT];
    if (size >= sizeof text) return drop(fd);
    memcpy(text, content, size);
    text[size] = 0;
    offset++;
    tag = clock_us();
    send_to_streams(text);
    answer_polls(text);
    send_or_drop(fd, NO_CONTENT, sizeof NO_CONTENT - 1);
}

static int starts_with(const char *text, const char *start) { return strncmp(text, start, strlen(start)) == 0; }

/* Answer one request; `head` is its whole head, ended by a zero byte. */
static void serve(int fd, const char *head) {
    if (held_in[fd]) return drop(fd); /* a second request on a held connection */
    if (starts_with(head, "GET /sse?id=")) return welcome(fd);
    if (starts_with(head, "GET /poll?id=")) return hold(&polls, fd);
    if (starts_with(head, "GET /pub?content=")) return publish(fd, head + strlen("GET /pub?content="));
    send_or_drop(fd, NOT_FOUND, sizeof NOT_FOUND - 1);
}

static void keep_rest(int fd, const char *bytes, size_t size) {
    free(rest[fd]);
    rest[fd] = NULL;
    rest_size[fd] = size;
    if (!size) return;
    rest[fd] = malloc(size);
    if (!rest[fd]) die("malloc");
    memcpy(rest[fd], bytes, size);
}

/* Read once and serve every head that is complete; level-triggered epoll reports whatever is left. */
static void on_readable(int fd) {
    static char buffer[2 * READ_SIZE];
    size_t size = rest_size[fd];
    if (size) memcpy(buffer, rest[fd], size);
    ssize_t got = size < READ_SIZE ? read(fd, buffer + size, READ_SIZE - 1) : 0;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return drop(fd);
    size += got;
    buffer[size] = 0;
    char *start = buffer, *end;
    while (is_open[fd] && (end = strstr(start, "\r\n\r\n"))) {
        *end = 0;
        serve(fd, start);
        start = end + 4;
    }
    size -= start - buffer;
    if (is_open[fd] && (size || rest_size[fd])) keep_rest(fd, start, size);
}

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static void accept_some(void) {
    for (int i = 0; i < MAX_ACCEPTS; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED)) return;
        if (fd < 0) die("accept4");
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        is_open[fd] = 1;
        watch(fd);
    }
}

static void set_option(int level, int name, int value) {
    if (setsockopt(listener, level, name, &value, sizeof value) < 0) die("setsockopt");
}

static void listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0) die("socket");
    set_option(SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
    set_option(IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
    if (listen(listener, BACKLOG) < 0) die("listen");
}

int main(int count, char **words) {
    if (count < 2 || count > 3) {
        fprintf(stderr, "usage: reference PORT [HEAD]\n");
        return 2;
    }
    head_size = count == 3 ? atoi(words[2]) : 0;
    if (head_size > MAX_HEAD) head_size = MAX_HEAD;
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* end with the benchmark, however that ends */
    tag = clock_us();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) die("epoll_create1");
    listen_on(atoi(words[1]));
    watch(listener);
    struct epoll_event ready[MAX_EVENTS];
    for (;;) {
        int n = epoll_wait(epoll_fd, ready, MAX_EVENTS, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (ready[i].data.fd == listener) accept_some();
            else on_readable(ready[i].data.fd);
        }
    }
}
