#!/usr/bin/env python3
"""Two processes of the example server on one store, used as a person would: log in on one, seen on the
other; log out there, gone here; kill one, nothing lost; lose the server that holds the sessions, and be
logged in still once another has taken over.

    two_processes.py SERVER URL [COMMAND]

COMMAND takes away the server that holds the sessions: it kills a primary, or starts the server again.
"""
import http.client
import re
import subprocess
import sys
import time
import urllib.parse


class Server:
    """One process of the example server, on a port of its own."""

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
    """A cookie, and the page that was seen last."""

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

    def log_in(self, server, name):
        check(self.ask(server, "GET", "/login") == 200, "the login form")
        check(self.submit(server, "/login", name=name) == 303, "the login")

    def is_logged_in(self, server):
        status = self.ask(server, "GET", "/")
        if status not in (200, 303):
            raise SystemExit(f"the page of an account answers {status}: {self.page}")
        return status == 200


def check(holds, what):
    if not holds:
        raise SystemExit(f"it does not hold: {what}")


def lose(command, browser, server):
    """Takes the server away that holds the sessions. Until there is another, each page is an error that
    says so, and no page takes anybody for logged out."""
    subprocess.run(command, shell=True, check=True)
    errors = 0
    for _ in range(300):
        status = browser.ask(server, "GET", "/")
        if status == 200:
            print(f"logged in still, after {errors} errors")
            return
        check(status in (500, 503), f"an error that says so, and not {status}: {browser.page}")
        errors += 1
        time.sleep(0.1)
    raise SystemExit("nobody took over")


def main(program, url, command=None):
    one, two = Server(program, url), Server(program, url)
    servers = [one, two]
    try:
        ann, bob = Browser(), Browser()
        ann.log_in(one, "ann")
        bob.log_in(two, "bob")
        check(ann.is_logged_in(two), "who logged in on one is logged in on the other")
        check("ann" in ann.page, "and it is ann")
        check(ann.submit(two, "/click") == 303, "a click there")
        check(ann.is_logged_in(one), "is seen here")
        check(ann.submit(two, "/logout") in (200, 303), "a logout there")
        check(not ann.is_logged_in(one), "is one here")
        one.kill()
        check(bob.is_logged_in(two), "a killed process takes nobody along")
        again = Server(program, url)
        servers.append(again)
        check(bob.is_logged_in(again), "and the next one has everybody")
        if command:
            lose(command, bob, again)
            check(bob.is_logged_in(two), "on every process")
            check(not ann.is_logged_in(two), "and a logout is not undone")
        check(bob.submit(again, "/logout") in (200, 303), "a logout at the end")
        check(not bob.is_logged_in(two), "holds everywhere")
    finally:
        for server in servers:
            server.kill()
    print("two processes on one store: all holds")


if __name__ == "__main__":
    main(*sys.argv[1:])
