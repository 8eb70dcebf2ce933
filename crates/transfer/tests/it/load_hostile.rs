//! Archives that try something, and archives that are damaged.

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::{Entry, LayerBuilder};
use layer_testkit::sha256;
use serde_json::json;

use crate::archive::{Files, layout, plain};
use crate::load::load;
use crate::setup::{Setup, chain, image};

/// Loads what can't be, sees that nothing is left of it, and gives the reason.
pub(crate) async fn refused(setup: &Setup, bytes: Vec<u8>) -> String {
    let error = load(setup, bytes).await.unwrap_err();
    setup.assert_clean();
    assert!(setup.store.names().is_empty());
    assert!(setup.store.layer_ids().unwrap().is_empty());
    assert_eq!(setup.count("blobs/sha256"), 0);
    assert_eq!(error.kind(), layer_transfer::Kind::Invalid, "{}", chain(&*error));
    chain(&*error)
}

#[tokio::test(flavor = "multi_thread")]
async fn root_hostile_archives_are_refused_by_name_and_leave_nothing() {
    let setup = Setup::new();
    let image = image([plain("good"), plain("better")]);
    let good = |change: &dyn Fn(&mut Files)| layout(&[(&image, Some("lab/app:1"))], |files| change(files));
    let layer_name = format!("blobs/{}", image.layers[0].blob.digest.replacen(':', "/", 1));
    let config = image.config.clone().unwrap();

    let flipped = good(&|files| {
        let file = files.iter_mut().find(|(name, _)| *name == layer_name).unwrap();
        *file.1.last_mut().unwrap() ^= 1;
    });
    let told = refused(&setup, flipped).await;
    assert!(told.contains(&format!("member `{layer_name}` of the archive: verify: digest mismatch")), "{told}");

    let forged = good(&|files| {
        let file = files.iter_mut().find(|(name, _)| name.ends_with(&config[7..])).unwrap();
        file.1[0] = b' ';
    });
    let told = refused(&setup, forged).await;
    assert!(told.contains("digest mismatch"), "{told}");

    let without = good(&|files| files.retain(|(name, _)| *name != layer_name));
    let told = refused(&setup, without).await;
    assert!(told.contains(&format!("lacks layer `{}`", image.layers[0].blob.digest)), "{told}");

    let told = refused(&setup, good(&|files| files.push(("../evil".to_owned(), b"x".to_vec())))).await;
    assert!(told.contains("member `../evil` of the archive"), "{told}");

    let huge = good(&|files| files.push(("manifest.json".to_owned(), vec![b' '; (4 << 20) + 1])));
    let told = refused(&setup, huge).await;
    assert!(told.contains("`manifest.json`") && told.contains("more than the 4194304 that are taken"), "{told}");

    let many = good(&|files| {
        let document =
            |n: u32| (format!("{n}.json"), format!("{{\"n\":\"{}\"}}", n.to_string().repeat(4 << 20)).into_bytes());
        files.extend((0..9).map(document));
    });
    let told = refused(&setup, many).await;
    assert_eq!(told, "the documents of the archive add up to more than 32 MiB");

    // Another layer under the right digest of the blob, which the config does not name.
    let wrong = ImageBuilder::new()
        .layer(plain("shown"))
        .change_config(|config| config["rootfs"]["diff_ids"][0] = sha256(b"claimed").into())
        .build();
    let told = refused(&setup, layout(&[(&wrong, Some("lab/wrong:1"))], |_| {})).await;
    assert!(told.contains("the config of the image names another one"), "{told}");

    for (bytes, reason) in [
        (Vec::new(), "unrecognized image format"),
        (b"this is no archive.".to_vec(), "the tar ends in the middle"),
        (LayerBuilder::new().file("etc/passwd", "root").tar(), "unrecognized image format"),
        (good(&|files| files.retain(|(name, _)| name != "index.json")), "unrecognized image format"),
    ] {
        let told = refused(&setup, bytes).await;
        assert!(told.contains(reason), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_hostile_docker_archives_are_refused_by_name_and_leave_nothing() {
    let setup = Setup::new();
    let image = ImageBuilder::docker().layers([plain("one"), plain("two")]).build();
    let (config, bytes) = ("c.json", image.blobs[0].content.to_vec().unwrap());
    let archive = |layers: &[&str], extra: Vec<Entry>| {
        let manifest = json!([{"Config": config, "RepoTags": ["x:1"], "Layers": layers}]);
        let tar = |at: usize| image.layers[at].tar.to_vec().unwrap();
        let start = LayerBuilder::new().file("1/layer.tar", tar(0)).file("2/layer.tar", tar(1)).file(config, &bytes);
        start.entries(extra).file("manifest.json", manifest.to_string()).tar()
    };
    let good = ["1/layer.tar", "2/layer.tar"];
    for (bytes, reason) in [
        (
            archive(&["1/layer.tar", "3/layer.tar"], vec![]),
            "`manifest.json` names `3/layer.tar`, which is not in the archive",
        ),
        (archive(&["1/layer.tar", "../2/layer.tar"], vec![]), "`manifest.json` names `../2/layer.tar`"),
        (archive(&["1/layer.tar", "/etc/passwd"], vec![]), "`manifest.json` names `/etc/passwd`"),
        (archive(&["2/layer.tar", "1/layer.tar"], vec![]), "the config of the image names another one"),
        (archive(&["1/layer.tar"], vec![]), "the manifest has 1 layers, but its image config has 2"),
        (archive(&["1/layer.tar", "c.json"], vec![]), "member `c.json` of the archive: it is no layer"),
        (archive(&good, vec![Entry::symlink("3/layer.tar", "/etc/shadow")]), "leads out of the archive"),
        (
            archive(&good, vec![Entry::file("./1/layer.tar", "x")]),
            "member `1/layer.tar` of the archive: it is there twice",
        ),
        (
            archive(&good, vec![Entry::symlink("3", "1"), Entry::file("3/layer.tar", "x")]),
            "member `3/layer.tar` of the archive: it lies below a link",
        ),
        (
            archive(&["1/layer.tar", "3"], vec![Entry::file("3", [&[0x1f, 0x8b][..], &[7; 600]].concat())]),
            "member `3` of the archive: decompress",
        ),
    ] {
        let told = refused(&setup, bytes).await;
        assert!(told.contains(reason), "{reason}: {told}");
    }
    load(&setup, archive(&good, vec![Entry::symlink("3/layer.tar", "../1/layer.tar")])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_archive_that_means_two_images_is_refused() {
    let setup = Setup::new();
    let (shown, hidden) = (image([plain("shown")]), image([plain("hidden")]));
    let name = |digest: &str| format!("blobs/{}", digest.replacen(':', "/", 1));
    let table = |config: &str, layer: &str| {
        json!([{"Config": name(config), "RepoTags": ["lab/app:1"], "Layers": [name(layer)]}]).to_string().into_bytes()
    };
    let archive = |table: Vec<u8>| {
        layout(&[(&shown, Some("lab/app:1"))], |files| {
            files.extend(crate::archive::blobs(&hidden));
            files.push(("manifest.json".to_owned(), table));
        })
    };
    let part =
        |image: &layer_testkit::image::Image| (image.config.clone().unwrap(), image.layers[0].blob.digest.clone());
    let ((config, layer), (hidden_config, hidden_layer)) = (part(&shown), part(&hidden));
    for table in [table(&hidden_config, &hidden_layer), table(&config, &hidden_layer)] {
        let told = refused(&setup, archive(table)).await;
        assert!(told.contains("and `index.json` does not: which it is would depend on the reader"), "{told}");
    }
    load(&setup, archive(table(&config, &layer))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_the_rest_of_what_is_refused_is_taken_before_the_end() {
    use futures_util::StreamExt as _;
    let setup = Setup::new();
    let start = bytes::Bytes::from(LayerBuilder::new().file("../evil", "x").tar());
    let (send_rest, rest) = tokio::sync::oneshot::channel();
    let pieces = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(start)]);
    let body = pieces.chain(futures_util::stream::once(async move { Ok(rest.await.unwrap()) }));
    let mut load = setup.transfer.load(layer_transfer::LoadRequest::default(), body);
    assert!(matches!(load.next().await, Some(layer_transfer::LoadEvent::Failed(_))));
    // It is known how it ends, and the sender has not ended yet.
    tokio::select! {
        biased;
        event = load.next() => panic!("{event:?}"),
        () = std::future::ready(()) => {}
    }
    send_rest.send(bytes::Bytes::from_static(b"rest")).unwrap();
    assert!(load.next().await.is_none());
}
