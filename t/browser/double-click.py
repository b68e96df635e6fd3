#!/usr/bin/python3
# Drives a real Chromium that clicks twice on a sign-up form, at various distances, while the API takes its time.
# double-click.t starts the servers and calls it:  double-click.py SITE SANDBOX LOG SCRATCH
# It prints one line a check ("ok - ..." or "not ok - ...").

import sys
import time
import traceback

from selenium.webdriver.common.by import By

from handoffs import PATIENCE, Sandbox, Visitor, check, open_browser

TRIES = 5

# The page clicks, since the driver would wait between two clicks until the first has led somewhere.
CLICK_TWICE = "arguments[0].click(); setTimeout(button => button.click(), arguments[1], arguments[0]);"


class Clicker:
    def __init__(self, browser, site, sandbox, log):
        self.visitor = Visitor(browser, site, None)
        self.browser, self.sandbox, self.log = browser, sandbox, log
        self.people = 0

    def clicks_twice(self, speed, pause):
        """Someone new each time. Returns their email once they have arrived somewhere."""
        self.people += 1
        email = "hasty%d@example.com" % self.people
        self.visitor.opens("/page.html")
        self.browser.find_element(By.ID, "email").send_keys(email)
        button = self.browser.find_element(By.ID, speed)
        self.browser.execute_script(CLICK_TWICE, button, pause)
        self.visitor.waits(lambda browser: "page.html" not in browser.current_url, "another page")
        self.visitor.waits(lambda browser: browser.execute_script("return document.readyState") == "complete", "all of it")
        return email

    def requests(self, email, count):
        """How often the site was asked for them: the log comes a little later than the answer."""
        end = time.time() + (PATIENCE if count else 0)
        while True:
            with open(self.log, encoding="utf-8") as lines:
                asked = sum(email in line for line in lines)
            if asked >= count or time.time() > end:
                return asked
            time.sleep(0.05)

    def registrations(self, email):
        return [call["body"] for call in self.sandbox.record("api") if email in call["body"]]


def arrives(clicker, email, what):
    made = clicker.registrations(email)
    check(len(made) == 1, what + ": one registration", made)
    check("Welcome, " + email in clicker.visitor.page(), what + ": the visitor is in the front office", clicker.visitor.where())


def while_it_is_under_way(clicker):
    """On a machine that is so busy that the first click was answered before the second came, once more."""
    for _ in range(TRIES):
        email = clicker.clicks_twice("slow", 700)
        if clicker.requests(email, 1) > 1 or clicker.requests(email, 2) > 1:
            break
    check(clicker.requests(email, 0) == 2, "the second click comes while the first one's call is under way")
    arrives(clicker, email, "a slow API")


def main(site, sandbox_url, log, scratch):
    browser = open_browser(scratch)
    try:
        clicker = Clicker(browser, site, Sandbox(sandbox_url), log)
        while_it_is_under_way(clicker)
        for pause in (0, 20, 50, 100, 200):
            arrives(clicker, clicker.clicks_twice("quick", pause), "a quick API, %d ms" % pause)
        logins = {login["status"] for login in clicker.sandbox.record("login")}
        check(logins == {302}, "no link was used twice", logins)
    finally:
        browser.quit()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
        print("done", flush=True)
    except Exception:  # every fault is a failed test, told in full
        check(False, "the visitor gets to the end", traceback.format_exc())
