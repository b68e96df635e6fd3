/* Tests of repeat, over simulated time: who registers, who waits, who gets which answer; and, with
 * real processes, who is the first of many at the same moment, and what a dead one leaves behind.
 * No test's verdict depends on how long anything takes. */
#include "repeat.h"
#include "unit.h"
#include "url.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define START (apr_time_from_sec(1700000000) + 123456)
#define PATIENCE apr_time_from_sec(10)
#define LINK \
    "https://app.kohomai.com/internal/v1/autologin?UUID=2bb35288-f2ac-4c68-b7aa-51acd82af485"

static const kohomai_repeat_answer_t handed_off = {
    .outcome = KOHOMAI_HANDED_OFF,
    .api_status = 200,
    .reason = "",
    .id = "",
    .link = LINK,
    .valid_until = "2022-04-07T13:10:01.614Z",
};

static kohomai_repeat_t *table(apr_pool_t *pool)
{
    apr_status_t rv = APR_SUCCESS;
    kohomai_repeat_t *repeat = kohomai_repeat_get(pool, &rv);

    expect(repeat != NULL && rv == APR_SUCCESS, "there is a table");
    return repeat;
}

/* Somebody who sends something. */
static kohomai_claim_t click(kohomai_repeat_t *repeat, const char *browser, const char *body)
{
    const char *const texts[] = {browser, body};
    kohomai_claim_t claim = {.patience = PATIENCE};

    kohomai_repeat_key(repeat, texts, 2, &claim);
    return claim;
}

static kohomai_claim_t numbered(kohomai_repeat_t *repeat, int number)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", number);
    return click(repeat, "browser", text);
}

static void expect_says(apr_pool_t *pool, kohomai_repeat_t *repeat, kohomai_claim_t *claim,
                        apr_time_t now, kohomai_repeat_e wanted, const char *row)
{
    kohomai_repeat_answer_t answer = {.reason = ""};
    kohomai_repeat_e got = kohomai_repeat_ask(repeat, claim, now, pool, &answer);

    expect(got == wanted, "%s: got %d, wanted %d", row, got, wanted);
}

static void expect_answer(apr_pool_t *pool, kohomai_repeat_t *repeat, kohomai_claim_t *claim,
                          apr_time_t now, const kohomai_repeat_answer_t *wanted, const char *row)
{
    kohomai_repeat_answer_t got = {.reason = "", .id = "", .link = "", .valid_until = ""};

    if (!expect(kohomai_repeat_ask(repeat, claim, now, pool, &got) == KOHOMAI_REPEAT_ANSWERED,
                "%s: there is an answer", row)) {
        return;
    }
    expect(got.outcome == wanted->outcome && got.api_status == wanted->api_status &&
               got.retry_after == wanted->retry_after && got.id_kind == wanted->id_kind,
           "%s: the figures", row);
    expect_text(got.reason, wanted->reason, row);
    expect_text(got.id, wanted->id, row);
    expect_text(got.link, wanted->link, row);
    expect_text(got.valid_until, wanted->valid_until, row);
}

/* ---- clicks ---- */

static void the_second_click_waits_and_gets_the_firsts_answer(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    kohomai_claim_t first = click(repeat, "browser", "body"), second = first, third = first;

    expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "the first");
    expect_says(pool, repeat, &second, START, KOHOMAI_REPEAT_WAIT, "the second");
    expect_says(pool, repeat, &second, START + PATIENCE, KOHOMAI_REPEAT_WAIT, "much later");
    kohomai_repeat_settle(repeat, &first, START + PATIENCE, &handed_off);
    expect_answer(pool, repeat, &second, START + PATIENCE + 1, &handed_off, "who waited");
    expect_answer(pool, repeat, &third, START + PATIENCE + 1, &handed_off, "who comes now");
}

