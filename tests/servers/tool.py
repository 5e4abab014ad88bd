#!/usr/bin/env python3
"""The tool on a server's URL, while the example server uses the same store: lists and ends sessions,
exports them and imports them again.

    tool.py TOOL SERVER URL
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from two_processes import Browser, Server, check

# A password that no message may contain.
PASSWORD = "hidden-from-all"


class Tool:
    """The tool, run in its own folder."""

    def __init__(self, program, folder):
        self.program = program
        self.folder = Path(folder)

    def run(self, code, *arguments):
        """Runs a command, which must end with this exit code, and returns its output."""
        command = [self.program, *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300)
        check(done.returncode == code, f"`{arguments[0]}` ends with {code}: {done}")
        check(PASSWORD not in done.stdout + done.stderr, f"`{arguments[0]}` shows no password")
        return done.stdout

    def json(self, code, *arguments):
        return [json.loads(line) for line in self.run(code, *arguments, "--json").splitlines()]

    def sessions(self, url, *arguments):
        return self.json(0, "list", url, *arguments)


def logged_in(server, name):
    browser = Browser()
    browser.log_in(server, name)
    return browser


def main(program, example, url):
    program, example = (str(Path(path).resolve()) for path in (program, example))
    server = Server(example, url)
    try:
        with tempfile.TemporaryDirectory() as folder:
            look_and_end(Tool(program, folder), server, url)
    finally:
        server.kill()
    print("the tool on a server's URL: ok")


def look_and_end(tool, server, url):
    ann, too, bob = (logged_in(server, name) for name in ("ann", "ann", "bob"))
    check(len(tool.sessions(url, "--user", "ann")) == 2, "two sessions of ann")
    one_of_bob = {"user": "bob", "user_argument": "bob", "sessions": 1}
    check(one_of_bob in tool.sessions(url, "--users"), "one session of bob")
    [stats] = tool.json(0, "stats", url)
    check(stats["sessions"] >= 3, f"`stats` counts at least three sessions: {stats}")
    [of_bob] = tool.sessions(url, "--user", "bob")
    [shown] = tool.json(0, "show", url, of_bob["key"])
    check((shown["key"], shown["user"]) == (of_bob["key"], "bob"), f"`show` prints bob's session: {shown}")
    tool.run(0, "check", url)
    tool.run(0, "sweep", url)

    # A revoked session is logged out at once.
    tool.run(0, "revoke", url, of_bob["key"], "--yes")
    check(not bob.is_logged_in(server), "bob, whose session was revoked, is logged out")
    tool.run(1, "revoke", url, of_bob["key"], "--yes")
    tool.run(2, "show", url, of_bob["key"])
    keep = tool.sessions(url, "--user", "ann")[0]["key"]
    tool.run(0, "revoke", url, "--all-but", keep, "--yes")
    check(ann.is_logged_in(server) != too.is_logged_in(server), "exactly one of ann's sessions is left")

    # The sessions go into an archive, a backup and a file. Each brings them back after all have ended.
    tool.run(0, "export", url, "all.jsonl", "--with-content")
    tool.run(0, "backup", url, "backup.redb")
    tool.run(0, "check", "backup.redb")
    tool.run(0, "copy", url, "copy.redb", "--create")
    for put_back in (["import", "all.jsonl", url], ["copy", "backup.redb", url], ["copy", "copy.redb", url]):
        tool.run(0, "revoke", url, "--all", "--yes")
        check(not ann.is_logged_in(server) and not too.is_logged_in(server), "all of ann's sessions have ended")
        tool.run(0, *put_back)
        check(ann.is_logged_in(server) != too.is_logged_in(server), f"{put_back[0]} brings ann back")

    # No program has used this name.
    tool.run(2, "stats", url.replace("name=example", "name=sesions"))

    # Verbs that need a file refuse a URL.
    host = url.split("://", 1)
    for verb in (["compact"], ["salvage", "new.redb"], ["restore", "copy.redb"]):
        secret = f"{host[0]}://ann:{PASSWORD}@127.0.0.1:1/"
        tool.run(2, verb[0], secret, *verb[1:])


if __name__ == "__main__":
    main(*sys.argv[1:])
