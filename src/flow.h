/* flow: the story of one visit, from arrival to answer.
 * Threads: the request's own. Memory: the request's pool.
 * Never: writes JSON, knows curl or the MPM, or holds a lock. */
#ifndef KOHOMAI_FLOW_H
#define KOHOMAI_FLOW_H

#include "client.h"

#include <httpd.h>

/* Begins a visit (fixups hook): DECLINED where the path is not ours or the site shall answer by
 * itself, else what httpd must make of it. client is the child's. */
int kohomai_flow_begin(request_rec *r, kohomai_client_t *client);

#endif
