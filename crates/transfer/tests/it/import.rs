//! Root file systems that become images.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use layer_digest::{BlobId, ImageId};
use layer_testkit::layer::{Compression, LayerBuilder};
use layer_testkit::sha256;
use layer_transfer::{Changes, ImportRequest, LoadError};
use serde_json::{Value, json};

use crate::setup::{Setup, chain};

async fn import(setup: &Setup, request: ImportRequest, body: Vec<u8>) -> Result<ImageId, LoadError> {
    let pieces: Vec<_> = body.chunks(777).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    setup.transfer.import(request, stream::iter(pieces)).done().await
}

fn read(setup: &Setup, digest: &str) -> Value {
    let bytes = setup.store.read_blob(digest.parse::<BlobId>().unwrap(), 1 << 20).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_tar_becomes_an_image_of_one_layer() {
    let tar = LayerBuilder::new().dir("etc").file("etc/name", "lab").tar();
    let diff = sha256(&tar);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("root.tar"), &tar).unwrap();
    let packed = |program: &str| {
        let output =
            std::process::Command::new(program).arg("-c").arg(folder.path().join("root.tar")).output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    for (what, body, suffix) in [
        ("plain", tar.clone(), ""),
        ("gzip", packed("gzip"), "+gzip"),
        ("zstd", packed("zstd"), "+zstd"),
        ("xz", packed("xz"), ""),
        ("bzip2", packed("bzip2"), ""),
    ] {
        let setup = Setup::new();
        let request = ImportRequest {
            name: Some("lab/imported:v1".parse().unwrap()),
            message: "by the lab".to_owned(),
            changes: Changes::parse(["CMD [\"x\"]", "LABEL a=b"]).unwrap(),
            platform: Some("linux/arm/v7".parse().unwrap()),
        };
        let kept = if matches!(what, "xz" | "bzip2") { tar.clone() } else { body.clone() };
        let id = import(&setup, request, body).await.unwrap();
        assert_eq!(setup.store.names()[0].target.digest, id.0);
        assert_eq!(setup.store.names()[0].reference.familiar(), "lab/imported:v1");
        let manifest = read(&setup, &id.to_string());
        assert_eq!(
            manifest["layers"],
            json!([{"mediaType": format!("application/vnd.oci.image.layer.v1.tar{suffix}"), "digest": sha256(&kept), "size": kept.len()}]),
            "{what}"
        );
        let config = read(&setup, manifest["config"]["digest"].as_str().unwrap());
        assert_eq!(config["rootfs"], json!({"type": "layers", "diff_ids": [diff]}));
        assert_eq!(config["config"], json!({"Cmd": ["x"], "Labels": {"a": "b"}}));
        assert_eq!(
            (&config["os"], &config["architecture"], &config["variant"]),
            (&json!("linux"), &json!("arm"), &json!("v7"))
        );
        assert_eq!(config["history"][0]["comment"], "by the lab");
        assert_eq!(config["history"][0]["created"], config["created"]);
        let layer = setup.store.layer(diff.parse().unwrap()).unwrap().unwrap();
        assert_eq!(std::fs::read(layer.files.as_path().join("etc/name")).unwrap(), b"lab");
        setup.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_is_no_root_is_refused_and_leaves_nothing() {
    let setup = Setup::new();
    let mut packed =
        LayerBuilder::new().file("a", vec![7; 5000]).pack(Compression::Gzip).blob.content.to_vec().unwrap();
    packed.truncate(packed.len() - 2);
    for (body, reason) in [
        (b"x = y\n".to_vec(), "import the tar: unpack: read the tar: the tar ends in the middle"),
        (packed, "import the tar: decompress"),
        (LayerBuilder::new().file("../evil", "x").tar(), "import the tar: unpack: entry `../evil`"),
    ] {
        let error = import(&setup, ImportRequest::default(), body).await.unwrap_err();
        assert!(chain(&error).contains(reason), "{}", chain(&error));
        assert_eq!(error.kind(), layer_transfer::Kind::Invalid);
        setup.assert_clean();
        assert!(setup.store.names().is_empty() && setup.count("blobs/sha256") == 0);
    }
    let broken = stream::iter([Ok(Bytes::from(LayerBuilder::new().file("a", "b").tar())), Err("gone")]);
    let error = setup.transfer.import(ImportRequest::default(), broken).done().await.unwrap_err();
    assert!(chain(&error).contains("the body of the request broke off"), "{}", chain(&error));
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_without_a_name_it_is_kept_all_the_same() {
    let setup = Setup::new();
    let id = import(&setup, ImportRequest::default(), LayerBuilder::new().tar()).await.unwrap();
    let images = setup.store.images();
    assert_eq!((images.len(), images[0].target.digest, images[0].names.len()), (1, id.0, 0));
}