static void every_kind_of_answer_arrives_whole(apr_pool_t *pool)
{
    static const kohomai_repeat_answer_t answers[] = {
        {.outcome = KOHOMAI_TIMEOUT, .reason = ""},
        {.outcome = KOHOMAI_FAILED, .api_status = 503, .retry_after = 7, .reason = "api"},
        {.outcome = KOHOMAI_QUEUED, .reason = "unreachable"},
        {.outcome = KOHOMAI_NO_OUTCOME, .id_kind = 1, .id = "18446744073709551615", .reason = ""},
    };
    kohomai_repeat_t *repeat = table(pool);
    apr_size_t i;

    for (i = 0; i < ROWS(answers); i++) {
        kohomai_claim_t first = numbered(repeat, (int)i), second = first;
        kohomai_repeat_answer_t answer = answers[i];

        answer.id = answer.id ? answer.id : "";
        answer.link = answer.valid_until = "";
        expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "first");
        kohomai_repeat_settle(repeat, &first, START, &answer);
        expect_answer(pool, repeat, &second, START, &answer, kohomai_outcome_name(answer.outcome));
    }
}

static void the_longest_link_fits_beside_everything_else(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    kohomai_repeat_answer_t answer = handed_off;
    int len;

    for (len = KOHOMAI_URL_MAX - 8; len <= KOHOMAI_URL_MAX; len++) {
        kohomai_claim_t first = numbered(repeat, len), second = first;

        answer.link = repeated(pool, "x", (apr_size_t)len);
        answer.reason = repeated(pool, "r", 63);
        answer.valid_until = repeated(pool, "v", 63);
        answer.id = repeated(pool, "1", 20);
        expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "first");
        kohomai_repeat_settle(repeat, &first, START, &answer);
        expect_answer(pool, repeat, &second, START, &answer, "the longest of all");
    }
}

static void a_time_that_is_none_is_left_out(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    kohomai_claim_t first = click(repeat, "browser", "body"), second = first;
    kohomai_repeat_answer_t answer = handed_off;

    answer.valid_until = repeated(pool, "9", 64);
    expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "first");
    kohomai_repeat_settle(repeat, &first, START, &answer);
    answer.valid_until = "";
    expect_answer(pool, repeat, &second, START, &answer, "no time");
}

static void nobody_gets_what_is_anothers(apr_pool_t *pool)
{
    static const char *const others[][2] = {
        {"browser2", "body"}, {"browser", "body2"}, {"", "body"},
        {"browser", ""},      {"browserb", "ody"},  {"body", "browser"},
        {"browserbody", ""},  {"", "browserbody"},  {NULL, NULL}};
    kohomai_repeat_t *repeat = table(pool);
    kohomai_claim_t first = click(repeat, "browser", "body");
    apr_size_t i;

    expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "the first");
    kohomai_repeat_settle(repeat, &first, START, &handed_off);
    for (i = 0; i < ROWS(others); i++) {
        kohomai_claim_t other = click(repeat, others[i][0], others[i][1]);

        expect_says(pool, repeat, &other, START, KOHOMAI_REPEAT_FIRST, others[i][0]);
    }
}

static void two_tables_have_keys_of_their_own(apr_pool_t *pool)
{
    kohomai_repeat_t *own = table(pool), *again = table(pool);
    apr_pool_t *other_pool;
    kohomai_claim_t one, other;

    apr_pool_create(&other_pool, pool);
    one = click(own, "browser", "body");
    other = click(table(other_pool), "browser", "body");
    expect(one.key[0] != other.key[0] && one.key[1] != other.key[1], "which nobody can foretell");
    expect(one.key[0] != one.key[1], "in both halves");
    expect(own == again, "one pool has one table");
}

static void without_a_table_everyone_registers(apr_pool_t *pool)
{
    kohomai_claim_t one = click(NULL, "browser", "body"), other = one;

    expect_says(pool, NULL, &one, START, KOHOMAI_REPEAT_FIRST, "one");
    expect_says(pool, NULL, &other, START, KOHOMAI_REPEAT_FIRST, "another");
    kohomai_repeat_settle(NULL, &one, START, &handed_off);
    kohomai_repeat_forgo(NULL, &other, START);
    kohomai_repeat_sweep(NULL, START);
}

/* ---- what was never sent ---- */

static void what_was_never_sent_is_sent_by_the_next(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    kohomai_claim_t first = click(repeat, "browser", "body"), second = first, third = first;

    expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "the first");
    expect_says(pool, repeat, &second, START, KOHOMAI_REPEAT_WAIT, "the second");
    expect_says(pool, repeat, &third, START, KOHOMAI_REPEAT_WAIT, "the third");
    kohomai_repeat_forgo(repeat, &first, START + 5);
    expect_says(pool, repeat, &second, START + 6, KOHOMAI_REPEAT_FIRST, "the second goes");
    expect_says(pool, repeat, &third, START + 7, KOHOMAI_REPEAT_WAIT, "the third still waits");
    kohomai_repeat_settle(repeat, &second, START + PATIENCE + 6, &handed_off);
    expect_answer(pool, repeat, &third, START + PATIENCE + 7, &handed_off, "for the second");
}

