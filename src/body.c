/* body: reads a request's body once, and gives it back whole to whoever reads it next.
 * Threads: the request's own. Memory: the bytes live as long as the request.
 * Never: looks into the bytes. */
#include "body.h"

#include <apr_buckets.h>
#include <string.h>
#include <util_filter.h>

#define STEP 65536

static const char filter_name[] = "KOHOMAI_BODY";

/* Appends the data of in to out and counts it in *total. Sets *eos at the body's end. */
static apr_status_t append(apr_bucket_brigade *out, apr_bucket_brigade *in, apr_size_t *total,
                           int *eos)
{
    apr_status_t rv = APR_SUCCESS;
    apr_bucket *bucket;

    for (bucket = APR_BRIGADE_FIRST(in); bucket != APR_BRIGADE_SENTINEL(in) && !*eos && !rv;
         bucket = APR_BUCKET_NEXT(bucket)) {
        const char *data;
        apr_size_t len;

        if (APR_BUCKET_IS_EOS(bucket)) {
            *eos = 1;
        }
        else if (!APR_BUCKET_IS_METADATA(bucket)) {
            rv = apr_bucket_read(bucket, &data, &len, APR_BLOCK_READ);
            if (rv == APR_SUCCESS) {
                *total += len;
                rv = apr_brigade_write(out, NULL, NULL, data, len);
            }
        }
    }
    return rv;
}

kohomai_body_t *kohomai_body_read(request_rec *r)
{
    kohomai_body_t *body = apr_pcalloc(r->pool, sizeof(*body));
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    apr_bucket_brigade *in = apr_brigade_create(r->pool, alloc);
    apr_bucket_brigade *out = apr_brigade_create(r->pool, alloc);
    char *bytes;

    while (!body->whole && body->error == APR_SUCCESS && body->len <= KOHOMAI_BODY_MAX) {
        apr_size_t left = KOHOMAI_BODY_MAX + 1 - body->len; /* one more shows that it is longer */

        body->error = ap_get_brigade(r->input_filters, in, AP_MODE_READBYTES, APR_BLOCK_READ,
                                     (apr_off_t)(left < STEP ? left : STEP));
        if (body->error == APR_SUCCESS) {
            body->error = append(out, in, &body->len, &body->whole);
        }
        apr_brigade_cleanup(in);
    }
    bytes = apr_palloc(r->pool, body->len + 1);
    apr_brigade_flatten(out, bytes, &body->len);
    bytes[body->len] = '\0';
    body->bytes = bytes;
    apr_brigade_destroy(out);
    apr_brigade_destroy(in);
    return body;
}

void kohomai_body_give_back(kohomai_body_t *body, request_rec *r)
{
    ap_add_input_filter(filter_name, body, r, r->connection);
}

/* The next piece of at most max bytes; the end of the body goes with its last piece. */
static void give_piece(kohomai_body_t *body, ap_filter_t *f, apr_bucket_brigade *bb, apr_off_t max,
                       int keep)
{
    apr_size_t left = body->len - body->given_back;
    apr_size_t n = max > 0 && (apr_off_t)left > max ? (apr_size_t)max : left;

    if (n) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_pool_create(body->bytes + body->given_back, n,
                                                           f->r->pool, bb->bucket_alloc));
    }
    if (n == left && body->whole) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    }
    if (!keep) {
        body->given_back += n;
    }
}

static apr_status_t give_line(kohomai_body_t *body, ap_filter_t *f, apr_bucket_brigade *bb)
{
    const char *start = body->bytes + body->given_back;
    apr_size_t left = body->len - body->given_back;
    const char *end = left ? memchr(start, '\n', left) : NULL;

    give_piece(body, f, bb, end ? end - start + 1 : HUGE_STRING_LEN, 0);
    return APR_SUCCESS;
}

static apr_status_t give_back_filter(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                                     apr_read_type_e block, apr_off_t readbytes)
{
    kohomai_body_t *body = f->ctx;

    if (body->given_back == body->len && !body->whole) {
        if (body->error != APR_SUCCESS) {
            return body->error;
        }
        ap_remove_input_filter(f);
        return ap_get_brigade(f->next, bb, mode, block, readbytes);
    }
    switch (mode) {
    case AP_MODE_READBYTES:
    case AP_MODE_SPECULATIVE:
        give_piece(body, f, bb, readbytes, mode == AP_MODE_SPECULATIVE);
        return APR_SUCCESS;
    case AP_MODE_EXHAUSTIVE:
        give_piece(body, f, bb, 0, 0);
        return APR_SUCCESS;
    case AP_MODE_GETLINE:
        return give_line(body, f, bb);
    default:
        return mode == AP_MODE_INIT ? APR_SUCCESS : APR_ENOTIMPL;
    }
}

void kohomai_body_register(void)
{
    /* Next to the protocol's own: what the site filters (inflating, say) it filters as ever. */
    ap_register_input_filter(filter_name, give_back_filter, NULL, AP_FTYPE_PROTOCOL - 1);
}
