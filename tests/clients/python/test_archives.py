import io
import json
import tarfile

import docker
import pytest


def tar_of(**files):
    """A tar of files with these contents."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def tags_in(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return [image["RepoTags"] for image in json.load(tar.extractfile("manifest.json"))]


def imported(answer):
    """The ID in the answer to an import."""
    last = json.loads(answer.splitlines()[-1])
    assert last["status"].startswith("sha256:")
    return last["status"]


def test_an_image_goes_out_and_comes_back(client, lab, box):
    archive = b"".join(box.save())
    assert tags_in(archive) == [None]
    client.images.remove(box.id)
    (loaded,) = client.images.load(archive)
    assert loaded.id == box.id and loaded.tags == []
    assert loaded.attrs["RootFS"]["Layers"] == lab.images["lab/box:1"]["layers"]


def test_an_image_goes_out_with_its_name(client, lab, box):
    box.tag("mine", "v1")
    box.reload()
    assert tags_in(b"".join(box.save(named="mine:v1"))) == [["mine:v1"]]
    archive = b"".join(box.save(named=True))
    assert tags_in(archive) == [[box.tags[0]]]
    client.images.remove(box.id, force=True)
    (loaded,) = client.images.load(io.BytesIO(archive))
    assert loaded.id == box.id and loaded.tags == [box.tags[0]]
    with pytest.raises(docker.errors.InvalidArgument):
        box.save(named="not/one/of/its/names")


def test_an_image_goes_out_in_chunks(box):
    chunks = list(box.save(chunk_size=1024))
    assert len(chunks) > 1 and all(len(chunk) <= 1024 for chunk in chunks)
    assert b"".join(chunks) == b"".join(box.save(chunk_size=None)) == b"".join(box.save())


def test_loading_tells_what_came(api, lab, box):
    archive = b"".join(api.get_image(lab.name("lab/box:1")))
    lines = list(api.load_image(archive))
    assert {"stream": f"Loaded image: {lab.name('lab/box:1')}\n"} in lines


def test_what_is_no_archive(client):
    with pytest.raises(docker.errors.ImageLoadError):
        client.images.load(b"nonsense")
    assert client.images.list() == []


def test_what_is_not_here_is_not_saved(api):
    with pytest.raises(docker.errors.ImageNotFound, match="No such image: nothing:latest"):
        list(api.get_image("nothing"))


def test_a_tar_becomes_an_image(client, tmp_path):
    content = tar_of(hello="world")
    file = tmp_path / "root.tar"
    file.write_bytes(content)
    api = client.api
    answers = {
        "file:1": api.import_image(str(file), repository="file", tag="1"),
        "named:1": api.import_image_from_file(str(file), repository="named", tag="1"),
        "data:1": api.import_image_from_data(content, repository="data", tag="1"),
        "stream:1": api.import_image(io.BytesIO(content), repository="stream", tag="1"),
        "stream:2": api.import_image_from_stream(iter([content[:1000], content[1000:]]), repository="stream", tag="2"),
    }
    layers = set()
    for name, answer in answers.items():
        image = client.images.get(name)
        assert image.id == imported(answer)
        layers.add(tuple(image.attrs["RootFS"]["Layers"]))
    assert len(layers) == 1


def test_a_tar_becomes_an_image_with_changes(client):
    changes = [
        "USER foobar",
        'CMD ["echo", "hi"]',
        "ENV A=b",
        "EXPOSE 80",
        "LABEL lab=changed",
        "VOLUME /data",
        "WORKDIR /srv",
    ]
    answer = client.api.import_image_from_data(tar_of(a="b"), repository="changed", changes=changes)
    image = client.images.get("changed:latest")
    assert image.id == imported(answer)
    config = image.attrs["Config"]
    assert config["User"] == "foobar" and config["Cmd"] == ["echo", "hi"]
    assert "A=b" in config["Env"] and config["ExposedPorts"] == {"80/tcp": {}}
    assert config["Volumes"] == {"/data": {}} and config["WorkingDir"] == "/srv"
    assert image.labels == {"lab": "changed"}


def test_a_change_that_makes_no_sense(client):
    with pytest.raises(docker.errors.APIError) as raised:
        client.api.import_image_from_data(tar_of(a="b"), repository="changed", changes=["RUN true"])
    assert raised.value.status_code == 400 and "RUN" in raised.value.explanation
    assert client.images.list() == []
