import docker
import pytest


def test_an_image_that_is_not_here(client):
    for call in (client.images.get, client.images.remove, client.api.history, client.api.inspect_image):
        with pytest.raises(docker.errors.ImageNotFound) as raised:
            call("nothing")
        error = raised.value
        assert error.status_code == 404 and error.is_client_error() and not error.is_server_error()
        assert error.explanation == "No such image: nothing:latest"


def test_a_tag_that_the_registry_does_not_have(client, lab):
    name = lab.name("lab/box:none")
    with pytest.raises(docker.errors.NotFound) as raised:
        client.images.pull(name)
    assert raised.value.explanation == f'failed to resolve reference "{name}": {name}: not found'


def test_a_name_that_makes_no_sense(client, lab):
    with pytest.raises(docker.errors.APIError) as raised:
        client.images.pull(lab.name("lab/BAD"), tag="1")
    assert raised.value.status_code == 400
    assert "repository name (lab/BAD) must be lowercase" in raised.value.explanation


def test_a_registry_that_is_not_there(client, lab):
    # Port 1 of this machine has nobody on it.
    with pytest.raises(docker.errors.APIError) as raised:
        client.images.pull("127.0.0.1:1/lab/box", tag="1")
    assert raised.value.status_code == 502 and raised.value.is_server_error()


def test_a_path_that_there_is_none_of(api):
    with pytest.raises(docker.errors.NotFound) as raised:
        api._raise_for_status(api._get(api._url("/nonsense")))
    assert raised.value.explanation == "page not found"