static void who_takes_over_has_their_own_time(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    kohomai_claim_t first = click(repeat, "browser", "body"), second = first, third = first;
    apr_time_t later = START + apr_time_from_sec(9);

    expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "the first");
    kohomai_repeat_forgo(repeat, &first, later);
    expect_says(pool, repeat, &second, later, KOHOMAI_REPEAT_FIRST, "the second");
    kohomai_repeat_settle(repeat, &second, later, &handed_off);
    expect_answer(pool, repeat, &third, later + apr_time_from_sec(10) - 1, &handed_off, "known");
    third = click(repeat, "browser", "body");
    expect_says(pool, repeat, &third, later + apr_time_from_sec(10), KOHOMAI_REPEAT_FIRST, "over");
}

/* ---- time ---- */

static void an_answer_is_known_for_ten_seconds_from_the_first_click(apr_pool_t *pool)
{
    static const struct {
        apr_interval_time_t answered, known;
    } rows[] = {
        {0, 10000000},       {1, 10000000},       {7999999, 10000000},
        {8000001, 10000001}, {9900000, 11900000}, {19000000, 21000000},
    };
    kohomai_repeat_t *repeat = table(pool);
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        kohomai_claim_t first = numbered(repeat, (int)i), second = first, third = first;

        expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "the first");
        kohomai_repeat_settle(repeat, &first, START + rows[i].answered, &handed_off);
        expect_answer(pool, repeat, &second, START + rows[i].known - 1, &handed_off, "known");
        expect_says(pool, repeat, &third, START + rows[i].known, KOHOMAI_REPEAT_FIRST, "over");
    }
}

static void who_waited_for_what_is_gone_does_not_register(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    kohomai_claim_t first = click(repeat, "browser", "body"), second = first;

    expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "the first");
    expect_says(pool, repeat, &second, START, KOHOMAI_REPEAT_WAIT, "the second");
    kohomai_repeat_settle(repeat, &first, START, &handed_off);
    expect_says(pool, repeat, &second, START + 2 * PATIENCE, KOHOMAI_REPEAT_LOST, "far too late");
}

static void an_owner_that_never_ends_is_given_up(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    kohomai_claim_t first = click(repeat, "browser", "body"), second = first, third = first;
    kohomai_repeat_answer_t late = handed_off;
    apr_time_t end = START + PATIENCE + apr_time_from_sec(10);

    late.link = "https://late.example/";
    expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "the first");
    expect_says(pool, repeat, &second, end - 1, KOHOMAI_REPEAT_WAIT, "may be late");
    expect_says(pool, repeat, &second, end, KOHOMAI_REPEAT_LOST, "but not so late");
    expect_says(pool, repeat, &third, end, KOHOMAI_REPEAT_FIRST, "a new click");
    kohomai_repeat_settle(repeat, &first, end + 1, &late);
    kohomai_repeat_settle(repeat, &third, end + 2, &handed_off);
    second = click(repeat, "browser", "body");
    expect_answer(pool, repeat, &second, end + 3, &handed_off, "the owner of now counts");
}

static void a_clock_that_was_set_back_locks_nobody_out(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    kohomai_claim_t first = click(repeat, "browser", "body"), second = first, third = first;

    expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "the first");
    expect_says(pool, repeat, &second, START - 1000, KOHOMAI_REPEAT_WAIT, "another's clock");
    expect_says(pool, repeat, &third, START - apr_time_from_sec(3600), KOHOMAI_REPEAT_FIRST,
                "an hour");
}

/* ---- room ---- */

