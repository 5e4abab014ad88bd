"""A small WebDriver client: chromedriver's HTTP interface with the standard library alone."""

import base64
import http.client
import json
import subprocess
import tempfile
import time

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ENTER = "\ue007"
TAB = "\ue004"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class WebDriverError(Exception):
    """An error from chromedriver."""


class Driver:
    """A running chromedriver. Its browsers end with it."""

    def __init__(self):
        # chromedriver takes a free port and prints it, so that concurrent runs do not collide.
        self._process = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True
        )
        self._port = None
        for line in self._process.stdout:
            if "started successfully on port " in line:
                self._port = int(line.rsplit(" ", 1)[1].strip(" .\n"))
                break
        if self._port is None:
            raise WebDriverError("chromedriver did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(timeout=30)

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise WebDriverError(f"{value['error']}: {value['message'].splitlines()[0]}")
        return value


class Browser:
    """One Chromium with a new and empty profile."""

    def __init__(self, driver):
        self._driver = driver
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        options = {"args": [*FLAGS, f"--user-data-dir={self._profile.name}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        body = {"capabilities": {"alwaysMatch": wanted}}
        self._path = f"/session/{driver.call('POST', '/session', body)['sessionId']}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._driver.call("DELETE", self._path)
        self._profile.cleanup()

    def _get(self, path):
        return self._driver.call("GET", self._path + path)

    def _post(self, path, **body):
        return self._driver.call("POST", self._path + path, body)

    def open(self, url):
        self._post("/url", url=url)

    def url(self):
        return self._get("/url")

    def title(self):
        return self._get("/title")

    def run(self, script):
        return self._post("/execute/sync", script=script, args=[])

    def count(self, xpath):
        return len(self._post("/elements", using="xpath", value=xpath))

    def find(self, xpath):
        return self._post("/element", using="xpath", value=xpath)[ELEMENT]

    def text(self, xpath):
        return self._get(f"/element/{self.find(xpath)}/text")

    def click(self, xpath):
        """Clicks a button and waits until its form has led to another page."""
        button = self.find(xpath)
        self._post(f"/element/{button}/click")
        self._wait_until_gone(button)

    def press(self, *keys):
        """Types into the element with the focus, as a user without a mouse does."""
        actions = []
        for key in "".join(keys):
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._post("/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def submit(self, *keys):
        """Types keys, the last of which submits the form with the focus."""
        page = self.find("/html")
        self.press(*keys)
        self._wait_until_gone(page)

    def _wait_until_gone(self, element):
        deadline = time.monotonic() + 20
        said = "it is still there"
        while time.monotonic() < deadline:
            try:
                self._get(f"/element/{element}/name")
            except WebDriverError as error:
                said = str(error)
                if "stale element" in said or "no such element" in said:
                    return
                # Between two pages the browser reports other errors first.
            time.sleep(0.02)
        raise WebDriverError(f"the page did not change: {said}")

    def cookie(self, name):
        return self._get(f"/cookie/{name}")

    def cookies(self):
        """The cookies of the open page."""
        return self._get("/cookie")

    def complaints(self):
        """The page's console messages since the last call, such as a violated policy."""
        return [entry["message"] for entry in self._post("/se/log", type="browser")]

    def screenshot(self, file, width=900, dark=False):
        """A screenshot of the whole page at a width in CSS pixels, in light or dark colours."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.devtools("Emulation.setEmulatedMedia", features=scheme)
        narrow = {"width": width, "height": 400, "deviceScaleFactor": 2, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", **narrow)
        height = max(400, self.run("return document.documentElement.scrollHeight"))
        overflow = self.run("return document.documentElement.scrollWidth - window.innerWidth")
        if overflow > 0:
            raise WebDriverError(f"{file.name} is {overflow} pixels wider than its window")
        self.devtools("Emulation.setDeviceMetricsOverride", **{**narrow, "height": height})
        file.write_bytes(base64.b64decode(self._get("/screenshot")))
        self.devtools("Emulation.clearDeviceMetricsOverride")
        self.devtools("Emulation.setEmulatedMedia", features=[])

    def devtools(self, command, **params):
        return self._post("/goog/cdp/execute", cmd=command, params=params)
