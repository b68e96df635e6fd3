/* outcome: the ways in which a visit can end; one request has exactly one.
 * Threads: any. Memory: constants only.
 * Never: decides which it is. */
#include "outcome.h"

#include <strings.h>

static const struct {
    const char *name;
    int status;
    const char *headline, *advice;
} outcomes[KOHOMAI_OUTCOMES] = {
    [KOHOMAI_NO_OUTCOME] = {"", 0, "", ""},
    [KOHOMAI_HANDED_OFF] = {"handed-off", 0, "", ""},
    [KOHOMAI_REGISTERED] = {"registered", 200, "You are registered",
                            "There is nothing more to do here."},
    [KOHOMAI_QUEUED] = {"queued", 202, "Your details are safe with us",
                        "The onboarding service is busy just now. We will pass your details on "
                        "as soon as it is back; there is no need to send them again."},
    [KOHOMAI_UNKNOWN] = {"unknown", 403, "We do not know yet who you are",
                         "Please sign in or sign up first, then follow the link again."},
    [KOHOMAI_INVALID] = {"invalid", 422, "Some of what was sent cannot be used",
                         "Please go back, check what you entered, the email address above all, "
                         "and send it again."},
    [KOHOMAI_FORBIDDEN] = {"forbidden", 403, "This page can only be opened from this site",
                           "Please open it from the site itself or from the link that you were "
                           "sent."},
    [KOHOMAI_PREFETCH] = {"prefetch", 503, "This page cannot be loaded ahead of time",
                          "Please open it by following the link."},
    [KOHOMAI_LIMITED] = {"limited", 429, "Too many tries in a short time",
                         "Please wait a little and try again."},
    [KOHOMAI_REFUSED] = {"refused", 502, "The onboarding service did not let us in",
                         "This is not your fault. Please try again later or tell the people who "
                         "run this site."},
    [KOHOMAI_UNAVAILABLE] = {"unavailable", 503, "The onboarding service is busy",
                             "Please try again in a moment."},
    [KOHOMAI_FAILED] = {"failed", 502, "The onboarding service could not be reached",
                        "This is not your fault. Please try again in a moment."},
    [KOHOMAI_TIMEOUT] = {"timeout", 504, "The onboarding service took too long to answer",
                         "Please try again in a moment."},
};

const char *kohomai_outcome_name(kohomai_outcome_e outcome)
{
    return outcomes[outcome].name;
}

int kohomai_outcome_find(const char *name)
{
    int i;

    for (i = KOHOMAI_HANDED_OFF; i < KOHOMAI_OUTCOMES; i++) {
        if (strcasecmp(name, outcomes[i].name) == 0) {
            return i;
        }
    }
    return -1;
}

int kohomai_outcome_status(kohomai_outcome_e outcome)
{
    return outcomes[outcome].status;
}

const char *kohomai_outcome_headline(kohomai_outcome_e outcome)
{
    return outcomes[outcome].headline;
}

const char *kohomai_outcome_advice(kohomai_outcome_e outcome)
{
    return outcomes[outcome].advice;
}
