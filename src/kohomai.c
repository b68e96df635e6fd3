/* kohomai: what every room of the module shares: its record, its place in the log, and the slot
 * that a request keeps for it.
 * Threads: any. Memory: a request's slot lives as long as the request.
 * Never: becomes the place for whatever has none. */
#include "kohomai.h"

kohomai_slot_t *kohomai_slot_find(const request_rec *r)
{
    kohomai_slot_t *slot = NULL;

    for (; r && !slot; r = r->prev) {
        slot = ap_get_module_config(r->request_config, &kohomai_module);
    }
    return slot;
}

kohomai_slot_t *kohomai_slot_get(request_rec *r)
{
    kohomai_slot_t *slot = kohomai_slot_find(r);

    if (!slot) {
        slot = apr_pcalloc(r->pool, sizeof(*slot));
        ap_set_module_config(r->request_config, &kohomai_module, slot);
    }
    return slot;
}
