#!/usr/bin/python3
# Lays every URL that the grammar takes (build/table/urls prints some thousands) before a real Chromium, whose `new URL`
# must read it with the same scheme, host and port, and without a user; a formatted one must be the same URL to it; and a
# path must stay on its site. It skips nothing: where Chromium or its driver is missing, that is a failure.

import ipaddress
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from handoffs import check, note, open_browser  # noqa: E402 (nothing is to be written beside the sources)

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SITE = "https://site.example"
# Fewer rows, and the table no longer tries what it should.
URLS, PATHS = 2000, 1000

# One call for all: each text is read by itself, or against a page of the site.
READ = """
return arguments[0].map(function (text) {
    try {
        var url = text[0] === "/" ? new URL(text, "%s/x/y?z") : new URL(text);
        return [url.protocol, url.hostname, url.port, url.username + url.password, url.href, url.origin];
    } catch (fault) {
        return null;
    }
});
""" % SITE


def table():
    program = os.path.join(TOP, "build", "table", "urls")
    seeds = os.path.join(TOP, "t", "fuzz", "corpus", "url")
    printed = subprocess.run([program, seeds], check=True, stdout=subprocess.PIPE, encoding="ascii").stdout
    rows = [line.split("\t") for line in printed.splitlines()]
    return [row[1:] for row in rows if row[0] == "url"], [row[1] for row in rows if row[0] == "path"]


def read_all(texts):
    """What the browser makes of each text: None where it refuses it."""
    with tempfile.TemporaryDirectory(prefix="kohomai-urls-", ignore_cleanup_errors=True) as scratch:
        browser = open_browser(scratch)
        try:
            note("Chromium " + browser.capabilities["browserVersion"])
            return browser.execute_script(READ, texts)
        finally:
            browser.quit()


def same_host(ours, theirs):
    """Browsers spell an IPv6 address in one way of the many."""
    if ours[0] != "[" or theirs[:1] != "[":
        return ours == theirs
    return ipaddress.IPv6Address(ours[1:-1]) == ipaddress.IPv6Address(theirs[1:-1])


def disagreement(row, read, read_again):
    """What the browser reads in another way than the grammar, or None."""
    text, scheme, host, port, formatted = row
    if read is None or read_again is None:
        return "refused: " + text
    own = {"https": "443", "http": "80"}[scheme]
    if read[0] != scheme + ":" or not same_host(host, read[1]) or (read[2] or own) != port or read[3]:
        return "%s: the browser reads %s, we %s" % (text, read[:4], [scheme, host, port])
    if read[4] != read_again[4]:
        return "%s becomes %s: the browser reads %s, then %s" % (text, formatted, read[4], read_again[4])
    return None


def tell(faults, name):
    check(not faults, name, "\n".join(faults[:40] + ["%d in all" % len(faults)]))


def main():
    urls, paths = table()
    check(len(urls) >= URLS, "the table has %d URLs or more" % URLS, len(urls))
    check(len(paths) >= PATHS, "and %d paths or more" % PATHS, len(paths))
    texts = [row[0] for row in urls] + [row[4] for row in urls] + paths
    read = read_all(texts)
    check(len(read) == len(texts), "the browser reads them all")
    count = len(urls)
    faults = [disagreement(row, read[i], read[count + i]) for i, row in enumerate(urls)]
    tell([fault for fault in faults if fault], "it reads every accepted URL as the grammar does")
    tell([path for path, to in zip(paths, read[2 * count:]) if to is None or to[5] != SITE],
         "every accepted path stays on its site")
    print("1..5")


main()
