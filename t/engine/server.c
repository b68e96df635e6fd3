/* server: a small HTTP server inside the test process, which behaves as the path of a request says.
 * Threads: any may ask; it runs one of its own per connection. Memory: lives until server_stop.
 * Never: listens anywhere but on loopback. */
#include "server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 4096
#define HEAD_MAX 8192

struct server_t {
    int listener, port;
    pthread_t acceptor;
    atomic_int stopping, accepted, open, arrivals;
    atomic_int seen[SERVER_NUMBERS];
    atomic_int arrived[SERVER_NUMBERS];
    pthread_mutex_t lock; /* over what follows */
    int sockets[CONNECTIONS]; /* -1: closed by its own thread */
    pthread_t threads[CONNECTIONS];
};

typedef struct {
    server_t *server;
    int place, fd, answered;
    char head[HEAD_MAX + 1], body[64];
    size_t have; /* bytes in head, what follows the head included */
} connection_t;

static void pause_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&time, NULL);
}

static int put(connection_t *c, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);

        if (n <= 0) {
            return 0;
        }
        bytes += n;
        len -= (size_t)n;
    }
    return 1;
}

/* Reads until the head ends; its length, or 0 where the connection did. */
static size_t read_head(connection_t *c)
{
    for (;;) {
        char *end;
        ssize_t n;

        c->head[c->have] = '\0';
        end = strstr(c->head, "\r\n\r\n");
        if (end) {
            return (size_t)(end - c->head) + 4;
        }
        n = recv(c->fd, c->head + c->have, HEAD_MAX - c->have, 0);
        if (n <= 0) {
            return 0;
        }
        c->have += (size_t)n;
    }
}

static int read_body(connection_t *c, size_t head, size_t len)
{
    while (c->have < head + len) {
        ssize_t n = recv(c->fd, c->head + c->have, HEAD_MAX - c->have, 0);

        if (n <= 0) {
            return 0;
        }
        c->have += (size_t)n;
    }
    memcpy(c->body, c->head + head, len);
    c->body[len] = '\0';
    return 1;
}

static size_t length_named(const char *head)
{
    const char *line = strcasestr(head, "\r\nContent-Length:");

    return line ? strtoul(line + 17, NULL, 10) : 0;
}

/* Reads one request; path gets what follows POST. 0 where the connection ended first. */
static int read_request(connection_t *c, char *path, size_t room)
{
    size_t head = read_head(c), len;
    int number;

    if (!head) {
        return 0;
    }
    len = length_named(c->head);
    if (len >= sizeof(c->body) || !read_body(c, head, len)) {
        return 0;
    }
    snprintf(path, room, "%.*s", (int)strcspn(c->head + 5, " "), c->head + 5);
    memmove(c->head, c->head + head + len, c->have - head - len);
    c->have -= head + len;
    number = atoi(c->body);
    if (len && number >= 0 && number < SERVER_NUMBERS) {
        int nth = atomic_fetch_add(&c->server->arrivals, 1);

        atomic_fetch_add(&c->server->seen[number], 1);
        if (nth < SERVER_NUMBERS) {
            atomic_store(&c->server->arrived[nth], number + 1);
        }
    }
    return 1;
}

static int answer(connection_t *c, int status, const char *headers, const char *body, size_t len)
{
    char head[256];
    int n = snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n", status, len, headers);

    c->answered++;
    return put(c, head, (size_t)n) && put(c, body, len);
}

static int answer_bytes(connection_t *c, size_t len)
{
    char *body = calloc(1, len + 1);
    int well;

    memset(body, 'x', len);
    well = answer(c, 200, "", body, len);
    free(body);
    return well;
}

static int answer_head(connection_t *c, long len)
{
    char line[1001];
    int well = put(c, "HTTP/1.1 200 X\r\n", 16);

    memset(line, 'h', sizeof(line));
    memcpy(line, "X-H: ", 5);
    memcpy(line + 998, "\r\n", 3);
    for (; well && len > 0; len -= 1000) {
        well = put(c, line, 1000);
    }
    return well && put(c, "Content-Length: 0\r\n\r\n", 21);
}

static int drip(connection_t *c)
{
    static const char bytes[] = "HTTP/1.1 200 X\r\nContent-Length: 3\r\n\r\nabc";
    size_t i;

    for (i = 0; i < sizeof(bytes) - 1; i++) {
        if (!put(c, bytes + i, 1)) {
            return 0;
        }
        pause_ms(20);
    }
    return 1;
}

