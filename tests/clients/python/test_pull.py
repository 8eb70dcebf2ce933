import docker
import pytest


def test_a_tag(client, lab):
    image = client.images.pull(lab.name("lab/box"), tag="1")
    assert image.id == lab.id("lab/box:1")
    assert image.tags == [lab.name("lab/box:1")]


def test_a_tag_in_the_name(client, lab):
    assert client.images.pull(lab.name("lab/box:2")).id == lab.id("lab/box:2")


def test_a_digest(client, lab):
    repository, digest = lab.name("lab/box"), lab.id("lab/box:1")
    for image in (
        client.images.pull(f"{repository}@{digest}"),
        client.images.pull(repository, tag=digest),
    ):
        assert image.id == digest
        # dockerd with containerd's store has it among the tags, too.
        assert image.tags == [f"{repository}@{digest}"]
        assert image.attrs["RepoDigests"] == [f"{repository}@{digest}"]


def test_without_a_tag_it_is_latest(client, lab):
    with pytest.raises(docker.errors.NotFound) as raised:
        client.images.pull(lab.name("lab/box"))
    assert f"{lab.name('lab/box')}:latest: not found" in raised.value.explanation


def test_all_tags(client, lab):
    images = client.images.pull(lab.name("lab/tags"), all_tags=True)
    assert {image.id for image in images} == {lab.id("lab/tags:a"), lab.id("lab/tags:b")}


@pytest.mark.parametrize("which", ["platform", "otherPlatform"])
def test_a_platform(client, lab, which):
    platform = lab.facts[which]
    image = client.images.pull(lab.name("lab/multi"), tag="1", platform=platform)
    assert image.id == lab.id("lab/multi:1")
    # docker-py has no word for it, and older versions of the API don't know it.
    manifests = client.api.get(f"{client.api.base_url}/v1.51/images/json?manifests=1").json()[0]["Manifests"]
    here = [manifest["ID"] for manifest in manifests if manifest["Available"]]
    assert here == [lab.images["lab/multi:1"]["platforms"][platform]["id"]]


def test_a_platform_that_there_is_none_of(client, lab):
    with pytest.raises(docker.errors.NotFound, match="no matching manifest for linux/s390x"):
        client.images.pull(lab.name("lab/multi"), tag="1", platform="linux/s390x")
    with pytest.raises(docker.errors.APIError) as raised:
        client.images.pull(lab.name("lab/multi"), tag="1", platform="no/such/place/at/all")
    assert raised.value.status_code == 400


def test_a_stream_of_progress(api, lab):
    name, digest = lab.name("lab/box:1"), lab.id("lab/box:1")
    lines = list(api.pull(lab.name("lab/box"), tag="1", stream=True, decode=True))
    assert lines[0]["status"] == "Pulling from lab/box" and lines[0]["id"] == "1"
    states = [line["status"] for line in lines if "status" in line]
    assert states[-2:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {name}"]
    for blob in lab.images["lab/box:1"]["blobs"]:
        own = [line["status"] for line in lines if line.get("id") == blob[7:19]]
        assert own[0] == "Pulling fs layer" and own[-1] == "Pull complete"
    again = list(api.pull(lab.name("lab/box"), tag="1", stream=True, decode=True))
    assert f"Status: Image is up to date for {name}" in [line.get("status") for line in again]


def test_a_stream_without_decoding_is_made_of_lines(api, lab):
    text = b"".join(api.pull(lab.name("lab/box"), tag="1", stream=True))
    assert text.endswith(b"\r\n") and text.startswith(b'{"status":"Pulling from lab/box"')
    assert isinstance(api.pull(lab.name("lab/box"), tag="1"), str)


def test_a_login_that_comes_along(client, lab):
    with pytest.raises(docker.errors.ImageNotFound, match="pull access denied"):
        client.images.pull(lab.private_name, tag="1")
    wrong = {"username": lab.login["username"], "password": "wrong"}
    with pytest.raises(docker.errors.APIError) as raised:
        client.images.pull(lab.private_name, tag="1", auth_config=wrong)
    assert raised.value.status_code == 401
    image = client.images.pull(lab.private_name, tag="1", auth_config=lab.login)
    assert image.id == lab.id("lab/private:1")
