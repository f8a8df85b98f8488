import json
import os
import pty
import subprocess
import sys

LINES = """
import logging
from common.logs import configure_logging, get_logger
configure_logging("edge")
get_logger(redis="here").info("hello", room="ä", data=b"\\xff")
get_logger().debug("this is not read")
logging.getLogger("library").warning("careful: %s", 7)
logging.getLogger("library").info("this is not read either")
password = "se" + "cret"
try:
    raise LookupError("no such room")
except LookupError:
    get_logger().exception("failed")
    logging.getLogger("library").exception("failed too")
"""


def test_without_a_terminal_every_line_is_a_json_object() -> None:
    """Our own lines and those of libraries carry level, time and service, and nothing goes to standard output."""
    done = subprocess.run([sys.executable, "-c", LINES], capture_output=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["level"], line["service"]) for line in lines] == [
        ("hello", "info", "edge"),
        ("careful: 7", "warning", "edge"),
        ("failed", "error", "edge"),
        ("failed too", "error", "edge"),
    ]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert (lines[0]["redis"], lines[0]["room"]) == ("here", "ä")
    assert done.stdout == b""


def test_an_exception_is_told_without_the_values_of_variables() -> None:
    """A traceback says where and what, but never what passwords or messages the variables held."""
    done = subprocess.run([sys.executable, "-c", LINES], capture_output=True, check=True)
    *_, ours, librarys = [json.loads(line) for line in done.stderr.splitlines()]
    for line in (ours, librarys):
        assert (line["exception"][0]["exc_type"], line["exception"][0]["exc_value"]) == ("LookupError", "no such room")
    assert b"secret" not in done.stderr


def on_a_terminal(command: str) -> str:
    """Run Python with a terminal as its standard error, and return what came there."""
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", command], stderr=theirs, check=True)
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    return text


def test_on_a_terminal_lines_are_for_people() -> None:
    """A person reads words, not JSON."""
    text = on_a_terminal('from common.logs import *; configure_logging("edge"); get_logger().info("hello", room="x")')
    assert "hello" in text
    assert "{" not in text


def test_a_terminal_shows_no_values_of_variables_either() -> None:
    """Not even where rich, which would show them, is there already."""
    text = on_a_terminal(f"import rich.traceback\n{LINES}")
    assert "LookupError" in text
    assert "secret" not in text
