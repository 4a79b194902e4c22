"""Keys: a real Chromium whose keyboard is pressed, spoken to over its debugging pipe."""

import contextlib
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CODES = {"Tab": 9, "Enter": 13}


class Keys:
    """One page, its keyboard, and what it says of itself."""

    def __init__(self, ask: int, answer: int) -> None:
        self._ask, self._answers = ask, os.fdopen(answer, "rb")
        self._numbers = itertools.count(1)
        self._buffer = b""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def open(self, page: Path) -> None:
        self._call("Page.navigate", url=page.as_uri())
        while self.say("document.readyState + location.protocol") != "completefile:":
            pass

    def press(self, key: str) -> None:
        """Press and release a key, as a hand does; Enter is also a character."""
        text = {"text": "\r"} if key == "Enter" else {}
        named = {"key": key, "code": key, "windowsVirtualKeyCode": CODES[key]}
        self._call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **named, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", **named)

    def say(self, expression: str) -> Any:
        """Give the value of an expression in the page."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def close(self) -> None:
        self._session = ""
        self._call("Browser.close")
        self._answers.close()

    def _call(self, method: str, **given: object) -> dict[str, Any]:
        number = next(self._numbers)
        session = {"sessionId": self._session} if getattr(self, "_session", "") else {}
        message = {"id": number, "method": method, "params": given, **session}
        os.write(self._ask, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self) -> bytes:
        while b"\0" not in self._buffer:
            some = self._answers.read1(1 << 16)
            assert some, "the browser is gone"
            self._buffer += some
        message, _, self._buffer = self._buffer.partition(b"\0")
        return message


@contextlib.contextmanager
def keyboard(chromium: str, flags: tuple[str, ...], profile: Path) -> Iterator[Keys]:
    """Start a browser; it reads commands from its descriptor 3, and answers on 4."""
    (theirs_in, ask), (answer, theirs_out) = os.pipe(), os.pipe()
    command = [chromium, *flags, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    # A shell puts the two where Chromium looks for them.
    script = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
    browser = subprocess.Popen(
        ["bash", "-c", script, "bash", *command],
        pass_fds=(theirs_in, theirs_out),
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        keys = Keys(ask, answer)
        yield keys
        keys.close()
    finally:
        os.close(ask)
        browser.kill()
        browser.wait()
