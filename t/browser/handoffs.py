#!/usr/bin/python3
# Drives a real Chromium through both handoffs of the demo site, as a visitor would: it clicks, types and reads.
# handoffs.t starts the demo and calls it:  handoffs.py SITE SANDBOX SCRATCH [SCREENSHOTS]
# It prints one line a check ("ok - ..." or "not ok - ..."), and never looks at the module or its logs.

import json
import os
import sys
import tempfile
import traceback
import urllib.request

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

# A generous bound for a page to arrive; nothing is expected to come near it.
PATIENCE = 60

FLAGS = [
    "--headless=new", "--window-size=1100,800", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-proxy-server",
]


def check(right, name, detail=""):
    print(("ok - " if right else "not ok - ") + name, flush=True)
    if not right and detail:
        note(detail)


def note(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


# --- The browser ----------------------------------------------------------------------------------------------------

def open_chromium(scratch, flags):
    profile = tempfile.mkdtemp(prefix="profile-", dir=scratch)
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS + flags + ["--user-data-dir=" + profile]:
        options.add_argument(flag)
    # Whatever Chromium writes beside its profile stays in the scratch folder too.
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        os.environ[name] = profile
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


def open_browser(scratch):
    if os.geteuid() == 0:
        return open_chromium(scratch, ["--no-sandbox"])
    try:
        return open_chromium(scratch, [])
    except WebDriverException as fault:
        # Some containers forget to allow what Chromium's sandbox is made of. Only pages of this machine are opened.
        note("Chromium did not start in its sandbox, so it runs without: " + fault.msg.splitlines()[0])
        return open_chromium(scratch, ["--no-sandbox"])


class Visitor:
    """Someone with a browser: clicks what has a name, and waits for what is to be read."""

    def __init__(self, browser, site, screenshots):
        self.browser = browser
        self.site = site
        self.screenshots = screenshots
        self.pictures = 0
        browser.set_page_load_timeout(PATIENCE)

    def opens(self, path):
        self.browser.get(self.site + path)

    def clicks(self, name):
        quoted = '"' + name + '"'
        self.find("//a[normalize-space()=%s] | //button[normalize-space()=%s]" % (quoted, quoted)).click()

    def types(self, label, text):
        self.find('//input[@id=//label[normalize-space()="%s"]/@for]' % label).send_keys(text)

    def find(self, xpath):
        return self.waits(lambda browser: browser.find_elements(By.XPATH, xpath), xpath)[0]

    def waits(self, condition, what):
        return WebDriverWait(self.browser, PATIENCE).until(condition, "waited in vain for " + what + self.where())

    def where(self):
        return "; the browser is at %s, titled %s" % (self.browser.current_url, self.browser.title)

    def reads(self, text):
        self.waits(lambda browser: text in self.page(), "the text " + text)
        self.takes_picture()

    def page(self):
        return " ".join(self.browser.execute_script("return document.body ? document.body.innerText : ''").split())

    def arrives(self, url):
        self.waits(lambda browser: browser.current_url == url, "the page " + url)

    def takes_picture(self):
        if self.screenshots:
            self.pictures += 1
            self.browser.save_screenshot(os.path.join(self.screenshots, "%02d.png" % self.pictures))

    def history(self):
        entries = self.browser.execute_cdp_cmd("Page.getNavigationHistory", {})["entries"]
        return [entry["url"] for entry in entries]

    def place(self):
        """Where in the history the browser is: 0 is the first page."""
        return self.browser.execute_cdp_cmd("Page.getNavigationHistory", {})["currentIndex"]


# --- The stand-in Kohomai -------------------------------------------------------------------------------------------

class Sandbox:
    """Reads what the stand-in Kohomai was asked."""

    def __init__(self, url):
        self.url = url
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def record(self, kind):
        with self.opener.open(self.url + "/_record?kind=" + kind, timeout=PATIENCE) as answer:
            return json.load(answer)


# --- The two stories ------------------------------------------------------------------------------------------------

def finish_activities(visitor):
    """Does what the front office asks for, and says how many activities there were."""
    done = 0
    while True:
        buttons = visitor.browser.find_elements(By.XPATH, '//button[normalize-space()="Mark as done"]')
        if not buttons:
            return done
        buttons[0].click()
        done += 1
        visitor.waits(lambda browser: gone(buttons[0]), "the next page of the front office")


def gone(element):
    try:
        element.is_enabled()
        return False
    except WebDriverException:
        return True


def front_office(visitor, sandbox, name):
    visitor.reads("Welcome, " + name)
    url = visitor.browser.current_url
    check(url.startswith(sandbox.url + "/"), "the front office greets the visitor: Welcome, " + name, url)
    check(finish_activities(visitor) == 3, "the visitor finishes three activities")
    visitor.arrives(visitor.site + "/welcome-back")
    visitor.reads("Welcome back")
    check(True, "the visitor is back on the site")


def leaves_no_trace(visitor, sandbox, links):
    """The one-time links must be nowhere in what the site's own pages hold or can see."""
    secrets = [sandbox.url] + links
    own = [url for url in visitor.history() if url.startswith(visitor.site + "/")]
    handoffs = [url for url in own if url.endswith(("/onboarding", "/signup"))]
    check(own and not handoffs, "the handoff is no page of its own in the browser's history", handoffs)
    seen = own + [visitor.browser.execute_script("return document.documentElement.outerHTML")]
    held = [secret for secret in secrets if any(secret in text for text in seen)]
    check(not held, "no link to the front office is in the site's page or its place in the history", held)
    referrer = visitor.browser.execute_script("return document.referrer")
    check(not any(link in referrer for link in links), "nor in the referrer that the site's page is given", referrer)


def goes_back(visitor):
    """From the welcome page back through the front office to the account: no page of the site is a dead link."""
    while visitor.browser.current_url != visitor.site + "/account" and visitor.place() > 0:
        before = visitor.place()
        visitor.browser.back()
        visitor.waits(lambda browser: visitor.place() < before, "the page before")
    visitor.reads("Signed in as john")
    check(True, "the Back button leads to the site's own page again")


def made_one_call(sandbox, path, ref, pieces):
    """Looks at the latest API call, and at how many there were of its kind. Returns the link that it gave."""
    calls = [call for call in sandbox.record("api") if call["path"] == path]
    check(len(calls) == 1, "exactly one call of " + path, [call["body"] for call in calls])
    call = calls[-1]
    check(call["status"] == 200, "it was taken", call)
    check(call["ref"] == ref, "with " + ("the reference " + ref if ref else "no reference"), call["ref"])
    for piece in pieces:
        check(piece in call["body"], "it says " + piece, call["body"])
    return call["uuid"]


def known_visitor(visitor, sandbox):
    visitor.opens("/")
    visitor.reads("Power from your own neighbourhood")
    visitor.clicks("Sign in")
    visitor.types("Name", "john")
    visitor.types("Password", "rowan-berry")
    visitor.takes_picture()
    visitor.find("//form//button").click()
    visitor.reads("Signed in as john")
    check(True, "john signs in")
    visitor.clicks("Continue my onboarding")
    front_office(visitor, sandbox, "John")
    # The id is too large for a double: every digit has to be the one that the site's database holds.
    return made_one_call(sandbox, "/api/v1/sessions", None, [
        '"Journey":{"Id":74590868830731162}', '"RedirectURL":"%s/welcome-back"' % visitor.site])


def new_visitor(visitor, sandbox):
    visitor.opens("/")
    visitor.clicks("Join")
    visitor.types("First name", "Zoë")
    visitor.types("Last name", "Ångström")
    visitor.types("Email", "zoe@example.com")
    visitor.takes_picture()
    visitor.clicks("Join Juniper")
    front_office(visitor, sandbox, "Zoë")
    return made_one_call(sandbox, "/api/v1/journeys", "demo", [
        '"Firstname":"Zoë"', '"Lastname":"Ångström"', '"Email":"zoe@example.com"',
        '"RedirectURL":"%s/welcome-back"' % visitor.site])


def main(site, sandbox_url, scratch, screenshots=None):
    browser = open_browser(scratch)
    try:
        visitor, sandbox = Visitor(browser, site, screenshots), Sandbox(sandbox_url)
        links = [known_visitor(visitor, sandbox)]
        leaves_no_trace(visitor, sandbox, links)
        goes_back(visitor)
        links.append(new_visitor(visitor, sandbox))
        leaves_no_trace(visitor, sandbox, links)
        check(len(sandbox.record("api")) == 2, "two calls in all", sandbox.record("api"))
        logins = [login["status"] for login in sandbox.record("login")]
        check(logins == [302, 302], "each link was opened once, by the browser", logins)
    finally:
        browser.quit()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
        print("done", flush=True)
    except Exception:  # every fault is a failed test, told in full
        check(False, "the visitor gets to the end", traceback.format_exc())