static void a_full_table_refuses_nobody(apr_pool_t *pool)
{
    enum { MANY = 20000 };
    kohomai_repeat_t *repeat = table(pool);
    int i, known = 0;

    for (i = 0; i < MANY; i++) {
        kohomai_claim_t claim = numbered(repeat, i);
        kohomai_repeat_answer_t answer = handed_off;

        answer.link = apr_psprintf(pool, "https://a.example/%d", i);
        expect_says(pool, repeat, &claim, START, KOHOMAI_REPEAT_FIRST, "everyone is a first");
        kohomai_repeat_settle(repeat, &claim, START, &answer);
    }
    for (i = 0; i < MANY; i++) {
        kohomai_claim_t claim = numbered(repeat, i);
        kohomai_repeat_answer_t answer;

        if (kohomai_repeat_ask(repeat, &claim, START, pool, &answer) == KOHOMAI_REPEAT_ANSWERED) {
            known++;
            expect_text(answer.link, apr_psprintf(pool, "https://a.example/%d", i), "their own");
        }
    }
    expect(known == 2048, "as many are known as there is room for: %d", known);
    for (i = 0; i < MANY; i++) {
        kohomai_claim_t claim = numbered(repeat, i);

        expect_says(pool, repeat, &claim, START + PATIENCE, KOHOMAI_REPEAT_FIRST, "over");
    }
}

/* The mapping that begins with the table: its length and its flags. */
static apr_size_t mapping(const void *start, char *flags, int size)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    unsigned long from, len = 0;
    char line[1024], *end;

    while (maps && fgets(line, sizeof(line), maps)) {
        from = strtoul(line, &end, 16);
        if (end > line && *end == '-') {
            if (len) {
                break;
            }
            len = from == (unsigned long)(uintptr_t)start ? strtoul(end + 1, NULL, 16) - from : 0;
        }
        if (len && strncmp(line, "VmFlags:", 8) == 0) {
            snprintf(flags, (size_t)size, "%s", line);
        }
    }
    if (maps) {
        fclose(maps);
    }
    return len;
}

static void what_is_over_is_wiped_and_no_core_file_holds_it(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    kohomai_claim_t first = click(repeat, "browser", "somebody@example.com");
    char flags[1024] = "";
    apr_size_t len = mapping(repeat, flags, sizeof(flags));

    expect(len > 0, "the table's pages");
    expect(strstr(flags, " dd") != NULL, "are left out of core files: %s", flags);
    expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "the first");
    kohomai_repeat_settle(repeat, &first, START, &handed_off);
    expect(memmem(repeat, len, "autologin", 9) != NULL, "a link is there");
    expect(memmem(repeat, len, "somebody", 8) == NULL, "but nothing that the visitor sent");
    kohomai_repeat_sweep(repeat, START + PATIENCE - 1);
    expect(memmem(repeat, len, "autologin", 9) != NULL, "until its time is over");
    kohomai_repeat_sweep(repeat, START + PATIENCE);
    expect(memmem(repeat, len, "autologin", 9) == NULL, "then no longer");
}

static void the_next_user_of_a_slot_wipes_it_first(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    kohomai_claim_t first = click(repeat, "browser", "body"), next = first;
    char flags[1024];

    expect_says(pool, repeat, &first, START, KOHOMAI_REPEAT_FIRST, "the first");
    kohomai_repeat_settle(repeat, &first, START, &handed_off);
    expect_says(pool, repeat, &next, START + PATIENCE, KOHOMAI_REPEAT_FIRST, "the next");
    expect(memmem(repeat, mapping(repeat, flags, sizeof(flags)), "autologin", 9) == NULL, "wiped");
}

/* ---- processes ---- */

static void wait_for(pid_t child)
{
    expect(child > 0 && waitpid(child, NULL, 0) == child, "a child ends");
}

static void a_dead_ones_registration_is_not_repeated_at_once(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    kohomai_claim_t claim = click(repeat, "browser", "body");
    kohomai_repeat_answer_t answer;
    pid_t child = fork();

    if (child == 0) {
        _exit(kohomai_repeat_ask(repeat, &claim, START, pool, &answer) != KOHOMAI_REPEAT_FIRST);
    }
    wait_for(child);
    expect_says(pool, repeat, &claim, START + 1, KOHOMAI_REPEAT_LOST, "who can tell?");
    claim = click(repeat, "browser", "body");
    expect_says(pool, repeat, &claim, START + PATIENCE - 1, KOHOMAI_REPEAT_LOST, "nobody");
    claim = click(repeat, "browser", "body");
    expect_says(pool, repeat, &claim, START + PATIENCE, KOHOMAI_REPEAT_FIRST, "after ten seconds");
}

#define RUNNERS 4
#define RACES 4000

