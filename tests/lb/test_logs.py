"""What each load balancer writes of a request: neither a session nor a token, whatever becomes of the request (S6)."""

from pathlib import Path

import pytest

from tests.cluster.waiting import until
from tests.lb.balancers import Balancer, Caddy
from tests.lb.conftest import EACH, balancing
from tests.lb.talking import Backend, ask

pytestmark = pytest.mark.system

SESSION, TOKEN = "c75530b5.AAANjR4zyf50xtEPJHgNFTjs", "eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG"
TARGETS = (
    f"/sub/{SESSION}?token={TOKEN}",
    f"/sub?id=1&token={TOKEN}&since=0",
    f"/ws?token={TOKEN}",
    f"/static/comet.js?token={TOKEN}",
    f"/nothing?token={TOKEN}",
    f"//sub/{SESSION}",
    f"/%73ub/{SESSION}",
    f"/sub%2f{SESSION}",
    f"/SUB/{SESSION}/",
    f"http://localhost/sub/{SESSION}?token={TOKEN}",
)
LAST = "/poll"


class LoggingCaddy(Caddy):
    """Caddy with the access log that a reader of its configuration might add."""

    def _command_line(self) -> list[str]:
        command = super()._command_line()
        self._shipped("caddy/Caddyfile", ("\t@foreign_upgrade not", "\tlog\n\t@foreign_upgrade not"))
        return command


@pytest.mark.parametrize("hangs_up", [False, True], ids=["answered", "failed"])
@pytest.mark.parametrize("kind", [*EACH, pytest.param(LoggingCaddy, id="logging caddy", marks=EACH[2].marks)])
def test_no_secret_is_in_the_log(kind: type[Balancer], tmp_path: Path, hangs_up: bool) -> None:
    """The lines are there, and what a reader of the log could use is not."""
    edge, publisher = Backend(hangs_up=hangs_up), Backend()
    with edge, publisher, balancing(kind(tmp_path, [edge], publisher)) as balancer:
        for target in (*TARGETS, LAST):
            for method in ("POST", "GET"):
                ask("127.0.0.1", balancer.port, target, method, **{"Comet-Session": SESSION})
        if kind is not Caddy or hangs_up:
            until(lambda: LAST in balancer.access_log)
        written = balancer.access_log
    assert SESSION not in written
    assert TOKEN not in written
    assert "since=" not in written


@pytest.mark.parametrize("kind", EACH[:2])
def test_a_masked_line_still_says_what_was_asked(kind: type[Balancer], tmp_path: Path) -> None:
    """The path of a request, and of one for a session that it was one."""
    with Backend() as edge, Backend() as publisher, balancing(kind(tmp_path, [edge], publisher)) as balancer:
        for target in ("/sub?id=1", f"/sub/{SESSION}", "/static/comet.js", LAST):
            ask("127.0.0.1", balancer.port, target)
        until(lambda: LAST in balancer.access_log)
        written = balancer.access_log
    assert all(f" {path}" in written for path in ("/sub", "/sub/***", "/static/comet.js"))
