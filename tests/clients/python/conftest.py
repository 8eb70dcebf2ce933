"""What the checks have at hand: a daemon on a socket, and two registries. tests/tests/it/clients.rs starts them, and says here what there is."""

import json
import os
from types import SimpleNamespace

import docker
import pytest

FACTS = json.loads(os.environ["CLIENT_TEST"])


@pytest.fixture(scope="session")
def lab():
    """Names and digests: `lab.name("lab/box:1")` to pull it by, and `lab.id("lab/box:1")`."""
    registry = FACTS["registry"]
    return SimpleNamespace(
        facts=FACTS,
        images=FACTS["images"],
        registry=registry,
        private=FACTS["private"],
        private_name=f"{FACTS['private']['registry']}/lab/private",
        login={key: FACTS["private"][key] for key in ("username", "password")},
        base_url=f"unix://{FACTS['socket']}",
        platform=FACTS["platform"],
        other_platform=FACTS["otherPlatform"],
        name=lambda name: f"{registry}/{name}",
        id=lambda name: FACTS["images"][name]["id"],
    )


@pytest.fixture
def client(lab):
    """docker-py's client, at the version of the API that is to be checked. What a check leaves in the store goes away with it."""
    client = docker.DockerClient(base_url=lab.base_url, version=os.environ["CLIENT_TEST_API"])
    yield client
    for image in client.images.list():
        client.images.remove(image.id, force=True)
    assert client.images.list() == []
    client.close()


@pytest.fixture
def api(client):
    """The low-level client."""
    return client.api


@pytest.fixture
def box(client, lab):
    """An image that is here."""
    return client.images.pull(lab.name("lab/box"), tag="1")
