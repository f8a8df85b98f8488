"""What production must be given, and trials have: keys, origins, the demo."""

import pytest

from common.settings import load_settings
from tests.k8s.rendering import containers, environment, pod_spec, rendered

pytestmark = pytest.mark.system


@pytest.mark.parametrize("name", ["prod", "prod-ingress", "prod-keda"])
def test_production_asks_for_keys_and_origins_and_has_no_demo(name: str) -> None:
    """A publisher does not start without the Secret of its keys; pages of other origins may not subscribe."""
    overlay = rendered(name)
    (publisher,) = pod_spec(overlay.named("Deployment", "comet-publisher"))["containers"]
    assert {"secretRef": {"name": "comet-publisher"}} in publisher["envFrom"]
    given = environment(overlay, publisher)
    origins = load_settings(allowed_origins=given["COMET_ALLOWED_ORIGINS"]).allowed_origins
    assert len(origins) == 2
    assert all(origin.endswith("example.com") for origin in origins)
    assert "COMET_DEMO" not in given


def test_trials_need_no_step_by_hand() -> None:
    """The overlay for them refers to nothing that it does not have itself."""
    overlay = rendered("dev")
    names = {one["metadata"]["name"] for one in overlay.of("ConfigMap", "Secret")}
    sources = [source for _, container in containers(overlay) for source in container.get("envFrom", [])]
    assert {reference["name"] for source in sources for reference in source.values()} == names
