"""Which paths are the demo's: for everybody where COMET_DEMO is set, and 404 elsewhere. Pure."""

PAGES = {"/": "demo.html", "/chat": "chat.html"}
FOLDER = "/demo"


def is_of_the_demo(path: str) -> bool:
    """Say whether a path is one of the demo's pages, or what only these ask for."""
    return path in PAGES or path == FOLDER or path.startswith(f"{FOLDER}/")
