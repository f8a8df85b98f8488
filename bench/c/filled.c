/* Connections that begin something, fill it with bytes, and do not finish it, in one cheap process.
 *
 *     filled PORT SECONDS   (SECONDS: what one command may take; past it the process ends with status 1)
 *
 *     open COUNT KIND       open COUNT connections, fill them and keep them. KIND is what is begun:
 *                           0 a head, 1 a body, 2 a frame of a WebSocket, 3 a request behind a poll that waits
 *     churn COUNT MS KIND   open COUNT connections within MS milliseconds, and close each at once when it is filled;
 *                           answers with `ok COUNT TOOK LATE`: the milliseconds that it took, and how many of them the
 *                           server's kernel had no place for at that moment
 *     drop                  close those that are kept
 *     quit
 */
#define _GNU_SOURCE
#include "client.h"
#include "times.h"

enum kind { HEADS, BODIES, FRAMES, PIPELINED, KINDS };
enum { FILLING = 15000, MAX_BEGINNING = 512 };

static const char *const beginnings[KINDS] = {
    "GET /sub?id=1 HTTP/1.1\r\nHost: x\r\nX: ",
    "POST /sub/ffffffff.AAAAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: x\r\nContent-Length: 16000\r\n\r\n",
    "GET /ws?id=1 HTTP/1.1\r\nHost: x\r\n" UPGRADE "\r\n",
    "GET /poll?id=1 HTTP/1.1\r\nHost: x\r\n\r\nGET /sub?id=1 HTTP/1.1\r\nHost: x\r\nX: ",
};
static const char frame[8] = "\x81\xfe\x3f\xff\0\0\0"; /* a text of 16,383 bytes begins */

static int kept[MAX_CONNECTIONS], count;
static char filled[KINDS][MAX_BEGINNING + FILLING];
static int sizes[KINDS];

static void on_ready(int number, uint32_t events) {
    (void)number, (void)events;
}

static void make_bytes(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        int size = strlen(beginnings[kind]);
        memcpy(filled[kind], beginnings[kind], size);
        if (kind == FRAMES) {
            memcpy(filled[kind] + size, frame, sizeof frame);
            size += sizeof frame;
        }
        memset(filled[kind] + size, 'a', FILLING);
        sizes[kind] = size + FILLING;
    }
}

/* Open a connection and fill it, both without waiting; return its descriptor, or -1 if it was late. */
static int open_filled(int number, int kind) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number % SOURCES);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) fail("bind: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) fail("connect: %s", strerror(errno));
    if (send(fd, filled[kind], sizes[kind], MSG_NOSIGNAL) >= 0) return fd;
    close(fd);
    return -1;
}

static void open_and_keep(int how_many, int kind) {
    if (count + how_many > MAX_CONNECTIONS) fail("more than %d connections", MAX_CONNECTIONS);
    for (int last = count + how_many; count < last;) {
        kept[count] = open_filled(count, kind);
        if (kept[count] >= 0) count++;
        else usleep(1000); /* the kernel's queue is full */
    }
}

static int churn(int how_many, int milliseconds, int kind) {
    int late = 0;
    int64_t began = now_ns();
    for (int i = 0; i < how_many; i++) {
        while (now_ns() < began + (int64_t)milliseconds * 1000000 * i / how_many) usleep(200);
        int fd = open_filled(i, kind);
        if (fd >= 0) close(fd);
        else late++;
    }
    return late;
}

static void drop(void) {
    while (count) close(kept[--count]);
}

static void obey(char *line) {
    int how_many, milliseconds, kind;
    if (sscanf(line, "open %d %d", &how_many, &kind) == 2 && kind < KINDS) {
        open_and_keep(how_many, kind);
        printf("ok %d\n", count);
    } else if (sscanf(line, "churn %d %d %d", &how_many, &milliseconds, &kind) == 3 && kind < KINDS) {
        int64_t began = now_ns();
        int late = churn(how_many, milliseconds, kind);
        printf("ok %d %ld %d\n", how_many, (long)((now_ns() - began) / 1000000), late);
    } else if (strncmp(line, "drop", 4) == 0) {
        drop();
        printf("ok\n");
    } else {
        fail("an unknown command: %s", line);
    }
}

int main(int words, char **word) {
    make_bytes();
    return serve(words, word, turn, obey);
}
