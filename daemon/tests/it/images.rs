//! Looking at images, naming and removing them.

use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::Registry;
use serde_json::{Value, json};

use crate::daemon::Place;

fn app() -> Image {
    ImageBuilder::new()
        .layer(LayerBuilder::new().file("base", "1").gzip())
        .layer(LayerBuilder::new().file("top", "22").gzip())
        .cmd(&["/app"])
        .container("Env", json!(["A=1"]))
        .container("ExposedPorts", json!({"80/tcp": {}}))
        .container("Labels", json!({"lab.name": "app"}))
        .created("2024-01-02T03:04:05.5Z")
        .build()
}

fn other() -> Image {
    let layer = LayerBuilder::new().file("other", "1").gzip();
    ImageBuilder::docker().layer(layer).created("2020-01-01T00:00:00Z").build()
}

/// `{"a":["b"]}` and the like, encoded.
fn filters(filters: &Value) -> String {
    let encoded: String = filters.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/v1.51/images/json?filters={encoded}")
}

#[tokio::test]
async fn an_image_is_listed_and_inspected() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let image = app();
    let name = registry.put_image("lab/app", "1", &image);
    daemon.pull(&name).await;
    let repository = name.strip_suffix(":1").unwrap();
    let descriptor = image.top.descriptor();

    let list = daemon.get("/v1.51/images/json").await.json();
    let row = &list[0];
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(row["Id"], image.digest());
    assert_eq!(row["RepoTags"], json!([name]));
    assert_eq!(row["RepoDigests"], json!([format!("{repository}@{}", image.digest())]));
    assert_eq!(row["Created"], 1_704_164_645);
    assert_eq!(row["Labels"], json!({"lab.name": "app"}));
    assert_eq!(row["Descriptor"], descriptor);
    assert_eq!((&row["Containers"], &row["SharedSize"], &row["ParentId"]), (&json!(0), &json!(-1), &json!("")));
    let packed: u64 = image.blobs.iter().map(|blob| blob.size()).sum::<u64>() + image.top.bytes.len() as u64;
    assert_eq!(row["Size"], packed + 3, "packed, and the three bytes of the files");

    let shown = daemon.get(&format!("/v1.51/images/{name}/json")).await.json();
    assert_eq!(shown["Id"], image.digest());
    assert_eq!(shown["Size"], packed);
    assert_eq!(shown["Created"], "2024-01-02T03:04:05.5Z");
    assert_eq!((&shown["Architecture"], &shown["Os"]), (&json!("amd64"), &json!("linux")));
    let diff_ids: Vec<_> = image.layers.iter().map(|layer| layer.diff_id.clone()).collect();
    assert_eq!(shown["RootFS"], json!({"Type": "layers", "Layers": diff_ids}));
    assert_eq!(shown["Config"]["Cmd"], json!(["/app"]));
    assert_eq!(shown["Config"]["Entrypoint"], Value::Null);
    assert_eq!(shown["Config"]["ExposedPorts"], json!({"80/tcp": {}}));
    assert_eq!(shown["GraphDriver"], json!({"Data": null, "Name": "overlayfs"}));
    assert!(shown["Metadata"]["LastTagTime"].as_str().unwrap() > "2024");
    assert_eq!(shown["Descriptor"], descriptor);
    assert_eq!(shown.get("VirtualSize"), None);
    assert_eq!(shown["Config"].get("Hostname"), None);

    let old = daemon.get(&format!("/v1.24/images/{name}/json")).await.json();
    assert_eq!(old["VirtualSize"], packed);
    assert_eq!(old["Config"]["Hostname"], "");
    assert_eq!((old.get("Descriptor"), &old["Container"]), (None, &json!("")));
    assert_eq!(daemon.get("/v1.24/images/json").await.json()[0]["Containers"], -1);
}