typedef struct {
    atomic_int ready[RACES], firsts[RACES], holders[RACES], answers[RACES];
} races_t;

/* step is what passes between one race and the next: the less, the fuller the table. */
static void run_races(kohomai_repeat_t *repeat, races_t *races, apr_interval_time_t step,
                      apr_pool_t *pool)
{
    int i;

    for (i = 0; i < RACES; i++) {
        apr_time_t now = START + i * step;
        kohomai_claim_t claim = numbered(repeat, i);
        kohomai_repeat_answer_t answer;
        kohomai_repeat_e says;

        atomic_fetch_add(&races->ready[i], 1);
        while (atomic_load(&races->ready[i]) < RUNNERS) {
            sched_yield();
        }
        while ((says = kohomai_repeat_ask(repeat, &claim, now, pool, &answer)) ==
               KOHOMAI_REPEAT_WAIT) {
            sched_yield();
        }
        if (says == KOHOMAI_REPEAT_FIRST) {
            atomic_fetch_add(&races->firsts[i], 1);
            atomic_fetch_add(&races->holders[i], claim.word != 0);
            kohomai_repeat_settle(repeat, &claim, now, &handed_off);
        }
        else if (says == KOHOMAI_REPEAT_ANSWERED && strcmp(answer.link, LINK) == 0) {
            atomic_fetch_add(&races->answers[i], 1);
        }
    }
}

static races_t *race(apr_pool_t *pool, apr_interval_time_t step)
{
    kohomai_repeat_t *repeat = table(pool);
    races_t *races =
        mmap(NULL, sizeof(*races), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t children[RUNNERS];
    int i;

    for (i = 0; i < RUNNERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            run_races(repeat, races, step, pool);
            _exit(0);
        }
    }
    for (i = 0; i < RUNNERS; i++) {
        wait_for(children[i]);
    }
    return races;
}

static void of_many_at_the_same_moment_one_is_the_first(apr_pool_t *pool)
{
    races_t *races = race(pool, apr_time_from_msec(50));
    int i;

    for (i = 0; i < RACES; i++) {
        int firsts = atomic_load(&races->firsts[i]), answers = atomic_load(&races->answers[i]);

        expect(firsts == 1 && answers == RUNNERS - 1, "race %d: %d firsts, %d answers", i, firsts,
               answers);
    }
    munmap(races, sizeof(*races));
}

/* In a table that is nearly full nobody may miss whoever took the last slot. */
static void for_the_last_slot_one_is_the_first(apr_pool_t *pool)
{
    races_t *races = race(pool, apr_time_from_msec(5));
    int i, full = 0;

    for (i = 0; i < RACES; i++) {
        int firsts = atomic_load(&races->firsts[i]), holders = atomic_load(&races->holders[i]);

        expect(firsts == 1 || holders == 0, "race %d: %d firsts, %d of them known", i, firsts,
               holders);
        full += holders == 0;
    }
    expect(full > 0 && full < RACES, "some sets are full, and some are not: %d", full);
    munmap(races, sizeof(*races));
}

static void click_for_ever(kohomai_repeat_t *repeat, apr_pool_t *pool, apr_uint64_t seed)
{
    apr_time_t now = START;

    for (;; now += 1000) {
        kohomai_claim_t claim = numbered(repeat, (int)(unit_random(&seed) % 500));
        kohomai_repeat_answer_t answer;

        if (kohomai_repeat_ask(repeat, &claim, now, pool, &answer) == KOHOMAI_REPEAT_FIRST) {
            if (unit_random(&seed) % 4) {
                kohomai_repeat_settle(repeat, &claim, now, &handed_off);
            }
            else {
                kohomai_repeat_forgo(repeat, &claim, now);
            }
        }
        if (unit_random(&seed) % 64 == 0) {
            kohomai_repeat_sweep(repeat, now);
        }
        apr_pool_clear(pool);
    }
}

