import time
from datetime import datetime, timedelta

import docker
import pytest


def test_ping_version_and_info(client, lab, box):
    assert client.ping() is True
    version = client.version()
    assert version["Version"] == lab.facts["version"]
    assert version["ApiVersion"] == "1.51" and version["MinAPIVersion"] == "1.24"
    assert version["Os"] == "linux" and lab.platform == f"linux/{version['Arch']}"
    info = client.info()
    assert info["Images"] == 1 and info["Containers"] == 0
    assert info["OSType"] == "linux" and info["Name"]


@pytest.mark.parametrize("version", ["auto", "1.24", "1.41", "1.44", "1.51", None])
def test_versions_of_the_api(lab, box, version):
    api = docker.APIClient(base_url=lab.base_url, version=version)
    if version == "auto":
        assert api.api_version == "1.51"
    (row,) = api.images()
    found = api.inspect_image(row["Id"])
    assert row["Id"] == found["Id"] == box.id
    # What became of old members, and since when.
    old = tuple(map(int, api.api_version.split("."))) < (1, 44)
    assert ("VirtualSize" in row) == old and ("VirtualSize" in found) == old
    api.close()


@pytest.mark.parametrize("version, word", [("1.23", "too old"), ("1.99", "too new")])
def test_versions_that_are_not_spoken(lab, version, word):
    if version == "1.23":
        # docker-py itself knows none that is so old.
        with pytest.raises(docker.errors.InvalidVersion):
            docker.APIClient(base_url=lab.base_url, version=version)
        return
    api = docker.APIClient(base_url=lab.base_url, version=version)
    with pytest.raises(docker.errors.APIError, match=word) as raised:
        api.images()
    assert raised.value.status_code == 400
    api.close()


def test_disk_use(client, box):
    usage = client.df()
    assert usage["LayersSize"] > 0
    assert [image["Id"] for image in usage["Images"]] == [box.id]
    assert usage["Images"][0]["SharedSize"] == 0 and usage["Images"][0]["Size"] > 0
    assert usage["Containers"] == [] and usage["Volumes"] == []


def test_events_of_the_past(client, lab):
    begun = time.time()
    image = client.images.pull(lab.name("lab/box"), tag="1")
    image.tag("mine", "v1")
    client.images.remove("mine:v1")
    client.images.remove(lab.name("lab/box:1"))
    ended = time.time()

    def actions(**filters):
        seen = client.events(since=begun, until=ended, filters=filters, decode=True)
        return [event["Action"] for event in seen]

    assert actions(type="image") == ["pull", "tag", "untag", "untag", "delete"]
    assert actions(type="image", event=["tag", "delete"]) == ["tag", "delete"]
    assert actions(type="container") == []
    assert actions(image=lab.name("lab/box:1"), event="pull") == ["pull"]
    # Moments of other kinds, and lines as they come.
    since, until = datetime.now() - timedelta(minutes=1), datetime.now() + timedelta(seconds=1)
    lines = list(client.events(since=since, until=until, filters={"event": "pull"}))
    assert lines and all(isinstance(line, bytes) for line in lines)


def test_an_event(client, lab, box):
    now = int(time.time()) + 1
    events = client.events(since=now - 60, until=now, filters={"event": "pull"}, decode=True)
    event = list(events)[-1]
    name = lab.name("lab/box:1")
    assert event["Type"] == "image" and event["scope"] == "local"
    assert event["status"] == event["Action"] == "pull" and event["id"] == event["Actor"]["ID"] == name
    assert event["Actor"]["Attributes"]["lab.name"] == "lab/box:1"
    assert event["timeNano"] // 10**9 == event["time"]


def test_events_as_they_happen(client, lab, box):
    events = client.events(filters={"event": "tag"}, decode=True)
    box.tag("mine", "now")
    event = next(events)
    assert event["Action"] == "tag" and event["Actor"]["Attributes"]["name"] == "mine:now"
    events.close()


def test_there_are_no_containers(client):
    assert client.containers.list(all=True) == []
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("nothing")
    assert client.networks.list() == [] and client.volumes.list() == []


def test_what_runs_containers_is_refused_by_name(client, box):
    with pytest.raises(docker.errors.APIError, match="it runs no containers") as raised:
        client.containers.create(box.id)
    assert raised.value.status_code == 501


def test_pruning_what_there_is_none_of(client):
    for prune in (client.containers.prune, client.networks.prune, client.volumes.prune, client.images.prune_builds):
        assert prune().get("SpaceReclaimed", 0) == 0
