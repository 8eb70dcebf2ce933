import docker
import pytest


@pytest.fixture
def both(client, lab):
    """The older image and the newer one."""
    return [client.images.pull(lab.name("lab/box"), tag=tag) for tag in ("1", "2")]


def ids(images):
    return [image.id for image in images]


def test_the_list_has_the_newest_first(client, both):
    older, newer = both
    assert ids(client.images.list()) == [newer.id, older.id]
    assert ids(client.images.list(all=True)) == [newer.id, older.id]


def test_the_list_of_a_name(client, lab, both):
    older, newer = both
    assert ids(client.images.list(lab.name("lab/box"))) == [newer.id, older.id]
    assert ids(client.images.list(name=lab.name("lab/box:1"))) == [older.id]
    assert client.images.list("nothing") == []


def test_filters(client, lab, both):
    older, newer = both

    def found(**filters):
        return ids(client.images.list(filters=filters))

    assert found(reference=lab.name("lab/*:2")) == [newer.id]
    assert found(reference=[lab.name("lab/box:1"), lab.name("lab/box:2")]) == [newer.id, older.id]
    assert found(label="lab.name") == [newer.id, older.id]
    assert found(label="lab.name=lab/box:1") == [older.id]
    assert found(label=["lab=yes", "lab.name=lab/box:2"]) == [newer.id]
    assert found(label=["lab=no"]) == []
    assert found(before=lab.name("lab/box:2")) == [older.id]
    assert found(since=lab.name("lab/box:1")) == [newer.id]
    assert found(until="2024-01-01") == [older.id]
    assert found(dangling=True) == []
    assert found(dangling=False) == [newer.id, older.id]


def test_what_has_lost_its_name_dangles(client, lab, box):
    client.images.pull(lab.name("lab/box"), tag="2").tag(lab.name("lab/box"), "1")
    assert ids(client.images.list(filters={"dangling": True})) == [box.id]
    box.reload()
    assert box.tags == []


@pytest.mark.parametrize("filters", [{"nonsense": "1"}, {"dangling": "maybe"}])
def test_a_filter_that_makes_no_sense(client, filters):
    with pytest.raises(docker.errors.APIError, match="invalid filter") as raised:
        client.images.list(filters=filters)
    assert raised.value.status_code == 400


def test_the_low_level_list(api, lab, box):
    (row,) = api.images()
    assert row["Id"] == box.id
    assert row["RepoTags"] == [lab.name("lab/box:1")]
    assert row["RepoDigests"] == [f"{lab.name('lab/box')}@{box.id}"]
    assert row["Labels"] == {"lab.name": "lab/box:1", "lab": "yes"}
    assert row["Created"] == 1700000000
    assert row["Size"] > 0
    assert api.images(quiet=True) == [box.id]


def test_getting_one_by_each_of_its_names(client, lab, box):
    digest = f"{lab.name('lab/box')}@{box.id}"
    for name in (lab.name("lab/box:1"), digest, box.id, box.id.removeprefix("sha256:"), box.short_id):
        assert client.images.get(name).id == box.id


def test_attributes(lab, box):
    attrs = box.attrs
    assert attrs["RepoTags"] == [lab.name("lab/box:1")]
    assert attrs["RootFS"] == {"Type": "layers", "Layers": lab.images["lab/box:1"]["layers"]}
    assert attrs["Config"]["Cmd"] == ["sh", "-c", "true"]
    assert attrs["Config"]["Env"] == ["PATH=/bin"]
    assert attrs["Created"] == "2023-11-14T22:13:20Z"
    assert f"{attrs['Os']}/{attrs['Architecture']}" == lab.platform
    assert attrs["Size"] > 0
    assert box.labels == {"lab.name": "lab/box:1", "lab": "yes"}
    assert box.short_id == box.id[:19]
    assert repr(box) == f"<Image: '{lab.name('lab/box:1')}'>"


def test_the_history_has_the_newest_first(box):
    steps = box.history()
    assert [step["CreatedBy"] for step in steps] == ["testkit layer 2", "testkit layer 1"]
    assert [step["Id"] for step in steps] == [box.id, "<missing>"]
    assert steps[0]["Tags"] == box.tags and steps[0]["Created"] == 1700000000
    assert all(step["Size"] > 0 for step in steps)


def test_names_are_given(client, box):
    assert box.tag("mine", "v1") is True
    assert box.tag("mine") is True
    assert box.tag("mine/deep:v2") is True
    box.reload()
    assert {"mine:v1", "mine:latest", "mine/deep:v2"} <= set(box.tags)
    assert client.images.get("mine").id == box.id
    with pytest.raises(docker.errors.APIError, match="invalid reference format") as raised:
        box.tag("UPPER")
    assert raised.value.status_code == 400
    with pytest.raises(docker.errors.ImageNotFound, match="No such image: nothing:latest"):
        client.api.tag("nothing", "mine")


def test_names_are_taken_and_the_last_takes_the_image(client, lab, box):
    box.tag("mine", "v1")
    assert client.api.remove_image("mine:v1") == [{"Untagged": "mine:v1"}]
    removed = client.api.remove_image(lab.name("lab/box:1"))
    assert {"Untagged": lab.name("lab/box:1")} in removed and {"Deleted": box.id} in removed
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(box.id)


def test_removing_by_id_what_has_two_names_takes_force(client, lab, box):
    box.tag("mine", "v1")
    with pytest.raises(docker.errors.APIError) as raised:
        client.images.remove(box.id)
    assert raised.value.status_code == 409
    short = box.id[7:19]
    assert f"conflict: unable to delete {short} (must be forced)" in raised.value.explanation
    assert "image is referenced in multiple repositories" in raised.value.explanation
    client.images.remove(box.id, force=True)
    assert client.images.list() == []


def test_removing_without_parents(client, box):
    box.remove(noprune=True)
    assert client.images.list() == []


def test_pruning(client, lab, box):
    assert client.images.prune() == {"ImagesDeleted": None, "SpaceReclaimed": 0}
    client.images.pull(lab.name("lab/box"), tag="2").tag(lab.name("lab/box"), "1")
    pruned = client.images.prune(filters={"dangling": True})
    assert {"Deleted": box.id} in pruned["ImagesDeleted"] and pruned["SpaceReclaimed"] > 0
    kept = client.images.prune(filters={"dangling": False, "label": "lab=no"})
    assert kept["ImagesDeleted"] is None
    kept = client.images.prune(filters={"dangling": False, "until": "24h"})
    assert kept["ImagesDeleted"] is None
    kept = client.images.prune(filters={"dangling": False, "label!": ["lab=yes"]})
    assert kept["ImagesDeleted"] is None
    pruned = client.images.prune(filters={"dangling": False, "label": ["lab=yes"]})
    assert {"Deleted": lab.id("lab/box:2")} in pruned["ImagesDeleted"]
    assert client.images.list() == []
