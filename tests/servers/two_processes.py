#!/usr/bin/env python3
"""Two processes of the example server on one store, used as a person would. A login on one process holds
on the other, and so do a click and a logout. A killed process loses no session and no click. After a
failover of the store's server everybody is still logged in, with the same counter.

    two_processes.py SERVER URL [COMMAND]

COMMAND makes the store's server fail over: it kills a primary, or restarts the server.
"""
import http.client
import re
import subprocess
import sys
import time
import urllib.parse


class Server:
    """One process of the example server, on a free port."""

    def __init__(self, program, url):
        command = [program, "--store", url, "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("http://"):
            raise SystemExit(f"the server did not start: {line!r}")
        self.address = line.strip().removeprefix("http://")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Browser:
    """A cookie, and the last page."""

    def __init__(self):
        self.cookie = None
        self.page = ""

    def ask(self, server, method, path, body=None):
        connection = http.client.HTTPConnection(server.address, timeout=30)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        if self.cookie:
            headers["Cookie"] = self.cookie
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        self.page = answer.read().decode()
        for line in answer.msg.get_all("Set-Cookie") or []:
            name_and_value = line.split(";")[0]
            self.cookie = None if name_and_value.endswith("=") else name_and_value
        connection.close()
        return answer.status

    def submit(self, server, path, **fields):
        token = re.search(r'name="csrf" value="([^"]*)"', self.page)
        if token:
            fields["csrf"] = token.group(1)
        return self.ask(server, "POST", path, urllib.parse.urlencode(fields))

    def clicks(self):
        """The counter of the last page."""
        counter = re.search(r'<output id="clicks">(\d+)</output>', self.page)
        check(counter, f"the page shows a counter: {self.page}")
        return int(counter[1])

    def log_in(self, server, name):
        check(self.ask(server, "GET", "/login") == 200, "the login form")
        check(self.submit(server, "/login", name=name) == 303, "the login")

    def is_logged_in(self, server):
        status = self.ask(server, "GET", "/")
        if status not in (200, 303):
            raise SystemExit(f"the account page has status {status}: {self.page}")
        return status == 200


def check(holds, what):
    if not holds:
        raise SystemExit(f"failed: {what}")


def lose(command, browser, server):
    """Makes the store's server fail over. Until the failover is done, each page is an error, and no page
    treats a user as logged out."""
    subprocess.run(command, shell=True, check=True)
    errors = 0
    for _ in range(300):
        status = browser.ask(server, "GET", "/")
        if status == 200:
            print(f"still logged in, after {errors} errors")
            return
        check(status in (500, 503), f"a page during the failover is an error, and not {status}: {browser.page}")
        errors += 1
        time.sleep(0.1)
    raise SystemExit("no server took over within 300 requests")


def main(program, url, command=None):
    one, two = Server(program, url), Server(program, url)
    servers = [one, two]
    try:
        ann, bob = Browser(), Browser()
        ann.log_in(one, "ann")
        bob.log_in(two, "bob")
        check(ann.is_logged_in(two), "a login on one process holds on the other")
        check('<span id="user">ann</span>' in ann.page, "the page names ann")
        check(ann.clicks() == 0, "no click yet")
        for count, (clicked, shown) in enumerate([(two, one), (one, two), (two, one)], start=1):
            check(ann.submit(clicked, "/click") == 303, "a click on one process")
            check(ann.is_logged_in(shown), "ann is logged in on the other process after the click")
            check(ann.clicks() == count, f"the other process shows a counter of {count}, and not {ann.clicks()}")
        check(ann.submit(two, "/logout") in (200, 303), "a logout on the second process")
        check(not ann.is_logged_in(one), "the logout holds on the first process")
        check(bob.is_logged_in(one), "bob is logged in on the first process")
        check(bob.submit(one, "/click") == 303, "a click of bob on the first process")
        one.kill()
        check(bob.is_logged_in(two), "a killed process logs nobody out")
        check(bob.clicks() == 1, "a killed process loses no click")
        again = Server(program, url)
        servers.append(again)
        check(bob.is_logged_in(again), "a new process knows bob's session")
        check(bob.clicks() == 1, "a new process shows bob's click")
        if command:
            lose(command, bob, again)
            check(bob.is_logged_in(two), "bob is logged in on every process after the failover")
            check(bob.clicks() == 1, "the failover loses no click")
            check(not ann.is_logged_in(two), "the failover does not undo a logout")
        check(bob.submit(again, "/logout") in (200, 303), "bob's logout")
        check(not bob.is_logged_in(two), "bob's logout holds on every process")
    finally:
        for server in servers:
            server.kill()
    print("two processes on one store: ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