static void one_that_is_killed_at_any_moment_keeps_no_slot(apr_pool_t *pool)
{
    kohomai_repeat_t *repeat = table(pool);
    apr_time_t later = START + apr_time_from_sec(365 * 86400);
    char flags[1024];
    int i, held = 0;

    for (i = 0; i < 100; i++) {
        pid_t child = fork();

        if (child == 0) {
            apr_pool_t *own;

            apr_pool_create(&own, NULL);
            click_for_ever(repeat, own, (apr_uint64_t)i);
        }
        usleep(2000 + 137 * (unsigned)i);
        kill(child, SIGKILL);
        wait_for(child);
    }
    kohomai_repeat_sweep(repeat, later);
    expect(memmem(repeat, mapping(repeat, flags, sizeof(flags)), "autologin", 9) == NULL,
           "nor a link");
    for (i = 0; i < 50000; i++) {
        kohomai_claim_t claim = numbered(repeat, i);

        expect_says(pool, repeat, &claim, later, KOHOMAI_REPEAT_FIRST, "everyone is a first");
        held += claim.word != 0;
    }
    expect(held == 2048, "all slots can be had: %d", held);
}

/* ---- threads ---- */

#define TABLES 60
#define ROUNDS 200

typedef struct {
    kohomai_repeat_t *repeat;
    atomic_int ready[ROUNDS], done[ROUNDS], firsts[ROUNDS];
} rounds_t;

static void all_here(atomic_int *count)
{
    atomic_fetch_add(count, 1);
    while (atomic_load(count) < 2) {
        sched_yield();
    }
}

/* Asks until it is the first or has seen who is, which takes no memory from a pool. */
static void *run_rounds(void *baton)
{
    rounds_t *rounds = baton;
    int i;

    for (i = 0; i < ROUNDS; i++) {
        kohomai_claim_t claim = numbered(rounds->repeat, i);
        kohomai_repeat_e says = KOHOMAI_REPEAT_WAIT;

        all_here(&rounds->ready[i]);
        while (says == KOHOMAI_REPEAT_WAIT && !claim.joined) {
            says = kohomai_repeat_ask(rounds->repeat, &claim, START, NULL, NULL);
        }
        atomic_fetch_add(&rounds->firsts[i], says == KOHOMAI_REPEAT_FIRST);
        all_here(&rounds->done[i]);
        kohomai_repeat_forgo(rounds->repeat, &claim, START);
    }
    return NULL;
}

/* Slots of one process that changed equally often look the same: in a new table, most of all. */
static void nor_are_two_threads_of_a_process_both_the_first(apr_pool_t *pool)
{
    int table_no, i;

    for (table_no = 0; table_no < TABLES; table_no++) {
        rounds_t rounds = {.repeat = NULL};
        apr_pool_t *own;
        pthread_t other;

        apr_pool_create(&own, pool);
        rounds.repeat = table(own);
        if (!expect(pthread_create(&other, NULL, run_rounds, &rounds) == 0, "a thread")) {
            return;
        }
        run_rounds(&rounds);
        pthread_join(other, NULL);
        for (i = 0; i < ROUNDS; i++) {
            int firsts = atomic_load(&rounds.firsts[i]);

            expect(firsts == 1, "table %d, round %d: %d firsts", table_no, i, firsts);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(the_second_click_waits_and_gets_the_firsts_answer),
        UNIT(every_kind_of_answer_arrives_whole),
        UNIT(the_longest_link_fits_beside_everything_else),
        UNIT(a_time_that_is_none_is_left_out),
        UNIT(nobody_gets_what_is_anothers),
        UNIT(two_tables_have_keys_of_their_own),
        UNIT(without_a_table_everyone_registers),
        UNIT(what_was_never_sent_is_sent_by_the_next),
        UNIT(who_takes_over_has_their_own_time),
        UNIT(an_answer_is_known_for_ten_seconds_from_the_first_click),
        UNIT(who_waited_for_what_is_gone_does_not_register),
        UNIT(an_owner_that_never_ends_is_given_up),
        UNIT(a_clock_that_was_set_back_locks_nobody_out),
        UNIT(a_full_table_refuses_nobody),
        UNIT(what_is_over_is_wiped_and_no_core_file_holds_it),
        UNIT(the_next_user_of_a_slot_wipes_it_first),
        UNIT(a_dead_ones_registration_is_not_repeated_at_once),
        UNIT(of_many_at_the_same_moment_one_is_the_first),
        UNIT(for_the_last_slot_one_is_the_first),
        UNIT(nor_are_two_threads_of_a_process_both_the_first),
        UNIT(one_that_is_killed_at_any_moment_keeps_no_slot),
    };

    return UNIT_MAIN(tests);
}
