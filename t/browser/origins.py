#!/usr/bin/python3
# Drives a real Chromium on pages of this site, of a sibling (another port of the same host) and of another site, which all try
# to start a handoff. origins.t starts the servers and calls it:  origins.py SITE SIBLING OTHER SANDBOX LOG SCRATCH
# It prints one line a check ("ok - ..." or "not ok - ..."). The paths are those of origins.t: below /open/ the other two
# origins are on the site's list, below /closed/ nobody is.

import json
import sys
import time
import traceback
import urllib.request

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from handoffs import PATIENCE, Sandbox, check, open_browser

# What a page's own script gets from fetch: an answer that it can read, or the browser's refusal.
FETCH = """
const done = arguments[arguments.length - 1];
fetch(arguments[0], arguments[1]).then(
    async answer => done({status: answer.status, again: answer.headers.get("Retry-After"), body: await answer.text()}),
    fault => done({refused: String(fault)}));
"""
POST = {"method": "POST", "credentials": "include"}


def as_json(name):
    """Of another person each time: the same once more would be a double click."""
    return dict(POST, headers={"Content-Type": "application/json", "X-Requested-With": "XMLHttpRequest"},
                body=json.dumps({"email": name + "@example.com"}))


class Attempts:
    def __init__(self, browser, site, sandbox, log):
        self.browser, self.site, self.sandbox, self.log = browser, site, sandbox, log
        self.mark = 0

    def opens(self, origin, path="/page.html"):
        """Goes to a page, and forgets what came before."""
        self.browser.get(origin + path)
        self.forget()

    def forget(self):
        request = urllib.request.Request(self.sandbox.url + "/_record", method="DELETE")
        self.sandbox.opener.open(request, timeout=PATIENCE).close()
        with open(self.log, encoding="utf-8") as lines:
            self.mark = len(lines.read())

    def fetches(self, path, how):
        return self.browser.execute_async_script(FETCH, self.site + path, how)

    def runs(self, script, *arguments):
        self.browser.execute_script(script, *arguments)

    def calls(self):
        return [call["path"] for call in self.sandbox.record("api")]

    def requests(self, count):
        """What the site was asked since: "METHOD STATUS OUTCOME" each, once there are so many."""
        end = time.time() + PATIENCE
        while True:
            with open(self.log, encoding="utf-8") as text:
                lines = [line.split() for line in text.read()[self.mark:].splitlines()]
            if len(lines) >= count or time.time() > end:
                return [" ".join(line[:3]) for line in lines]
            time.sleep(0.05)

    def reads(self, text):
        find = lambda browser: text in browser.find_element(By.TAG_NAME, "body").text
        WebDriverWait(self.browser, PATIENCE).until(find, "waited in vain for " + text)


# --- What each page gets to do ---------------------------------------------------------------------------------------

def refused(attempts, who, path, how, seen, what):
    said = attempts.fetches(path, how)
    check("refused" in said, who + ": its script can read nothing " + what, said)
    check(attempts.requests(len(seen)) == seen, who + ": the site was asked", attempts.requests(len(seen)))
    check(attempts.calls() == [], who + ": and asked nobody", attempts.calls())


def answered(attempts, who, path, how, status, seen, calls, what):
    said = attempts.fetches(path, how)
    check(said.get("status") == status, who + ": its script can read the answer " + what, said)
    check(attempts.requests(len(seen)) == seen, who + ": the site was asked", attempts.requests(len(seen)))
    check(attempts.calls() == calls, who + ": and asked", attempts.calls())
    return said


def other_origin(attempts, origin, who, same_site):
    """A page of another origin. A sibling may start a handoff by itself, since browsers call it the same site; but it may not
    read what comes of it."""
    blind = ["POST 200 handed-off"] if same_site else ["POST 403 forbidden"]
    attempts.opens(origin)
    said = attempts.fetches("/closed/known", POST)
    check("refused" in said, who + ": its script can read nothing where nobody is on the list", said)
    check(attempts.requests(1) == blind, who + ": the site was asked", attempts.requests(1))

    attempts.forget()
    refused(attempts, who, "/closed/new", as_json("nobody"), ["OPTIONS 204 -"], "by JSON, where nobody is on the list")

    attempts.forget()
    said = answered(attempts, who, "/open/known", POST, 200, ["POST 200 handed-off"], ["/api/v1/sessions"], "where it is on the list")
    check("/autologin?UUID=" in json.loads(said.get("body", "{}")).get("ConnectionURL", ""), who + ": which is the link", said)

    attempts.forget()
    answered(attempts, who, "/open/new", as_json("jane" if same_site else "john"), 200, ["OPTIONS 204 -", "POST 200 handed-off"], ["/api/v1/journeys"], "by JSON")

    attempts.forget()
    strange = dict(POST, headers={"X-Something-Else": "1"})
    refused(attempts, who, "/open/known", strange, ["OPTIONS 204 -"], "with a header that is not on the list")

    attempts.forget()
    refused(attempts, who, "/open/known", dict(POST, method="PUT"), ["OPTIONS 204 -"], "with another method")

    attempts.forget()
    said = answered(attempts, who, "/open/unknown", POST, 403, ["POST 403 unknown"], [], "where it says no")
    check(json.loads(said.get("body", "{}")).get("outcome") == "unknown", who + ": and why", said)


