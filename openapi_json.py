"""Write the pages `docs/openapi*.yaml` as the JSON that the processes serve at `/openapi.json`: `make openapi`.

The pages are for people to read and write. The processes need no YAML: what is written here is committed, and is part
of the wheel. A test says that it is what the pages give.
"""

import json
from pathlib import Path

import yaml

ROOT = Path(__file__).parent
#: Each page, and where the process that serves it looks for it (`ApiDocument` in `common/service/http.py`).
SERVED = {
    "docs/openapi.yaml": "publisher/openapi.json",
    "docs/openapi-publisher-internal.yaml": "publisher/openapi_internal.json",
    "docs/openapi-edge-internal.yaml": "edge/openapi_internal.json",
}


def as_json(page: Path) -> str:
    """Return a page as JSON; YAML's anchors are resolved, the references of OpenAPI stay."""
    return json.dumps(yaml.safe_load(page.read_text()), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    for page, served in SERVED.items():
        (ROOT / served).write_text(as_json(ROOT / page))
