/* kohomai: what every room of the module shares: its record, its place in the log, and the slot
 * that a request keeps for it.
 * Threads: any. Memory: a request's slot lives as long as the request.
 * Never: becomes the place for whatever has none. */
#ifndef KOHOMAI_H
#define KOHOMAI_H

#include <httpd.h>

#include <http_config.h>

extern module AP_MODULE_DECLARE_DATA kohomai_module;

/* What a request keeps for the module. An internal redirect makes a new request_rec with the old
 * one in r->prev: whoever looks for a slot looks there, too (kohomai_slot_find). */
typedef struct {
    struct kohomai_inputs_t *inputs; /* visitor: what was read of the request, NULL for nothing */
    struct kohomai_visit_t *visit;   /* flow: NULL where the request is no visit */
} kohomai_slot_t;

/* The slot of r or of a request that r came from by internal redirect; NULL where none has one. */
kohomai_slot_t *kohomai_slot_find(const request_rec *r);

/* The same, made where there is none. */
kohomai_slot_t *kohomai_slot_get(request_rec *r);

#endif