def limited(attempts, origin):
    attempts.opens(origin)
    attempts.fetches("/open/limited", POST)
    said = attempts.fetches("/open/limited", POST)
    check(said.get("status") == 429, "limited: its script can read that it came too often", said)
    check(0 < int(said.get("again") or 0) <= 36000, "limited: and when to come again", said)


def member(attempts, origin):
    """Known by a cookie, which the sibling's page sends along; the question beforehand comes without it."""
    attempts.opens(origin)
    attempts.runs("document.cookie = 'member=jane; path=/'")
    answered(attempts, "a signed-in visitor on a sibling's page", "/open/member", as_json("jane"), 200,
             ["OPTIONS 204 -", "POST 200 handed-off"], ["/api/v1/sessions"], "")
    attempts.runs("document.cookie = 'member=; path=/; max-age=0'")
    attempts.forget()
    said = attempts.fetches("/open/member", as_json("jane"))
    check(attempts.requests(1)[-1].startswith("POST 403"), "a sibling's page without the cookie gets no further", attempts.requests(1))
    check("refused" in said and attempts.calls() == [], "and nobody is asked", said)


FORM = """
const form = document.createElement("form");
form.method = "post";
form.action = arguments[0];
document.body.append(form);
form.submit();
"""
LINK = """
const link = document.createElement("a");
link.href = arguments[0];
document.body.append(link);
link.click();
"""
EMBED = """
const done = arguments[arguments.length - 1], piece = document.createElement(arguments[0]);
piece.onload = piece.onerror = () => done(true);
piece[arguments[0] === "object" ? "data" : "src"] = arguments[1];
document.body.append(piece);
"""


def navigations(attempts, other, sandbox):
    attempts.opens(other)
    attempts.runs(FORM, attempts.site + "/closed/known")
    attempts.reads("This page can only be opened from this site")
    check(attempts.calls() == [], "a form of another site ends at a page that says no", attempts.calls())

    attempts.opens(other)
    attempts.runs(FORM, attempts.site + "/open/known")
    attempts.reads("Welcome,")
    check(attempts.browser.current_url.startswith(sandbox.url), "one on the list leads to the front office", attempts.browser.current_url)

    attempts.opens(other)
    attempts.runs(LINK, attempts.site + "/closed/known")
    attempts.reads("Welcome,")
    check(attempts.browser.current_url.startswith(sandbox.url), "a link on any site leads there", attempts.browser.current_url)


def pieces(attempts, other):
    for kind in ("iframe", "img", "script", "object", "embed", "audio"):
        for list_ in ("closed", "open"):
            attempts.opens(other)
            attempts.browser.execute_async_script(EMBED, kind, attempts.site + "/" + list_ + "/known")
            seen = attempts.requests(1)
            check(seen and set(seen) == {"GET 403 forbidden"}, "%s of another site (%s): forbidden" % (kind, list_), seen)
            check(attempts.calls() == [], kind + ": and nobody is asked", attempts.calls())
    attempts.opens(attempts.site)
    attempts.browser.execute_async_script(EMBED, "iframe", attempts.site + "/closed/unknown")
    check(attempts.requests(1) == ["GET 403 unknown"], "a frame of the site's own may ask", attempts.requests(1))


PREFETCH = """
const link = document.createElement("link");
link.rel = "prefetch";
link.href = arguments[0];
document.head.append(link);
"""
SPECULATE = """
const rules = document.createElement("script");
rules.type = "speculationrules";
rules.textContent = JSON.stringify({[arguments[1]]: [{source: "list", urls: [arguments[0]], eagerness: "immediate"}]});
document.head.append(rules);
"""


def ahead_of_time(attempts, sandbox):
    for name, script, kind in (("link rel=prefetch", PREFETCH, None), ("a prefetch rule", SPECULATE, "prefetch"),
                               ("a prerender rule", SPECULATE, "prerender")):
        attempts.opens(attempts.site)
        attempts.runs(script, attempts.site + "/closed/known", kind)
        seen = attempts.requests(1)
        check(seen and set(seen) == {"GET 503 prefetch"}, name + ": the browser is told to come later", seen)
        check(attempts.calls() == [], name + ": and no link is used up", attempts.calls())
        attempts.runs(LINK, attempts.site + "/closed/known")
        attempts.reads("Welcome,")
        check(attempts.browser.current_url.startswith(sandbox.url), name + ": when the visitor comes they are handed off",
              attempts.browser.current_url)


def main(site, sibling, other, sandbox_url, log, scratch):
    browser = open_browser(scratch)
    try:
        browser.set_page_load_timeout(PATIENCE)
        browser.set_script_timeout(PATIENCE)
        sandbox = Sandbox(sandbox_url)
        attempts = Attempts(browser, site, sandbox, log)
        other_origin(attempts, other, "another site", False)
        other_origin(attempts, sibling, "a sibling", True)
        limited(attempts, other)
        member(attempts, sibling)
        navigations(attempts, other, sandbox)
        pieces(attempts, other)
        ahead_of_time(attempts, sandbox)
    finally:
        browser.quit()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
        print("done", flush=True)
    except Exception:  # every fault is a failed test, told in full
        check(False, "the browser gets to the end", traceback.format_exc())
