"""Clicks through the desktop example, as its users do, and checks the screen and the store.

Usage: window.py PROGRAMS SCREENSHOTS [PART..]
"""

import pathlib
import re
import stat
import subprocess
import sys
import tempfile

from screen import Display, Process, Window, expect, until

PASSWORD = "correct horse"


class User:
    """A home folder, and the program started in it."""

    def __init__(self, display, programs, home):
        self._display, self._programs, self.home = display, pathlib.Path(programs), pathlib.Path(home)
        self.folder = self.home / ".local/share/notes"
        self.windows = []
        self.ids = set()

    def start(self, **more):
        window = Window(self._display, self._programs / "desktop", self.home, **more)
        self.windows.append(window)
        return window

    def fixture(self, verb, *arguments):
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [self._programs / "desktop-fixture", verb, self.folder, *arguments]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            raise AssertionError(f"fixture {verb}: {run.stderr}")
        return run.stdout.splitlines()

    def kept(self):
        """Records the kept id, which no screen, log or store may contain."""
        text = (self.folder / "login").read_text()
        self.ids.add(text)
        return text

    def logs_in(self, window, keep="place-file", password=PASSWORD):
        window.wait_for("login")
        if not window.part("place-file") and keep:
            window.click("keep")
        if keep:
            window.click(keep)
        window.type("name", "ann")
        window.type("password", password)
        window.click("log-in")

    def logs_in_at_the_second_try(self, window):
        self.logs_in(window, password="a guess")
        window.wait_until("a wrong password is told", lambda window: "password" in window.text("notice"))
        expect("what a wrong password leads to", window.wait_for("login"), "login")
        window.type("password", PASSWORD)
        window.click("log-in")
        window.wait_for("home")
        expect("who it is", window.text("user"), "ann")

    def is_logged_in_after_a_kill(self, window, notes):
        window.kill()
        window = self.start()
        window.wait_for("home")
        expect("after a kill", (window.text("user"), window.texts("note")), ("ann", notes))
        return window

    def starts_a_second_time(self, screenshot):
        second = self.start()
        second.wait_for("held")
        expect("what the second is told", "another window" in second.text("sentence"), True)
        self._display.screenshot(screenshot)
        second.click("quit")
        until("the second leaves", lambda: second.process.poll() is not None)
        expect("how the second ended", second.process.returncode, 0)

    def adds(self, window, note):
        before = window.texts("note")
        window.type("draft", note)
        window.click("save")
        window.wait_until("the note is there", lambda window: window.texts("note") == [*before, note])

    def no_id_was_shown(self):
        for window in self.windows:
            for file in [window.script, window.log]:
                text = file.read_text() if file.exists() else ""
                if PASSWORD in text.replace(f"ann ({PASSWORD})", ""):
                    raise AssertionError(f"the password is in {file}")
                if any(kept in text for kept in self.ids):
                    raise AssertionError(f"the id is in {file}")
        stored = b"".join(file.read_bytes() for file in self.folder.glob("*.redb"))
        if any(kept.encode() in stored for kept in self.ids):
            raise AssertionError("the id is in the store")
        expect("no kept id was shown or stored", bool(self.ids), True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for window in self.windows:
            window.stop()


def stays_logged_in(display, user):
    """A login, a kill, a second start, the other computers, a logout."""
    window = user.start()
    window.wait_for("login")
    display.screenshot("login")
    user.logs_in_at_the_second_try(window)
    expect("where it is kept", "in a file" in window.text("place"), True)
    user.adds(window, "tea for the office")
    mode = stat.S_IMODE((user.folder / "login").stat().st_mode)
    expect("the mode of the file with the id", oct(mode), "0o600")
    user.kept()

    window = user.is_logged_in_after_a_kill(window, ["tea for the office"])
    user.starts_a_second_time("second-start")

    third = user.start()
    third.wait_for("held")
    third.click("wait")
    third.wait_until("it waits", lambda third: third.part("stop-waiting"))
    third.click("stop-waiting")
    third.wait_for("held")
    third.click("wait")
    third.wait_until("it waits", lambda third: third.part("stop-waiting"))
    window.close()
    third.wait_for("home")
    expect("the one that waited", third.text("user"), "ann")
    third.close()

    user.fixture("logins", "ann", "laptop", "phone", "tablet")
    user.fixture("logins", "bob", "tower")
    window = user.start()
    window.wait_for("home")
    expect("the other computers", sorted(window.texts("other")), ["laptop", "phone", "tablet"])
    expect("when they were active", set(window.texts("last-active")), {"last active just now"})
    display.screenshot("home")
    window.click("end phone")
    window.wait_until("it is ended", lambda window: sorted(window.texts("other")) == ["laptop", "tablet"])
    window.click("end-others")
    window.wait_until("all are ended", lambda window: not window.texts("other"))
    window.close()
    expect("what is stored", user.fixture("show"), [
        "ann\tstudy\ttea for the office",
        "bob\ttower\tfrom elsewhere",
    ])

    window = user.start()
    window.wait_for("home")
    window.click("log-out")
    window.wait_for("login")
    expect("the file with the id is there", (user.folder / "login").exists(), False)
    window.kill()
    expect("what is stored", user.fixture("show"), ["bob\ttower\tfrom elsewhere"])
    window = user.start()
    expect("after a logout", window.wait_for("login", "home"), "login")
    user.logs_in(window, keep=None)
    window.wait_for("home")
    expect("where it is kept", "ends with this window" in window.text("place"), True)
    window.close()
    expect("a login that was not kept", user.fixture("show"), ["bob\ttower\tfrom elsewhere"])


def update(display, user):
    """Release 1 has left a file and a login."""
    user.fixture("release-1", "ann", "milk\\ntea\\n")
    user.kept()
    window = user.start()
    window.wait_for("home")
    expect("release 1's notes", (window.text("user"), window.texts("note")), ("ann", ["milk", "tea"]))
    user.adds(window, "bread")
    window.close()
    expect("what is stored", user.fixture("show"), ["ann\tattic\tmilk|tea|bread"])


def damaged_file(display, user):
    """A page of the file is damaged."""
    window = user.start()
    user.logs_in(window)
    window.wait_for("home")
    user.adds(window, "tea")
    user.kept()
    window.close()
    user.fixture("many", "4000")
    user.fixture("damage", "ann")
    before = (user.folder / "sessions.redb").read_bytes()
    killed_while_rescuing(user, before)

    window = user.start()
    window.wait_for("damaged")
    expect("what is told", "damaged" in window.text("sentence"), True)
    expect("without consent it can be rescued", window.part("rescue")["enabled"], False)
    display.screenshot("damaged")
    window.click("consent")
    window.wait_until("it can be rescued", lambda window: window.part("rescue")["enabled"])
    window.click("rescue")
    window.wait_for("rescued")
    display.screenshot("rescued")
    bars = [part["text"] for seen in window.history() for part in seen["parts"] if part["name"] == "rescue-bar"]
    expect("there was a bar, and it moved", len(set(bars)) > 1, True)
    lost = re.search(r"Known to be lost: (\d+) logins?\.", window.text("summary"))
    expect("some were lost", int(lost[1]) > 0, True)
    expect("the damaged file is kept", (user.folder / "sessions.damaged-1.redb").read_bytes() == before, True)
    window.click("go-on")
    window.wait_for("home")
    expect("after the rescue", (window.text("user"), window.texts("note")), ("ann", ["tea"]))
    window.close()


def killed_while_rescuing(user, before):
    """A rescue is killed: the damaged file is in its place or aside. It is put back afterwards."""
    window = user.start()
    window.wait_for("damaged")
    window.click("consent")
    window.click("rescue")
    under_way = lambda window: any(seen["screen"] in ["rescuing", "rescued"] for seen in window.history())
    window.wait_until("it rescues", under_way)
    window.kill()
    store, aside = user.folder / "sessions.redb", user.folder / "sessions.damaged-1.redb"
    kept = [file.read_bytes() == before for file in [store, aside] if file.exists()]
    expect("after a kill, the damaged file is there", any(kept), True)
    store.write_bytes(before)
    aside.unlink(missing_ok=True)


def nothing_left(display, user):
    """Another file is in the store's place."""
    user.folder.mkdir(parents=True)
    file = user.folder / "sessions.redb"
    file.write_bytes(b"\xa5" * 50_000)
    window = user.start()
    for button in ["Rescue my notes", "Begin with an empty file"]:
        window.wait_until(button, lambda window: window.text("rescue") == button)
        expect("consent is asked for each", window.part("rescue")["enabled"], False)
        window.click("consent")
        window.click("rescue")
    window.wait_for("login")
    aside = (user.folder / "sessions.damaged-1.redb").read_bytes()
    expect("the file is kept", aside == b"\xa5" * 50_000, True)
    window.close()


def full_disk(display, user):
    """The folder is on a disk without room: at the first start, and when a note is saved."""
    user.folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(user.folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        print("skipped: a full disk, since mounting is not permitted here")
        return
    try:
        full_disk_at(display, user)
    finally:
        user.__exit__()
        subprocess.run(["umount", str(user.folder)], check=True)


def full_disk_at(display, user):
    filler = user.folder / "filler"

    def fill(most):
        left = most
        with open(filler, "wb", buffering=0) as file:
            try:
                while left > 0:
                    left -= file.write(bytes(min(left, 1024)))
            except OSError:
                pass

    fill(10_000_000)
    window = user.start()
    window.wait_for("full")
    expect("what is told", window.text("title"), "The disk is full")
    display.screenshot("full-disk")
    filler.unlink()
    window.click("try-again")
    user.logs_in(window)
    window.wait_for("home")
    user.adds(window, "tea")
    user.kept()
    window.close()

    fill(500_000)
    user.fixture("fill")
    window = user.start()
    window.wait_for("home")
    expect("on a full disk, logged in still with", window.texts("note"), ["tea"])
    saved = ["tea"]
    # The room left in the log is used first.
    while window.wait_for("home", "full") == "home":
        note = f"note {len(saved)}"
        window.type("draft", note)
        window.click("save")
        done = lambda window: window.seen()["screen"] == "full" or window.texts("note") == [*saved, note]
        window.wait_until("it is saved, or told", done)
        if window.seen()["screen"] == "home":
            saved.append(note)
        expect("there is an end to it", len(saved) < 50, True)
    display.screenshot("full-while-saving")
    filler.unlink()
    window.click("try-again")
    window.wait_for("home")
    expect("after room was made", window.texts("note"), [*saved, note])
    window.close()
    shown = [line for line in user.fixture("show") if line.startswith("ann")]
    expect("what is stored", shown, ["ann\tstudy\t" + "|".join([*saved, note])])


def keyring(display, user):
    """A login works without a keyring; with a keyring, no file contains the id."""
    window = user.start()
    user.logs_in(window, keep="place-keyring")
    window.wait_for("home")
    expect("without a keyring", "until this window closes" in window.text("notice"), True)
    expect("a file is kept", (user.folder / "login").exists(), False)
    display.screenshot("no-keyring")
    window.close()

    address = f"unix:path={user.home}/bus"
    bus = ["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={address}"]
    with Process(bus, stderr=subprocess.DEVNULL):
        until("a bus", lambda: (user.home / "bus").exists())
        environment = {
            "HOME": str(user.home),
            "XDG_RUNTIME_DIR": str(user.home),
            "DBUS_SESSION_BUS_ADDRESS": address,
            "PATH": "/usr/bin:/bin",
        }
        daemon = ["gnome-keyring-daemon", "--foreground", "--components=secrets", "--unlock"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with Process(daemon, env=environment, stdin=subprocess.PIPE, **quiet) as service:
            service.process.stdin.write(b"the keyring's own password")
            service.process.stdin.close()
            keyrings = user.home / ".local/share/keyrings"
            until("a keyring", lambda: keyrings.exists() and any(keyrings.iterdir()))
            in_keyring(display, user, address)


def in_keyring(display, user, address):
    window = user.start(DBUS_SESSION_BUS_ADDRESS=address)
    user.logs_in(window, keep="place-keyring")
    window.wait_for("home")
    expect("where it is kept", "keyring" in window.text("place"), True)
    expect("what the file has", (user.folder / "login").read_text(), "keyring")
    window.kill()
    window = user.start(DBUS_SESSION_BUS_ADDRESS=address)
    window.wait_for("home")
    expect("after a kill", window.text("user"), "ann")
    window.click("log-out")
    window.wait_for("login")
    expect("the file is there", (user.folder / "login").exists(), False)
    window.close()


PARTS = [stays_logged_in, update, damaged_file, nothing_left, full_disk, keyring]


def main(programs, screenshots, names):
    chosen = [part for part in PARTS if not names or part.__name__ in names]
    if not chosen:
        sys.exit(f"the parts are {', '.join(part.__name__ for part in PARTS)}")
    with Display(screenshots) as display:
        for part in chosen:
            print(f"\n-- {part.__name__}: {part.__doc__}", flush=True)
            with tempfile.TemporaryDirectory() as home, User(display, programs, home) as user:
                try:
                    part(display, user)
                except BaseException:
                    display.screenshot("failed", may_be_empty=True)
                    for window in user.windows:
                        print(window.log.read_text())
                    raise
                if user.ids:
                    user.no_id_was_shown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
