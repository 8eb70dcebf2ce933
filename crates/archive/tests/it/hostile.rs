//! Archives that try something.

use layer_archive::Reader;
use layer_testkit::layer::{Entry, LayerBuilder};

/// Reads an archive to its end, and tells why it can't be.
fn refusal(tar: &[u8]) -> String {
    let mut reader = Reader::new(tar);
    let failed = loop {
        match reader.next_file() {
            Ok(Some(_)) => {}
            Ok(None) => break reader.finish().map(|_| ()),
            Err(error) => break Err(error),
        }
    };
    failed.unwrap_err().to_string()
}

#[test]
fn members_that_lead_elsewhere_are_refused_by_name() {
    let file = |name: &str| LayerBuilder::new().file(name, "x").tar();
    for (name, reason) in [
        ("../evil", "leads out of the archive or back by `..`"),
        ("a/../../evil", "leads out of the archive or back by `..`"),
        ("/etc/passwd", "its name is absolute"),
        ("a//b", "its name has an empty part"),
    ] {
        let told = refusal(&file(name));
        assert!(told.contains(&format!("member `{name}` of the archive")) && told.contains(reason), "{told}");
    }
    for (link, target) in [("a/layer.tar", "../../etc/passwd"), ("layer.tar", "/etc/shadow"), ("l", "..")] {
        let told = refusal(&LayerBuilder::new().symlink(link, target).tar());
        assert!(told.contains(&format!("member `{link}`")) && told.contains("leads out of the archive"), "{told}");
    }
    let told = refusal(&LayerBuilder::new().hard_link("layer.tar", "../x").tar());
    assert!(told.contains("leads out of the archive"), "{told}");
}

#[test]
fn members_below_a_link_are_refused_whichever_comes_first() {
    let below = LayerBuilder::new().symlink("a", "b").dir("b").file("a/layer.tar", "x").tar();
    let above = LayerBuilder::new().file("a/layer.tar", "x").symlink("a", "b").tar();
    for tar in [below, above] {
        assert_eq!(refusal(&tar), "member `a/layer.tar` of the archive: it lies below a link");
    }
}

#[test]
fn a_member_is_there_once() {
    let told = refusal(&LayerBuilder::new().file("manifest.json", "[]").file("./manifest.json", "[1]").tar());
    assert_eq!(told, "member `manifest.json` of the archive: it is there twice");
    let told = refusal(&LayerBuilder::new().file("a", "").symlink("a", "b").tar());
    assert_eq!(told, "member `a` of the archive: it is there twice");
}

#[test]
fn what_no_archive_holds_is_refused() {
    for entry in [Entry::fifo("pipe"), Entry::char_device("null", 1, 3)] {
        let told = refusal(&LayerBuilder::new().entry(entry).tar());
        assert!(told.contains("neither a file nor a folder nor a link"), "{told}");
    }
}

#[test]
fn what_is_read_into_memory_has_a_limit_that_is_asked_for_first() {
    let tar = LayerBuilder::new().file("manifest.json", vec![b' '; 5000]).tar();
    let mut reader = Reader::new(tar.as_slice());
    let member = reader.next_file().unwrap().unwrap();
    let told = reader.small(&member, 4999).unwrap_err().to_string();
    assert!(told.contains("it has 5000 bytes, which is more than the 4999 that are taken"), "{told}");
}
