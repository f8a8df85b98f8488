"""Stand-ins for the official images: where no registry can be reached, they are made of Debian's packages."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.docker.daemon import Engine, EngineError

HERE = Path(__file__).parent
SUITE = "trixie"  # the Debian whose Python is the one of the Dockerfile
PACKAGES = "ca-certificates,python3,python3-pip,python3-venv,libpython3-dev,netbase"  # the official has headers, too
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # ours: a machine that tests may sit behind a TLS proxy
UNNEEDED = ("man", "doc", "locale")
LIKE_THE_OFFICIAL_ONE = (
    'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
    'ln -sf /usr/bin/python3 "$1/usr/local/bin/python3"',
    'ln -sf /usr/bin/python3 "$1/usr/local/bin/python"',
    'ln -sf /usr/bin/pip3 "$1/usr/local/bin/pip"',
    f'cp {CERTIFICATES} "$1{CERTIFICATES}"',
)
PATH = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def make_base(archive: Path) -> None:
    """Write a small Debian with Python to an archive; raises `EngineError` if there is no mmdebstrap."""
    if shutil.which("mmdebstrap") is None:
        raise EngineError("not found: mmdebstrap")
    slim = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in UNNEEDED]
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", *slim]
    hook = f"--customize-hook={'; '.join(LIKE_THE_OFFICIAL_ONE)}"
    made = subprocess.run([*command, hook, SUITE, str(archive)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


def provide(engine: Engine, images: Mapping[str, str], archive: Path) -> None:
    """Have the engine know the images by the names that the product uses: service or `python` → name.

    Those that are no stage of the Dockerfile beside this file are left to the engine to find.
    """
    options = [f"--change=ENV {PATH} LANG=C.UTF-8", '--change=CMD ["python3"]']
    engine("import", *options, str(archive), images["python"])
    building: list[Future[str]] = []
    stages = [line.split()[-1] for line in (HERE / "Dockerfile").read_text().splitlines() if line.startswith("FROM")]
    python = f"--build-arg=PYTHON={images['python']}"
    with ThreadPoolExecutor() as pool:  # each of them waits for a package server most of the time
        for stage in set(stages) & set(images):
            options = ("--quiet", python, f"--target={stage}", f"--tag={images[stage]}")
            building.append(pool.submit(engine, "build", *options, str(HERE)))
    for built in building:
        built.result()


def images_of(config: str, with_nginx: str) -> dict[str, str]:
    """Return the images that two Compose configurations (as JSON) name, by service; the second has nginx as its `lb`.

    `python` is the base of our own.
    """
    services = json.loads(config)["services"]
    images = {name: service["image"] for name, service in services.items() if "build" not in service}
    nginx = json.loads(with_nginx)["services"]["lb"]["image"]
    return images | {"nginx": nginx, "python": services["edge"]["build"]["args"]["PYTHON"]}