#[tokio::test]
async fn an_image_answers_to_all_its_names() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let image = app();
    let name = registry.put_image("lab/app", "1", &image);
    daemon.pull(&name).await;
    let repository = name.strip_suffix(":1").unwrap();
    let hex = image.digest().strip_prefix("sha256:").unwrap();
    for known in [
        name.clone(),
        name.replace(':', "%3A").replace('/', "%2F"),
        format!("{repository}@{}", image.digest()),
        image.digest().to_owned(),
        hex[..12].to_owned(),
        image.config.clone().unwrap(),
    ] {
        let answer = daemon.get(&format!("/v1.51/images/{known}/json")).await;
        assert_eq!(answer.status, 200, "{known}: {}", answer.text());
        assert_eq!(answer.json()["Id"], image.digest(), "{known}");
    }
    for (unknown, status, message) in [
        ("nosuch".to_owned(), 404, "No such image: nosuch:latest".to_owned()),
        (format!("{repository}:nosuch"), 404, format!("No such image: {repository}:nosuch")),
        (
            "UPPER".to_owned(),
            400,
            "invalid reference format: repository name (library/UPPER) must be lowercase".to_owned(),
        ),
        ("a%zzb".to_owned(), 400, "the path is not encoded as a URL is".to_owned()),
    ] {
        for word in ["json", "history"] {
            let answer = daemon.get(&format!("/v1.51/images/{unknown}/{word}")).await;
            assert_eq!((answer.status, answer.message()), (status, message.clone()), "{unknown}");
        }
    }
}

#[tokio::test]
async fn history_is_told_from_the_top() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let image = app();
    let name = registry.put_image("lab/app", "1", &image);
    daemon.pull(&name).await;
    let history = daemon.get(&format!("/v1.51/images/{name}/history")).await.json();
    assert_eq!(
        history,
        json!([
            {"Comment": "", "Created": 1_704_164_645, "CreatedBy": "testkit layer 2", "Id": image.digest(), "Size": 2, "Tags": [name]},
            {"Comment": "", "Created": 1_704_164_645, "CreatedBy": "testkit layer 1", "Id": "<missing>", "Size": 1, "Tags": null},
        ])
    );
}

#[tokio::test]
async fn a_platform_can_be_asked_for() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let of = |platform: &str| {
        ImageBuilder::new().platform(platform).layer(LayerBuilder::new().file("p", platform).gzip()).build()
    };
    let index = IndexBuilder::new().image(&of("linux/amd64")).image(&of("linux/arm64")).build();
    let name = registry.put_image("lab/multi", "1", &index);
    daemon.pull(&name).await;
    let arm = "%7B%22os%22:%22linux%22,%22architecture%22:%22arm64%22%7D";
    let target = |query: &str| format!("/v1.51/images/{name}/json?{query}");
    let missing = daemon.get(&target(&format!("platform={arm}"))).await;
    assert_eq!(missing.status, 404);
    assert_eq!(
        missing.message(),
        format!("image with reference {name} was found but does not provide the specified platform (linux/arm64)")
    );
    let pulled = daemon.ask("POST", &format!("{}&platform=linux%2Farm64", crate::daemon::pull_target(&name))).await;
    assert_eq!(pulled.status, 200);
    let shown = daemon.get(&target(&format!("platform={arm}"))).await.json();
    assert_eq!((&shown["Architecture"], &shown["Id"]), (&json!("arm64"), &json!(of("linux/arm64").digest())));
    assert_eq!(shown["Descriptor"]["digest"], shown["Id"]);
    assert_eq!(shown["Descriptor"]["platform"], json!({"architecture": "arm64", "os": "linux"}));
    assert_eq!(daemon.get(&target("")).await.json()["Id"], index.digest());
    assert_eq!(daemon.get(&target("")).await.json()["Architecture"], "amd64");
    let both = daemon.get(&target(&format!("manifests=1&platform={arm}"))).await;
    assert_eq!(both.status, 400);
    assert_eq!(both.message(), "conflicting options: manifests and platform options cannot both be set");
    assert_eq!(daemon.get(&target("platform=foobar")).await.status, 400);
}

