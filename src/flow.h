/* flow: the story of one visit, from arrival to answer.
 * Threads: the request's own, which is another one after it was parked. Memory: the request's pool.
 * Never: writes JSON, knows curl or the MPM, or holds a lock. */
#ifndef KOHOMAI_FLOW_H
#define KOHOMAI_FLOW_H

#include "client.h"
#include "courier.h"
#include "gate.h"
#include "key.h"
#include "park.h"
#include "repeat.h"
#include "shared.h"

#include <httpd.h>

/* What a child keeps for its visits. Any part but breaker is NULL where it could not be made. */
typedef struct {
    kohomai_client_t *client;
    kohomai_park_t *park;
    kohomai_gate_t *gate;
    kohomai_shared_t *shared;
    kohomai_repeat_t *repeat;
    kohomai_keys_t *keys;
    kohomai_courier_t *courier; /* NULL without an outbox, too */
    kohomai_breaker_policy_t breaker;
} kohomai_child_t;

/* Begins a visit (fixups hook): DECLINED where the path is not ours or the site shall answer by
 * itself, SUSPENDED where the visitor is parked, else what httpd must make of it. */
int kohomai_flow_begin(request_rec *r, const kohomai_child_t *child);

/* Answers a browser that asks whether another site may start a handoff here (header_parser hook):
 * before authentication, since such a question never says who the visitor is. DECLINED for all
 * else, and where the site may not. */
int kohomai_flow_preflight(request_rec *r);

/* Protects httpd's own error answers to a visit (insert_error_filter hook), since httpd forgets all
 * headers where it answers a body that it does not take. */
void kohomai_flow_protect_error(request_rec *r);

#endif
