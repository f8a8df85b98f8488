"""The recipes of docs/security.md, run as they stand: each makes a token that is what the page says.

The frameworks themselves are not needed: where one is imported there stands a double that registers the route.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import jwt
import pytest

from common.access.patterns import Patterns

PAGE = (Path(__file__).parent.parent / "docs" / "security.md").read_text()
SNIPPET = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEY = "6e0d3c1f8b7a49525e6d7c8b9a0f1e2d6e0d3c1f8b7a49525e6d7c8b9a0f1e2d"
PATHS = os.environ["PATH"]


def snippet(language: str, mark: str) -> str:
    """Return the one snippet of the page in a language that has some text in it."""
    (found,) = (text for name, text in SNIPPET.findall(PAGE) if name == language and mark in text)
    return str(found)


def check(token: str) -> None:
    """Read a token as an edge does, and compare what is in it with what the page says."""
    claims = jwt.decode(token, KEY, algorithms=["HS256"], options={"require": ["exp"]})
    assert claims["sub"] == "17"
    assert claims["channels"] == ["user:17", "team:7", "team:7:*"]
    assert 0 < claims["exp"] - time.time() <= 300
    allowed = Patterns(claims["channels"])
    assert allowed.matches("team:7:chat")
    assert not allowed.matches("team:70")


def test_the_python_function_makes_the_token() -> None:
    """It is the same for Django, FastAPI and Flask."""
    check(push_module().subscribe_token("17", ["7"], KEY))


def push_module() -> Any:
    """Return `push.py` of the page as a module."""
    module = ModuleType("push")
    exec(snippet("python", "# push.py"), module.__dict__)
    return module


class Double(MagicMock):
    """A module of a framework; what it decorates stays as it is, and what it makes is what it was given."""

    def get(self, path: str) -> Any:
        """Register nothing."""
        assert path == "/api/push-token"
        return lambda view: view


@pytest.fixture
def framework(monkeypatch: pytest.MonkeyPatch) -> Double:
    """Return what stands for every module of a framework; the key is in the environment."""
    monkeypatch.setenv("COMET_TOKEN_KEY", KEY)
    monkeypatch.setitem(sys.modules, "push", push_module())
    double = Double()
    double.Response = lambda token, **headers: token
    double.HttpResponse = lambda token="", status=200, **headers: token or status
    double.never_cache = lambda view: view
    for name in ("APIRouter", "Blueprint"):
        setattr(double, name, lambda *arguments: double)
    for name in ("django.http", "django.views.decorators.cache", "fastapi", "flask", "app.users"):
        for part in (name.rsplit(".", each)[0] for each in range(name.count(".") + 1)):
            monkeypatch.setitem(sys.modules, part, double)
    return double


def view(mark: str) -> Any:
    """Return the function that answers the page's request."""
    names: dict[str, Any] = {}
    exec(snippet("python", mark), names)
    return names["push_token"]


@pytest.mark.usefixtures("framework")
def test_the_view_of_django_answers_with_it() -> None:
    """The user and its groups are those of the request; who is not logged in gets 401."""
    groups = SimpleNamespace(all=lambda: [SimpleNamespace(pk=7)])
    user = SimpleNamespace(pk=17, groups=groups, is_authenticated=True)
    check(view("django")(SimpleNamespace(user=user)))
    assert view("django")(SimpleNamespace(user=SimpleNamespace(is_authenticated=False))) == 401


@pytest.mark.usefixtures("framework")
def test_the_route_of_fastapi_answers_with_it() -> None:
    """The user is that of the application's dependency."""
    check(view("fastapi")(user=SimpleNamespace(id=17, teams=[7])))


def test_the_route_of_flask_answers_with_it(framework: Double) -> None:
    """The user is that of the session; without one there is no token."""
    framework.session = {"user_id": 17, "teams": ["7"]}
    check(view("flask")())
    framework.session = {}
    framework.abort.side_effect = PermissionError
    with pytest.raises(PermissionError):
        view("flask")()
    framework.abort.assert_called_once_with(401)


@pytest.mark.system
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed (Debian: nodejs)")
def test_the_route_of_express_answers_with_it(tmp_path: Path) -> None:
    """Run by node, with a double of the application; who is not logged in gets 401."""
    (tmp_path / "push.js").write_text(snippet("js", "subscribeToken"))
    (tmp_path / "run.js").write_text(
        """
        const { addPushToken } = require("./push.js");
        const told = [];
        const tell = (what) => told.push(what);
        const response = { set: () => response, type: () => response, send: tell, sendStatus: tell };
        addPushToken({ get: (path, answer) => {
          answer({ session: { userId: 17, teams: [7] } }, response);
          answer({ session: {} }, response);
        } });
        console.log(JSON.stringify(told));
        """
    )
    token, status = json.loads(ran("node", str(tmp_path / "run.js")))
    check(token)
    assert status == 401


@pytest.mark.system
@pytest.mark.skipif(shutil.which("php") is None, reason="php is not installed (Debian: php-cli)")
def test_the_function_for_laravel_makes_the_token(tmp_path: Path) -> None:
    """Run by PHP; the route itself is only read by it."""
    (tmp_path / "route.php").write_text(snippet("php", "Route::"))
    ran("php", "-l", str(tmp_path / "route.php"))
    call = f"echo subscribe_token('17', [7], '{KEY}');"
    (tmp_path / "push.php").write_text(snippet("php", "function subscribe_token") + call)
    check(ran("php", str(tmp_path / "push.php")))


def ran(*command: str) -> str:
    """Run a program to its end; return what it wrote."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"COMET_TOKEN_KEY": KEY, "PATH": PATHS}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
