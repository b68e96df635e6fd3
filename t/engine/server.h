/* server: a small HTTP server inside the test process, which behaves as the path of a request says.
 * Threads: any may ask; it runs one of its own per connection. Memory: lives until server_stop.
 * Never: listens anywhere but on loopback. */
#ifndef KOHOMAI_ENGINE_SERVER_H
#define KOHOMAI_ENGINE_SERVER_H

/* Bodies are numbers below this: the server counts how often it was sent each. */
#define SERVER_NUMBERS 20000

typedef struct server_t server_t;

server_t *server_start(void);
void server_stop(server_t *server);

/* The address of a path. /echo says back the body. /slow/MS does so after MS milliseconds. /hang never answers.
 * /bytes/N answers N bytes; /head/N has a head of N bytes. /close answers, and closes at once. /die/N answers N requests
 * of a connection, and closes when it has read the next; /die-late/N answers them after a while, and /die-slowly/N
 * takes its time with all that. /drip answers a byte each 20 ms. /cut breaks off. /status/NNN answers that, with Retry-After: 7. */
const char *server_url(server_t *server, const char *path, char *room);

/* How often the body with this number has arrived whole. */
int server_seen(server_t *server, int number);

/* Which one arrived as the nth (from 0), or -1. */
int server_arrived(server_t *server, int nth);

/* How many connections there have been, and how many there are. */
int server_accepted(server_t *server);
int server_open(server_t *server);

#endif
