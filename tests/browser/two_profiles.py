"""Two browser profiles, one user: one ends the other's session, and the server is killed twice.

Usage: two_profiles.py SERVER SCREENSHOTS
"""

import pathlib
import signal
import subprocess
import sys
import tempfile

from webdriver import ENTER, TAB, Browser, Driver

CLICK = "//button[. = 'Add one']"
END_OTHER = "//li[not(.//strong)]//button[. = 'End']"
USER = "//*[@id = 'user']"
CLICKS = "//*[@id = 'clicks']"


class Server:
    """The example server on a file. A restart keeps the port and the file."""

    def __init__(self, program, file):
        self._program, self._file = program, file
        self._start(port="0")

    def _start(self, port):
        self._process = subprocess.Popen(
            [self._program, port, self._file], stdout=subprocess.PIPE, text=True
        )
        self.address = self._process.stdout.readline().strip()
        if not self.address.startswith("http://127.0.0.1:"):
            raise AssertionError(f"the server printed {self.address!r} and no address")

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def kill_and_restart(self):
        before = self.address
        self.kill()
        self._start(port=before.rsplit(":", 1)[1])
        expect("the address after a restart", self.address, before)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def expect(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what} is {found!r} instead of {wanted!r}")
    print(f"ok: {what} is {found!r}")


def log_in_by_keyboard(browser, server, name):
    """The name field has the focus at once, and Enter submits."""
    browser.open(server.address)
    expect("the page without a session", browser.title(), "Log in")
    expect("the field's label", browser.run("return document.activeElement.labels[0].innerText"), "Name")
    before = browser.cookie("sessile")["value"]
    browser.submit(name, ENTER)
    expect("the user", browser.text(USER), name)
    cookie = browser.cookie("sessile")
    expect("the cookie changed at login", cookie["value"] != before, True)
    expect("HttpOnly", cookie["httpOnly"], True)
    expect("SameSite", cookie["sameSite"], "Lax")
    expect("what scripts see of the cookie", browser.run("return document.cookie"), "")


def shoot(browser, folder, name):
    browser.screenshot(folder / f"{name}.png")
    browser.screenshot(folder / f"{name}-dark.png", dark=True)
    browser.screenshot(folder / f"{name}-narrow.png", width=360)


def main(program, folder):
    folder.mkdir(parents=True, exist_ok=True)
    name = "Ann <b>Ångström</b>"
    with (
        tempfile.TemporaryDirectory() as scratch,
        Server(program, f"{scratch}/sessions.redb") as server,
        Driver() as driver,
        Browser(driver) as desktop,
        Browser(driver) as phone,
    ):
        desktop.open(server.address)
        shoot(desktop, folder, "login")
        log_in_by_keyboard(desktop, server, name)
        log_in_by_keyboard(phone, server, name)

        for _ in range(3):
            desktop.click(CLICK)
        phone.click(CLICK)
        expect("the desktop's counter", desktop.text(CLICKS), "3")
        expect("the phone's counter", phone.text(CLICKS), "1")

        server.kill_and_restart()
        for browser, clicks in ((desktop, "3"), (phone, "1")):
            browser.open(server.address)
            expect("the user after SIGKILL", browser.text(USER), name)
            expect("the counter after SIGKILL", browser.text(CLICKS), clicks)
            expect("sessions listed", browser.count("//li"), 2)
            expect("sessions marked as this one", browser.count("//li//strong"), 1)
        shoot(desktop, folder, "account")

        desktop.click(END_OTHER)
        expect("sessions listed", desktop.count("//li"), 1)
        # The phone still shows the old page; this presses a button on it.
        phone.click(CLICK)
        expect("the phone's form", phone.title(), "This form is out of date")
        shoot(phone, folder, "refused")

        server.kill_and_restart()
        phone.open(server.address)
        expect("the ended profile's page", phone.title(), "Log in")
        expect("the ended profile's address", phone.url(), f"{server.address}/login")
        phone.screenshot(folder / "ended.png")
        desktop.open(server.address)
        expect("the other profile's user", desktop.text(USER), name)
        expect("the other profile's counter", desktop.text(CLICKS), "3")
        desktop.screenshot(folder / "survived.png")

        # The first Tab reaches "Log out".
        desktop.submit(TAB, ENTER)
        expect("the page after logging out", desktop.title(), "Log in")

        # A violated Content-Security-Policy would be logged here, as the phone's refused form is.
        expect("the desktop's console messages", desktop.complaints(), [])
        complaints = ["403 (Forbidden)" in line for line in phone.complaints()]
        expect("whether each console message of the phone is about the refused form", complaints, [True])
    print(f"screenshots are in {folder}")


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