#[tokio::test]
async fn a_list_is_narrowed_by_filters() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let new = registry.put_image("lab/new", "1", &app());
    let old = registry.put_image("lab/old", "1", &other());
    daemon.pull(&new).await;
    daemon.pull(&old).await;
    let listed = async |filter: Value| -> Vec<String> {
        let answer = daemon.get(&filters(&filter)).await;
        assert_eq!(answer.status, 200, "{filter}: {}", answer.text());
        let rows = answer.json();
        rows.as_array().unwrap().iter().map(|row| row["RepoTags"][0].as_str().unwrap().to_owned()).collect()
    };
    let (both, only_new, only_old) = (vec![new.clone(), old.clone()], vec![new.clone()], vec![old.clone()]);
    assert_eq!(listed(json!({})).await, both);
    assert_eq!(listed(json!({"reference": {"*/lab/new": true}})).await, only_new);
    assert_eq!(listed(json!({"reference": [old, "nosuch"]})).await, only_old);
    assert_eq!(listed(json!({"label": ["lab.name=app"]})).await, only_new);
    assert_eq!(listed(json!({"label!": ["lab.name"]})).await, only_old);
    assert_eq!(listed(json!({"before": [new]})).await, only_old);
    assert_eq!(listed(json!({"since": {old.clone(): true}})).await, only_new);
    assert_eq!(listed(json!({"until": ["2022-01-01"]})).await, only_old);
    assert_eq!(listed(json!({"dangling": ["true"]})).await, Vec::<String>::new());
    assert_eq!(listed(json!({"dangling": {"false": true}})).await, both);
    for (filter, status, message) in [
        (json!({"nonsense": ["1"]}), 400, "invalid filter 'nonsense'"),
        (json!({"dangling": ["maybe"]}), 400, "invalid filter 'dangling=[maybe]'"),
        (json!({"until": ["yesterday"]}), 400, "invalid filter 'until=[yesterday]'"),
        (json!({"before": ["nosuch"]}), 404, "No such image: nosuch:latest"),
        (json!([]), 400, "invalid filter"),
    ] {
        let answer = daemon.get(&filters(&filter)).await;
        assert_eq!((answer.status, &*answer.message()), (status, message), "{filter}");
    }
    // Before there were filters.
    let pattern = daemon.get("/v1.24/images/json?filter=*/lab/old").await.json();
    assert_eq!((pattern.as_array().unwrap().len(), &pattern[0]["RepoTags"]), (1, &json!([old])));
}

#[tokio::test]
async fn names_are_given_and_taken() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let image = app();
    let name = registry.put_image("lab/app", "1", &image);
    daemon.pull(&name).await;
    let tag = async |query: &str| daemon.ask("POST", &format!("/v1.51/images/{name}/tag?{query}")).await;
    let given = tag("repo=docker.io%2Flab%2Fown&tag=v1").await;
    assert_eq!((given.status, given.text()), (201, ""));
    assert_eq!(tag("repo=own").await.status, 201);
    assert_eq!(tag("").await.status, 200, "docker's quirk");
    for (query, message) in [
        ("repo=UPPER&tag=b", "invalid reference format: repository name (library/UPPER) must be lowercase"),
        ("repo=ok&tag=-bad", "invalid tag format"),
        (
            "repo=ok@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "cannot import digest reference",
        ),
        ("repo=sha256&tag=x", "refusing to create an ambiguous tag using digest algorithm as name"),
    ] {
        let refused = tag(query).await;
        assert_eq!((refused.status, &*refused.message()), (400, message), "{query}");
    }
    let missing = daemon.ask("POST", "/v1.51/images/nosuch/tag?repo=a&tag=b").await;
    assert_eq!((missing.status, &*missing.message()), (404, "No such image: nosuch:latest"));

    let by_id = daemon.ask("DELETE", &format!("/v1.51/images/{}", image.digest())).await;
    assert_eq!(by_id.status, 409);
    assert!(by_id.message().ends_with("(must be forced) - image is referenced in multiple repositories"));
    let one = daemon.ask("DELETE", "/v1.51/images/lab/own:v1").await;
    assert_eq!((one.status, one.json()), (200, json!([{"Untagged": "lab/own:v1"}])));
    let rest = daemon.ask("DELETE", &format!("/v1.51/images/{}?force=1", image.digest())).await;
    assert_eq!(rest.json(), json!([{"Untagged": name}, {"Untagged": "own:latest"}, {"Deleted": image.digest()}]));
    assert_eq!(daemon.get("/images/json").await.json(), json!([]));
    let gone = daemon.ask("DELETE", &format!("/v1.51/images/{name}")).await;
    assert_eq!((gone.status, gone.message()), (404, format!("No such image: {name}")));
    assert_eq!(daemon.ask("DELETE", "/v1.51/images/").await.message(), "image name cannot be blank");
    assert_eq!(daemon.ask("DELETE", "/v1.51/images/json").await.message(), "No such image: json:latest");
    assert_eq!(daemon.ask("DELETE", "/v1.51/images/x?platforms=%7B%7D&force=1").await.status, 400);
}

