import docker
import pytest


def test_an_image_goes_and_is_the_same(client, lab, box):
    repository = lab.name("python/sent")
    box.tag(repository, "1")
    lines = list(client.images.push(repository, tag="1", stream=True, decode=True))
    assert lines[0]["status"] == f"The push refers to repository [{repository}]"
    states = [line.get("status") for line in lines]
    size = lab.images["lab/box:1"]["size"]
    assert f"1: digest: {box.id} size: {size}" in states
    assert {"Tag": "1", "Digest": box.id, "Size": size} in [line.get("aux") for line in lines]
    assert client.images.get_registry_data(f"{repository}:1").id == box.id


def test_all_tags_go(client, lab, box):
    repository = lab.name("python/all")
    box.tag(repository, "a")
    box.tag(repository, "b")
    text = client.images.push(repository)
    assert isinstance(text, str) and "errorDetail" not in text
    for tag in ("a", "b"):
        assert client.images.get_registry_data(f"{repository}:{tag}").id == box.id


def test_a_login_that_comes_along(client, lab, box):
    repository = f"{lab.private['registry']}/python/sent"
    box.tag(repository, "1")
    refused = list(client.images.push(repository, tag="1", stream=True, decode=True))
    assert "push access denied" in refused[-1]["errorDetail"]["message"]
    lines = list(client.images.push(repository, tag="1", auth_config=lab.login, stream=True, decode=True))
    assert "errorDetail" not in lines[-1]
    found = client.images.get_registry_data(f"{repository}:1", auth_config=lab.login)
    assert found.id == box.id


def test_what_is_not_here_does_not_go(client, lab):
    (*_, last) = client.images.push(lab.name("python/none"), tag="1", stream=True, decode=True)
    message = last["errorDetail"]["message"]
    assert message == last["error"]
    assert "An image does not exist locally with the tag" in message or "tag does not exist" in message


def test_logging_in(lab):
    client = docker.DockerClient(base_url=lab.base_url, version="auto")
    registry = lab.private["registry"]
    with pytest.raises(docker.errors.APIError) as raised:
        client.login(username=lab.login["username"], password="wrong", registry=registry)
    assert raised.value.status_code == 401
    answer = client.login(**lab.login, registry=registry)
    assert answer["Status"] == "Login Succeeded"
    # From now on it is lent to every request for that registry.
    image = client.images.pull(lab.private_name, tag="1")
    assert image.id == lab.id("lab/private:1")
    assert client.images.get_registry_data(f"{lab.private_name}:1").id == image.id
    image.remove(force=True)
    client.close()


def test_what_a_registry_has(client, lab):
    data = client.images.get_registry_data(lab.name("lab/multi:1"))
    assert data.id == lab.id("lab/multi:1")
    assert data.has_platform(lab.platform) and data.has_platform(lab.other_platform)
    assert not data.has_platform("linux/s390x")
    # Of two platforms it is the machine's that is pulled.
    assert data.pull(platform=lab.platform).id == data.id
    found = client.api.inspect_distribution(lab.name("lab/box:1"))
    assert found["Descriptor"]["digest"] == lab.id("lab/box:1")
    assert found["Descriptor"]["size"] == lab.images["lab/box:1"]["size"]


def test_what_a_registry_does_not_have(client, lab):
    with pytest.raises(docker.errors.NotFound):
        client.images.get_registry_data(lab.name("lab/nothing:1"))
    with pytest.raises(docker.errors.APIError) as raised:
        client.api.inspect_distribution(f"{lab.private_name}:1")
    assert raised.value.status_code == 401
