"""A display, its windows, and a pointer and keyboard to use them."""

import json
import os
import pathlib
import subprocess
import time

# No assertion depends on the clock; this is only the limit for a program that does not respond.
PATIENCE = 90


def until(what, look):
    """Waits until `look` returns a value, and returns it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"timed out: {what}")


def expect(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")
    print(f"ok: {what}: {found!r}")


class Process:
    """A process, which is always stopped by its id at the end."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(command, **options)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Display(Process):
    """An X server without a screen, on a free display number."""

    def __init__(self, screenshots):
        self._screenshots = pathlib.Path(screenshots)
        read, write = os.pipe()
        # By default the server begins anew once its last window is killed, and refuses the next one meanwhile.
        options = ["-noreset", "-screen", "0", "560x680x24", "-nolisten", "tcp"]
        command = ["Xvfb", "-displayfd", str(write), *options]
        super().__init__(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as answer:
            self.number = answer.readline().strip()
        if not self.number:
            raise AssertionError("Xvfb found no display")
        self.environment = {"DISPLAY": f":{self.number}"}

    def hand(self, *arguments):
        """Runs xdotool and returns its output."""
        command = ["xdotool", *map(str, arguments)]
        run = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True)
        return run.stdout.strip()

    def screenshot(self, name, may_be_empty=False):
        file = self._screenshots / f"{name}.png"
        command = ["import", "-window", "root", str(file)]
        subprocess.run(command, env=os.environ | self.environment, check=True)
        if file.stat().st_size < 5_000 and not may_be_empty:
            raise AssertionError(f"{file} shows nothing")
        print(f"ok: screenshot {file}")


class Window(Process):
    """The program, and its record of the screen."""

    count = 0

    def __init__(self, display, program, home, **more):
        Window.count += 1
        self._display = display
        self.script = pathlib.Path(home) / f"script-{Window.count}"
        self.log = pathlib.Path(home) / f"log-{Window.count}"
        environment = os.environ | display.environment | {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "WINIT_X11_SCALE_FACTOR": "1",
        }
        for name in ["XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY"]:
            environment.pop(name, None)
        command = [program, "--computer", "study", "--script", self.script]
        with open(self.log, "w") as log:
            super().__init__(command, env=environment | more, stdout=log, stderr=subprocess.STDOUT)

    def history(self):
        """Every screen so far."""
        if self.process.poll() is not None:
            raise AssertionError(f"the program has ended: {self.log.read_text()}")
        text = self.script.read_text() if self.script.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def seen(self):
        history = self.history()
        return history[-1] if history else {"screen": "", "busy": True, "parts": []}

    def part(self, name):
        return next((part for part in self.seen()["parts"] if part["name"] == name), None)

    def texts(self, name):
        return [part["text"] for part in self.seen()["parts"] if part["name"] == name]

    def text(self, name):
        return " ".join(self.texts(name))

    def wait_for(self, *screens):
        """Waits for one of these screens, with no job under way."""
        there = lambda: self.seen()["screen"] in screens and not self.seen()["busy"]
        until(f"{screens}, and it is {self.seen()}", there)
        return self.seen()["screen"]

    def wait_until(self, what, look):
        until(what, lambda: look(self))

    def _id(self):
        search = ["search", "--onlyvisible", "--pid", self.process.pid]
        return until("a window", lambda: self._display.hand(*search)).split()[-1]

    def click(self, name):
        def settled():
            before = self.part(name)
            time.sleep(0.1)
            return before if before and before["enabled"] and before == self.part(name) else None

        part = until(f"{name} can be clicked", settled)
        window = self._id()
        self._display.hand("windowraise", window)
        self._display.hand("windowfocus", "--sync", window)
        self._display.hand("mousemove", "--window", window, round(part["x"]), round(part["y"]))
        self._display.hand("click", "1")

    def type(self, name, text):
        self.click(name)
        self._display.hand("type", "--delay", "20", text)

    def kill(self):
        self.stop()

    def close(self):
        """Closes the window by the keyboard, since no window manager draws a close button here."""
        window = self._id()
        self._display.hand("windowfocus", "--sync", window)
        self._display.hand("key", "ctrl+q")
        until("the program ends", lambda: self.process.poll() is not None)
        expect("how it ended", self.process.returncode, 0)
