/* client: the one engine of a child that talks HTTP: an I/O thread, its connections, its calls.
 * Threads: any, except what has _io_ in its name. Memory: a call is the client's; see each function.
 * Never: sees a request_rec, reads JSON, follows a redirect, or decides what an answer means. */
#ifndef KOHOMAI_CLIENT_H
#define KOHOMAI_CLIENT_H

#include "proxy.h"

#include <apr_pools.h>
#include <apr_time.h>

typedef struct kohomai_client_t kohomai_client_t;
typedef struct kohomai_call_t kohomai_call_t;

/* What to send, always by POST as JSON. The strings are copied; proxy is not. */
typedef struct {
    const char *url;              /* absolute; NULL for a nap: nothing is sent, and it ends
                                  KOHOMAI_TIMED_OUT at not_before */
    const char *authorization;    /* the whole header line, or NULL for none */
    const char *ca_file;          /* PEM file of trusted CAs, NULL for the system's */
    const kohomai_proxy_t *proxy; /* for an https url; NULL for none; must outlive the client */
    const char *body;
    apr_size_t body_len;
    apr_size_t answer_max;               /* bytes of an answer's body; a longer one fails */
    apr_interval_time_t connect_timeout; /* name look-up, TCP and TLS handshakes */
    apr_time_t not_before;               /* when to send it; 0 or past: at once */
    apr_time_t deadline;                 /* when all must be over */
    int once;                            /* must not reach the server twice */
    int visitor; /* the visitor's socket, or -1: if its peer leaves, the call is cancelled, unless
                    it is a once that may have been sent. It must stay open while the call is under
                    way, or until kohomai_call_abandon. */
} kohomai_order_t;

/* How a call ended. */
typedef enum {
    KOHOMAI_ANSWERED,    /* a whole answer came: status, body */
    KOHOMAI_UNREACHABLE, /* no connection, no name, no TLS */
    KOHOMAI_BROKEN,      /* connected, but no whole, bounded HTTP answer */
    KOHOMAI_TIMED_OUT,   /* connect_timeout or the deadline passed */
    KOHOMAI_CANCELLED,   /* the visitor left, or kohomai_call_abandon */
    KOHOMAI_STOPPED      /* the client is stopping, or could not start */
} kohomai_fate_e;

typedef struct {
    kohomai_fate_e fate;
    int maybe_sent;   /* the body, or a part of it, may have reached the server */
    int status;       /* HTTP status, KOHOMAI_ANSWERED only */
    const char *body; /* lives until the call is released */
    apr_size_t body_len;
    int retry_after;    /* seconds as the answer names them, 0 if it does not */
    const char *detail; /* for the log: a constant sentence, free of anything secret; may be "" */
} kohomai_reply_t;

/* Told once per call when its reply stands, on the I/O thread: must be quick and may not call the
 * client. */
typedef void (*kohomai_done_io_fn)(void *baton);

/* Makes a child's client; to be called once per process, after the fork. Its thread starts with
 * the first call. It is stopped by kohomai_client_stop, or when pool is cleared. NULL where
 * libcurl or memory fails. */
kohomai_client_t *kohomai_client_create(apr_pool_t *pool);

/* Stops the thread; every call under way is told KOHOMAI_STOPPED. Returns within two seconds even
 * where the thread does not. Further calls are answered KOHOMAI_STOPPED at once. */
void kohomai_client_stop(kohomai_client_t *client);

/* Sends an order. The call that is returned is the caller's until kohomai_call_release. done may
 * run before this returns, but always runs. */
kohomai_call_t *kohomai_client_send(kohomai_client_t *client, const kohomai_order_t *order,
                                    kohomai_done_io_fn done, void *baton);

/* The reply; only once done has been told. */
const kohomai_reply_t *kohomai_call_reply(const kohomai_call_t *call);

/* Gives the call back. What kohomai_call_reply returned is gone with it. */
void kohomai_call_release(kohomai_call_t *call);

/* Gives back a call that may still be under way, since nobody waits for it any more. It is
 * cancelled unless it is a once that may have been sent; done is told all the same. */
void kohomai_call_abandon(kohomai_call_t *call);

#endif
