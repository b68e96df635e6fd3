/* limit: whether a visitor may ask once more: a token bucket for each, many of them in little memory.
 * Threads: any, by atomic operations only: there is no lock that a dying child could keep.
 * Memory: the caller keeps the sets wherever many processes see them; all zero is the beginning.
 * Never: reads a clock, waits, or knows who a visitor is. */
#ifndef KOHOMAI_LIMIT_H
#define KOHOMAI_LIMIT_H

#include <apr_time.h>
#include <stdatomic.h>
#include <stdint.h>

/* What is counted, each by itself. Sessions of those who send a registration again have no policy of
 * their own, but that of registrations. */
typedef enum {
    KOHOMAI_LIMIT_REGISTER,
    KOHOMAI_LIMIT_SESSION,
    KOHOMAI_LIMITS, /* that have a policy */
    KOHOMAI_LIMIT_REPEAT = KOHOMAI_LIMITS
} kohomai_limit_e;

/* A bucket holds count tokens, which come back one by one, all of them within duration. */
typedef struct {
    int count; /* 0: there is no limit */
    apr_interval_time_t duration;
} kohomai_limit_policy_t;

/* What a policy must keep to: the most tokens, the longest duration, and the shortest time in which
 * one may come back. */
#define KOHOMAI_LIMIT_COUNT_MAX 1000000
#define KOHOMAI_LIMIT_DURATION_MAX apr_time_from_sec(86400)
#define KOHOMAI_LIMIT_PACE_MIN apr_time_from_msec(10)

/* A bucket is one word: 24 bits of a tag that say whose it is, and 40 bits of time: when the bucket
 * will be full again. This is the generic cell rate algorithm in its form of virtual scheduling
 * (ITU-T Recommendation I.371, annex A), where that time is the "theoretical arrival time". A full
 * bucket says no more than no bucket at all: so its place can be given to somebody else, and
 * nothing ever needs to be swept.
 *
 * Who finds no place in a set gets that of the bucket which is nearest to being full. So a flood of
 * visitors makes the set forget those first who asked least. Whoever is forgotten begins with a
 * full bucket again: a flood refuses nobody. Only where two visitors of one set have the same tag
 * do they share a bucket: one pair in 16 million. */
#define KOHOMAI_LIMIT_WAYS 8
#define KOHOMAI_LIMIT_TAG_MAX 0xffffff

typedef struct {
    _Atomic uint64_t buckets[KOHOMAI_LIMIT_WAYS];
} kohomai_limit_set_t;

/* The bytes by which IP addresses are told apart here: those of an IPv4 address, also where IPv6
 * spells it (::ffff:192.0.2.1), or the first 64 bits of an IPv6 address, since one customer has all
 * of them. ip has 4 or 16 bytes in the order of the network; all addresses of another length are
 * one. */
#define KOHOMAI_ADDRESS_SIZE 9
void kohomai_limit_address(const unsigned char *ip, int len, unsigned char *address);

/* Takes a token from the bucket of a tag (1 to KOHOMAI_LIMIT_TAG_MAX). 1 if there was one; else 0,
 * with *again set to the time until there is. One tag must always come with the same policy. */
int kohomai_limit_take(kohomai_limit_set_t *set, uint64_t tag, const kohomai_limit_policy_t *policy,
                       apr_time_t now, apr_interval_time_t *again);

/* Gives a token back that was taken and not needed. */
void kohomai_limit_give_back(kohomai_limit_set_t *set, uint64_t tag,
                             const kohomai_limit_policy_t *policy, apr_time_t now);

#endif