/* Waits for the caller to close. */
static int hang(connection_t *c)
{
    char byte;

    while (recv(c->fd, &byte, 1, 0) > 0) {
    }
    return 0;
}

/* Does what the path says; 0 closes the connection. */
static int serve(connection_t *c, const char *path)
{
    const char *value = strrchr(path, '/') + 1;

    if (strncmp(path, "/slow/", 6) == 0) {
        pause_ms(atol(value));
    }
    else if (strcmp(path, "/hang") == 0) {
        return hang(c);
    }
    else if (strncmp(path, "/bytes/", 7) == 0) {
        return answer_bytes(c, strtoul(value, NULL, 10));
    }
    else if (strncmp(path, "/head/", 6) == 0) {
        return answer_head(c, atol(value));
    }
    else if (strncmp(path, "/status/", 8) == 0) {
        return answer(c, atoi(value), "Retry-After: 7\r\n", "", 0);
    }
    else if (strncmp(path, "/die/", 5) == 0 && c->answered >= atoi(value)) {
        return 0;
    }
    else if (strncmp(path, "/die-slowly/", 12) == 0) {
        pause_ms(300);
        if (c->answered >= atoi(value)) {
            return 0;
        }
    }
    else if (strncmp(path, "/die-late/", 10) == 0) {
        if (c->answered >= atoi(value)) {
            return 0;
        }
        pause_ms(300);
    }
    else if (strcmp(path, "/drip") == 0) {
        return drip(c);
    }
    else if (strcmp(path, "/cut") == 0) {
        put(c, "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nabc", 40);
        return 0;
    }
    return answer(c, 200, "", c->body, strlen(c->body)) && strcmp(path, "/close") != 0;
}

static void *run_connection(void *baton)
{
    connection_t *c = baton;
    server_t *server = c->server;
    char path[256];

    while (read_request(c, path, sizeof(path)) && serve(c, path)) {
    }
    pthread_mutex_lock(&server->lock);
    close(c->fd);
    server->sockets[c->place] = -1;
    pthread_mutex_unlock(&server->lock);
    atomic_fetch_sub(&server->open, 1);
    free(c);
    return NULL;
}

static void begin_connection(server_t *server, int fd)
{
    connection_t *c = calloc(1, sizeof(*c));
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    pthread_mutex_lock(&server->lock);
    c->server = server;
    c->fd = fd;
    c->place = atomic_fetch_add(&server->accepted, 1);
    if (c->place >= CONNECTIONS) {
        abort();
    }
    server->sockets[c->place] = fd;
    atomic_fetch_add(&server->open, 1);
    if (pthread_create(&server->threads[c->place], NULL, run_connection, c) != 0) {
        abort();
    }
    pthread_mutex_unlock(&server->lock);
}

static void *run_acceptor(void *baton)
{
    server_t *server = baton;
    int fd;

    while ((fd = accept(server->listener, NULL, NULL)) >= 0 && !atomic_load(&server->stopping)) {
        begin_connection(server, fd);
    }
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

server_t *server_start(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    server_t *server = calloc(1, sizeof(*server));

    pthread_mutex_init(&server->lock, NULL);
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server->listener, (struct sockaddr *)&address, len) != 0 || listen(server->listener, 1024) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &len) != 0 ||
        pthread_create(&server->acceptor, NULL, run_acceptor, server) != 0) {
        abort();
    }
    server->port = ntohs(address.sin_port);
    return server;
}

void server_stop(server_t *server)
{
    int i, accepted;

    atomic_store(&server->stopping, 1);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->acceptor, NULL);
    accepted = atomic_load(&server->accepted);
    pthread_mutex_lock(&server->lock);
    for (i = 0; i < accepted; i++) {
        if (server->sockets[i] >= 0) {
            shutdown(server->sockets[i], SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&server->lock);
    for (i = 0; i < accepted; i++) {
        pthread_join(server->threads[i], NULL);
    }
    close(server->listener);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

const char *server_url(server_t *server, const char *path, char *room)
{
    sprintf(room, "http://127.0.0.1:%d%s", server->port, path);
    return room;
}

int server_seen(server_t *server, int number)
{
    return atomic_load(&server->seen[number]);
}

int server_arrived(server_t *server, int nth)
{
    return atomic_load(&server->arrived[nth]) - 1;
}

int server_accepted(server_t *server)
{
    return atomic_load(&server->accepted);
}

int server_open(server_t *server)
{
    return atomic_load(&server->open);
}
