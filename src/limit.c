/* limit: whether a visitor may ask once more: a token bucket for each, many of them in little memory.
 * Threads: any, by atomic operations only: there is no lock that a dying child could keep.
 * Memory: the caller keeps the sets wherever many processes see them; all zero is the beginning.
 * Never: reads a clock, waits, or knows who a visitor is. */
#include "limit.h"

#include <string.h>

/* Time is counted in sixteenths of a millisecond, and begins anew every two years: so only the
 * difference of two times means something. */
#define TIME_BITS 40
#define TIME_MASK ((1ULL << TIME_BITS) - 1)
#define TICKS_PER_MS 16

/* Those who come at once have read the clock one after another, and arrive in any order. Only what
 * is further off shows that it was set back. */
#define CLOCKS_APART apr_time_from_sec(10)

static uint64_t ticks_of(apr_interval_time_t time)
{
    return (uint64_t)time * TICKS_PER_MS / 1000;
}

/* The time in which one token comes back, rounded up: so there are never more than was said. */
static uint64_t pace_of(const kohomai_limit_policy_t *policy)
{
    uint64_t count = (uint64_t)policy->count;

    return (ticks_of(policy->duration) + count - 1) / count;
}

/* The time until a bucket is full. One that would take longer than any policy allows is of the
 * time before last, or of a clock that was set back since: it is full. */
static uint64_t lack_of(uint64_t bucket, uint64_t now)
{
    uint64_t lack = (bucket - now) & TIME_MASK;

    return bucket && lack <= ticks_of(KOHOMAI_LIMIT_DURATION_MAX) + KOHOMAI_LIMIT_COUNT_MAX ? lack
                                                                                            : 0;
}

static uint64_t bucket_of(uint64_t tag, uint64_t full_at)
{
    return tag << TIME_BITS | (full_at & TIME_MASK);
}

/* Where the tag's bucket is, else the place that is the least loss to others; *bucket is what is
 * there. */
static _Atomic uint64_t *find(kohomai_limit_set_t *set, uint64_t tag, uint64_t now,
                              uint64_t *bucket)
{
    _Atomic uint64_t *least = NULL;
    uint64_t least_lack = 0;
    int i;

    for (i = 0; i < KOHOMAI_LIMIT_WAYS; i++) {
        uint64_t there = atomic_load(&set->buckets[i]);
        uint64_t lack = lack_of(there, now);

        if (there >> TIME_BITS == tag) {
            *bucket = there;
            return &set->buckets[i];
        }
        if (!least || lack < least_lack) {
            least = &set->buckets[i];
            least_lack = lack;
            *bucket = there;
        }
    }
    return least;
}

int kohomai_limit_take(kohomai_limit_set_t *set, uint64_t tag, const kohomai_limit_policy_t *policy,
                       apr_time_t time, apr_interval_time_t *again)
{
    uint64_t now = ticks_of(time), pace = pace_of(policy);
    uint64_t whole = pace * (uint64_t)policy->count, bucket, lack;
    _Atomic uint64_t *place;

    do { /* once more where somebody changed the place meanwhile: perhaps for the same visitor */
        place = find(set, tag, now, &bucket);
        lack = bucket >> TIME_BITS == tag ? lack_of(bucket, now) : 0;
        if (lack > whole + ticks_of(CLOCKS_APART)) {
            lack = 0;
        }
        if (lack + pace > whole) {
            *again = (apr_interval_time_t)(((lack + pace - whole) * 1000 + TICKS_PER_MS - 1) /
                                           TICKS_PER_MS);
            return 0;
        }
    } while (!atomic_compare_exchange_weak(place, &bucket, bucket_of(tag, now + lack + pace)));
    return 1;
}

void kohomai_limit_give_back(kohomai_limit_set_t *set, uint64_t tag,
                             const kohomai_limit_policy_t *policy, apr_time_t time)
{
    uint64_t now = ticks_of(time), pace = pace_of(policy), bucket;
    _Atomic uint64_t *place;

    do {
        place = find(set, tag, now, &bucket);
        if (bucket >> TIME_BITS != tag || !lack_of(bucket, now)) {
            return; /* forgotten meanwhile, or filled by itself */
        }
    } while (!atomic_compare_exchange_weak(place, &bucket, bucket_of(tag, bucket - pace)));
}

void kohomai_limit_address(const unsigned char *ip, int len, unsigned char *address)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

    memset(address, 0, KOHOMAI_ADDRESS_SIZE);
    if (len == 16 && memcmp(ip, mapped, sizeof(mapped)) == 0) {
        ip += sizeof(mapped);
        len = 4;
    }
    if (len == 4 || len == 16) {
        address[0] = (unsigned char)len;
        memcpy(address + 1, ip, len == 4 ? 4 : 8);
    }
}
