"""Clicks through the desktop example under Wine: a login that outlives a kill, and a second start.

Usage: window.py PROGRAMS SCREENSHOTS

PROGRAMS is the folder of desktop.exe. WINEPREFIX names the folder in which Wine keeps its drive C:.
"""

import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "desktop"))

from screen import Display, expect
from window import User


def starter(folder, program):
    """A program of this system that starts a program of Windows in its place."""
    file = pathlib.Path(folder) / "desktop"
    file.write_text(f'#!/bin/sh\nexec wine "{program}" "$@"\n')
    file.chmod(0o755)


def folders():
    """The program's folders in the user's own part of drive C:."""
    return pathlib.Path(os.environ["WINEPREFIX"]).glob("drive_c/users/*/AppData/Local/Example Ltd/Notes")


def stays_logged_in(display, user):
    window = user.start()
    window.wait_for("login")
    display.screenshot("windows-login")
    user.logs_in_at_the_second_try(window)
    user.adds(window, "tea for the office")
    display.screenshot("windows-home")
    [folder] = folders()
    [kept] = folder.rglob("login")
    user.folder = kept.parent
    user.kept()

    window = user.is_logged_in_after_a_kill(window, ["tea for the office"])
    user.starts_a_second_time("windows-second-start")
    window.click("log-out")
    window.wait_for("login")
    expect("the file with the id is there", kept.exists(), False)
    window.close()


def main(programs, screenshots):
    program = (pathlib.Path(programs) / "desktop.exe").resolve()
    for folder in folders():
        shutil.rmtree(folder)
    with Display(screenshots) as display, tempfile.TemporaryDirectory() as home:
        starter(home, program)
        with User(display, home, home) as user:
            try:
                stays_logged_in(display, user)
            except BaseException:
                display.screenshot("windows-failed", may_be_empty=True)
                for window in user.windows:
                    print(window.log.read_text())
                raise
            user.no_id_was_shown()


if __name__ == "__main__":
    main(*sys.argv[1:])
