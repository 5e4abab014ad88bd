"""Every combination of a cookie's settings in a real browser, which must keep exactly those that are built.

Usage: cookies.py COMBINATIONS, the file that `SESSILE_COOKIES` names for `cargo test`. The columns of a line,
between tabs, are: the header written without any check, its path, `=` and its domain, the requested path, and
whether the crate built the cookie.
"""

import collections
import http.server
import sys
import threading

from webdriver import Browser, Driver

HOST = "www.example.localhost"
# A browser keeps about 180 cookies per domain.
AT_ONCE = 100


class Combination:
    def __init__(self, line):
        self.header, self.path, self.domain, self.requested, built = line.rstrip("\n").split("\t")
        self.name = self.header.split("=", 1)[0]
        self.attributes = [attribute.strip() for attribute in self.header.split(";")]
        self.domain = self.domain.lower().replace("=.", "=")
        self.is_built = built == "true"

    def is_kept(self, listed, sent, sent_below):
        """Whether the cookie is kept as set and sent to its host, and to subdomains if it has a domain."""
        cookie = listed.get(self.name)
        return (
            cookie is not None
            and cookie["path"] == self.path
            and cookie["secure"] == ("Secure" in self.attributes)
            and cookie["httpOnly"] == ("HttpOnly" in self.attributes)
            and self.domain in ("", "=" + cookie["domain"].lstrip("."))
            and self.name in sent
            and (self.name in sent_below) == bool(self.domain)
        )


class Site(http.server.ThreadingHTTPServer):
    """A server that sets given cookies and records the cookies it receives."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.headers, self.sent = [], set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, host, path):
        return f"http://{host}:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        response = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
        if self.path == "/somewhere/set":
            response += "".join(f"Set-Cookie: {header}\r\n" for header in self.server.headers)
        elif self.path != "/favicon.ico":
            pairs = "; ".join(self.headers.get_all("Cookie", [])).split("; ")
            self.server.sent = {pair.split("=", 1)[0] for pair in pairs}
        self.wfile.write(f"{response}\r\n<!doctype html><title>here</title>".encode())

    def log_message(self, *_):
        pass


def sent_to(browser, site, host, path):
    site.sent = None
    browser.open(site.url(host, path))
    if site.sent is None:
        raise AssertionError(f"the browser did not ask {host} for {path}")
    return site.sent


def main(file):
    with open(file, encoding="utf-8") as lines:
        combinations = [Combination(line) for line in lines]
    by_path = collections.defaultdict(list)
    for combination in combinations:
        by_path[combination.requested].append(combination)
    built, wrong, site = 0, [], Site()
    with Driver() as driver, Browser(driver) as browser:
        for path, group in by_path.items():
            for start in range(0, len(group), AT_ONCE):
                batch = group[start : start + AT_ONCE]
                site.headers = [combination.header for combination in batch]
                browser.open(site.url(HOST, "/somewhere/set"))
                sent = sent_to(browser, site, HOST, path)
                listed = {cookie["name"]: cookie for cookie in browser.cookies()}
                sent_below = sent_to(browser, site, f"below.{HOST}", path)
                browser.devtools("Network.clearBrowserCookies")
                built += sum(combination.is_built for combination in batch)
                wrong += [c for c in batch if c.is_kept(listed, sent, sent_below) != c.is_built]
    for combination in wrong[:20]:
        print(f"{'built' if combination.is_built else 'refused'}, but Chromium differs: {combination.header}")
    if wrong or built < 100 or len(combinations) - built < 100:
        raise AssertionError(f"Chromium differs in {len(wrong)} of {len(combinations)} combinations, {built} of them built")
    print(f"ok: {len(combinations)} combinations, {built} of them built, and Chromium kept only these")


if __name__ == "__main__":
    main(sys.argv[1])
