//! Links to files of layers that are file systems of their own.

use super::*;

/// A layer that is a file system of its own.
fn apart(place: &Place, name: &str, lines: &[&str], implied: &[&str], links: &[(&str, &str)]) -> Layer {
    place.memory(name);
    layer(place.layer(name, lines), implied, links)
}

#[test]
fn root_a_copy_is_seen_under_all_names_of_its_original() {
    let place = Place::new();
    let layers = [
        apart(&place, "0", &["f a/over 0", "w gone"], &["a"], &[("again", "one"), ("sym", "s")]),
        apart(&place, "1", &["f x 1"], &[], &[("d/link", "one"), ("lone", "single")]),
        apart(
            &place,
            "2",
            &[
                "f one 2",
                "h a/b/two one",
                "h a/over one",
                "h gone one",
                "h d/three one",
                "f single 3",
                "l s one",
                "f other 4",
                "h a/other other",
            ],
            &[],
            &[],
        ),
    ];
    for (path, n) in [("0", 10), ("2/a", 21), ("2/a/b", 22), ("2/d", 23), ("2/one", 24)] {
        let path = place.path(path);
        chown(&path, Some(n), Some(n + 1)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700 + n % 64)).unwrap();
        set_time(&path, -i64::from(n));
    }
    set_xattr(&place.path("2/one"), "trusted.theirs", b"t");
    set_xattr(&place.path("2/one"), "security.other", b"s");

    let (closed, target) = show(&place, &layers);
    assert_eq!(closed, Closed { folders: 1, links: 4 });
    for name in ["one", "a/b/two", "d/three", "d/link", "again"] {
        let here = target.join(name);
        assert_eq!(read(&here), "2", "{name}");
        assert!(same_file(&here, &target.join("again")), "{name}");
        let stat = here.metadata().unwrap();
        assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), (24, 25, 0o700 + 24), "{name}");
        assert_eq!((stat.mtime(), stat.nlink()), (-24, 5), "{name}");
        assert_eq!(
            xattrs(fs::File::open(&here).unwrap()),
            [("security.other".to_owned(), b"s".to_vec()), ("trusted.theirs".to_owned(), b"t".to_vec())]
        );
    }
    assert!(same_file(&target.join("lone"), &target.join("single")));
    assert!(same_file(&target.join("sym"), &target.join("s")));
    assert_eq!(fs::read_link(target.join("sym")).unwrap(), Path::new("one"));
    // What is hidden stays so, and what nobody asked for stays where it is.
    assert_eq!(read(target.join("a/over")), "0");
    assert_eq!(names(&target), ["a", "again", "d", "lone", "one", "other", "s", "single", "sym", "x"]);
    assert_eq!(names(&place.path("thin")), ["a", "again", "d", "lone", "one", "s", "single", "sym"]);
    assert_eq!(names(&place.path("thin/a")), ["b"]);
    let seen = ["", "a", "a/b", "d"].map(|path| looks(&target.join(path)));
    assert_eq!(seen, [Some(10), Some(21), Some(22), Some(23)]);
}

#[test]
fn root_a_target_that_changed_later_keeps_its_new_content() {
    let place = Place::new();
    let layers = [
        apart(&place, "0", &["f f 0", "w g", "o d"], &[], &[]),
        apart(&place, "1", &["f x 1"], &[], &[("link", "f"), ("other", "g"), ("in", "d/i")]),
        apart(&place, "2", &["f f 2", "h kept f", "f g 2", "f d/i 2"], &[], &[]),
    ];
    let (_, target) = show(&place, &layers);
    assert_eq!(["link", "other", "in", "f", "kept"].map(|name| read(target.join(name))), ["2", "2", "2", "0", "2"]);
    assert!(same_file(&target.join("link"), &target.join("kept")));
    assert_eq!(names(&target), ["d", "f", "in", "kept", "link", "other", "x"]);
    assert_eq!(names(&target.join("d")), [""; 0]);
}

#[test]
fn root_only_what_lies_elsewhere_is_copied() {
    let place = Place::new();
    let layers = [
        layer(place.layer("0", &["f x 0"]), &[], &[("far", "f"), ("near", "g")]),
        layer(place.layer("1", &["f g 1", "h h g"]), &[], &[]),
        apart(&place, "2", &["f f 2"], &[], &[]),
    ];
    assert_eq!(close(&place, &layers).unwrap().links, 2);
    assert_eq!(names(&place.path("thin")), ["f", "far", "near"]);
    assert!(same_file(&place.path("thin/near"), &place.path("1/g")));
    assert!(same_file(&place.path("thin/far"), &place.path("thin/f")));
    assert!(!same_file(&place.path("thin/far"), &place.path("2/f")));
}