#[tokio::test]
async fn the_manifests_behind_a_name_are_told() {
    let (registry, place) = (Registry::start().unwrap(), Place::new());
    let daemon = place.start();
    let of = |platform: &str| {
        ImageBuilder::new().platform(platform).layer(LayerBuilder::new().file("p", platform).gzip()).build()
    };
    let (amd, arm) = (of("linux/amd64"), of("linux/arm64"));
    let index = IndexBuilder::new().image(&amd).attestation(&of("linux/amd64")).image(&arm).build();
    let name = registry.put_image("lab/multi", "1", &index);
    daemon.pull(&name).await;
    let listed = daemon.get("/v1.51/images/json?manifests=1").await.json();
    let inspected = daemon.get(&format!("/v1.51/images/{name}/json?manifests=1")).await.json();
    assert_eq!(listed[0]["Manifests"], inspected["Manifests"]);
    let manifests = inspected["Manifests"].as_array().unwrap();
    let told: Vec<_> = manifests.iter().map(|one| (one["Kind"].as_str().unwrap(), one["Available"] == true)).collect();
    assert_eq!(told, [("image", true), ("attestation", false), ("image", false)]);
    let packed = amd.top.bytes.len() as u64 + amd.blobs.iter().map(|blob| blob.size()).sum::<u64>();
    let platform = json!({"architecture": "amd64", "os": "linux"});
    assert_eq!(
        manifests[0],
        json!({
            "ID": amd.digest(),
            "Descriptor": {
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": amd.digest(),
                "size": amd.top.bytes.len(), "platform": platform,
            },
            "Available": true,
            "Size": {"Content": packed, "Total": packed + 11},
            "Kind": "image",
            "ImageData": {"Platform": platform, "Size": {"Unpacked": 11}, "Containers": null},
        })
    );
    assert_eq!(manifests[1]["AttestationData"], json!({"For": amd.digest()}));
    assert_eq!(manifests[2]["Size"], json!({"Content": 0, "Total": 0}));
    assert_eq!(manifests[2]["ImageData"]["Platform"]["architecture"], "arm64");
    // Who doesn't ask, and who is too old to know, is told nothing of them.
    for target in ["/v1.51/images/json", "/v1.46/images/json?manifests=1"] {
        assert_eq!(daemon.get(target).await.json()[0].get("Manifests"), None, "{target}");
    }
    let alone = registry.put_image("lab/alone", "1", &other());
    daemon.pull(&alone).await;
    let alone = daemon.get(&format!("/v1.51/images/{alone}/json?manifests=1")).await.json();
    assert_eq!(alone["Manifests"].as_array().unwrap().len(), 1);
    assert_eq!(alone["Manifests"][0]["ID"], alone["Id"]);
}
