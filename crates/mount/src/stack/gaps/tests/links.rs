//! Links to files of other layers.

use super::*;

#[test]
fn root_a_foreign_link_is_the_file_that_its_target_was() {
    let place = Place::new();
    let layers = [
        layer(place.layer("0", &["d d"]), &[], &[("d/near", "f"), ("d/abs", "/f"), ("dot", "./d/../f"), ("sym", "s")]),
        layer(place.layer("1", &["f x 1"]), &[], &[]),
        layer(place.layer("2", &["f f 2", "f d/other 2", "l s nowhere"]), &[], &[]),
        layer(place.layer("3", &["f f 3"]), &[], &[]),
    ];
    for path in ["0", "0/d", "2/d"] {
        dress(&place.path(path), 5);
    }
    let (closed, target) = show(&place, &layers);
    assert_eq!(closed, Closed { folders: 0, links: 4 });
    for link in ["d/near", "d/abs", "dot"] {
        assert_eq!(read(target.join(link)), "2", "{link}");
        assert!(same_file(&target.join(link), &target.join("f")), "{link}");
    }
    assert_eq!(fs::read_link(target.join("sym")).unwrap(), Path::new("nowhere"));
    assert_eq!(names(&target.join("d")), ["abs", "near", "other"]);
    assert_eq!((looks(&target), looks(&target.join("d"))), (Some(5), Some(5)));
}

#[test]
fn root_a_target_that_changed_later_is_still_the_old_one() {
    let place = Place::new();
    let layers = [
        layer(place.layer("0", &["f f 0", "w g"]), &[], &[]),
        layer(place.layer("1", &["f x 1"]), &[], &[("link", "f"), ("other", "g")]),
        layer(place.layer("2", &["f f 2", "f g 2", "f link old"]), &[], &[]),
    ];
    let (_, target) = show(&place, &layers);
    assert_eq!(read(target.join("link")), "2");
    assert_eq!(read(target.join("other")), "2");
    assert_eq!(read(target.join("f")), "0");
    assert_eq!(names(&target), ["f", "link", "other", "x"]);
}

#[test]
fn root_a_link_is_hidden_by_what_higher_layers_have_there() {
    let place = Place::new();
    let layers = [
        layer(
            place.layer("0", &["w gone", "f file 0", "d folder", "o open", "f way 0", "f implied/x/y 0"]),
            &["implied", "implied/x"],
            &[("twice", "f")],
        ),
        layer(
            place.layer("1", &["d open", "d way", "d implied"]),
            &["implied"],
            &[
                ("gone", "f"),
                ("file", "f"),
                ("folder", "f"),
                ("open/in", "f"),
                ("way/in", "f"),
                ("implied/x", "f"),
                ("twice", "g"),
                // Nobody will ever see that it leads nowhere.
                ("way/lost", "none"),
            ],
        ),
        layer(place.layer("2", &["f f 2", "f g 2"]), &[], &[]),
    ];
    let (closed, target) = show(&place, &layers);
    assert_eq!(closed.links, 1);
    assert_eq!(names(&target), ["f", "file", "folder", "g", "implied", "open", "twice", "way"]);
    assert!(same_file(&target.join("twice"), &target.join("f")));
    assert_eq!(names(&target.join("implied/x")), ["y"]);
}

#[test]
fn root_an_opaque_root_hides_links_and_looks_below() {
    let place = Place::new();
    let layers = [
        layer(place.layer("0", &["o .", "f x 0", "f a/x 0"]), &["", "a"], &[]),
        layer(place.layer("1", &["d a"]), &[], &[("link", "f")]),
        layer(place.layer("2", &["f f 2"]), &[], &[]),
    ];
    dress(&place.path("1"), 8);
    dress(&place.path("1/a"), 9);
    let (closed, target) = show(&place, &layers);
    // The root itself is never removed, so it keeps how it looked.
    assert_eq!(closed, Closed { folders: 1, links: 0 });
    assert_eq!((looks(&target), looks(&target.join("a"))), (Some(8), None));
    assert_eq!(names(&target), ["a", "x"]);
}

#[test]
fn root_links_lead_through_links_of_all_kinds() {
    let place = Place::new();
    let layers = [
        layer(
            place.layer("0", &["f z 0"]),
            &[],
            &[
                ("usrmerge", "lib/so"),
                ("absolute", "abs/so"),
                ("up", "usr/back/lib/so"),
                ("link-to-link", "middle"),
                ("same-layer", "link-to-link"),
                ("a-forward", "same-layer"),
                ("through-hard-linked", "dir-link/so"),
            ],
        ),
        layer(place.layer("1", &["f y 1"]), &[], &[("middle", "usr/lib/so"), ("dir-link", "lib")]),
        layer(place.layer("2", &["f usr/lib/so 2", "l lib usr/lib", "l abs /usr/lib", "l usr/back ../.."]), &[], &[]),
    ];
    // `usr/back` climbs above the root, and stays in it.
    fs::remove_file(place.path("2/usr/back")).unwrap();
    std::os::unix::fs::symlink("../../../..", place.path("2/usr/back")).unwrap();
    let (closed, target) = show(&place, &layers);
    assert_eq!(closed, Closed { folders: 0, links: 9 });
    for link in
        ["usrmerge", "absolute", "up", "link-to-link", "same-layer", "a-forward", "through-hard-linked", "middle"]
    {
        assert!(same_file(&target.join(link), &target.join("usr/lib/so")), "{link}");
    }
    assert_eq!(fs::read_link(target.join("dir-link")).unwrap(), Path::new("usr/lib"));
}

#[test]
fn root_the_folders_of_a_link_count_though_nobody_made_them() {
    let place = Place::new();
    let layers = [
        layer(place.layer("0", &["f x 0"]), &[], &[("again", "a/b/link")]),
        layer(place.layer("1", &["f y 1"]), &[], &[("a/b/link", "f")]),
        layer(place.layer("2", &["f z 2"]), &[], &[("a", "f")]),
        layer(place.layer("3", &["f f 3", "d a/b"]), &[], &[]),
    ];
    for (path, n) in [("3/a", 2), ("3/a/b", 3)] {
        dress(&place.path(path), n);
    }
    let (closed, target) = show(&place, &layers);
    assert_eq!(closed, Closed { folders: 0, links: 2 });
    assert_eq!(names(&target), ["a", "again", "f", "x", "y", "z"]);
    assert!(same_file(&target.join("a/b/link"), &target.join("f")));
    assert!(same_file(&target.join("again"), &target.join("f")));
    assert_eq!((looks(&target.join("a")), looks(&target.join("a/b"))), (None, None));
}

#[test]
fn root_a_link_to_nothing_is_an_error_that_names_both() {
    let place = Place::new();
    let bottom = ["f f 2", "f d/x 2", "l s s", "l out /../../etc"];
    for (n, target) in
        ["none", "gone", "d/none", "f/x", "s/x", "emptied/x", "link", "out/passwd", "b\u{e9}"].into_iter().enumerate()
    {
        let layers = [
            layer(place.layer(&format!("{n}-0"), &["f x 0"]), &[], &[("link", target)]),
            layer(place.layer(&format!("{n}-1"), &["w gone", "o emptied"]), &[], &[]),
            layer(place.layer(&format!("{n}-2"), &bottom), &[], &[]),
            layer(place.layer(&format!("{n}-3"), &["f gone 3", "f emptied/x 3"]), &[], &[]),
        ];
        let error = close(&place, &layers).unwrap_err();
        let StackError::DanglingLink { path, target: named } = &error else { panic!("{error}") };
        assert_eq!((path.as_slice(), named.as_slice()), (&b"link"[..], target.as_bytes()));
        if target == "none" {
            assert_eq!(error.to_string(), "hard link `link`: no layer below it has its target `none`");
        }
    }
    let layers =
        [layer(place.layer("0", &["f x 0"]), &[], &[("link", "d")]), layer(place.layer("1", &["d d"]), &[], &[])];
    let error = close(&place, &layers).unwrap_err();
    assert_eq!(error.to_string(), "hard link `link`: its target `d` is a folder");
    // Two links that name each other, with nothing below.
    let layers = [layer(place.layer("2", &["f x 0"]), &[], &[("a", "b"), ("b", "a")])];
    assert!(matches!(close(&place, &layers), Err(StackError::DanglingLink { .. })));
}

#[test]
fn root_a_long_chain_of_links_is_no_danger() {
    let place = Place::new();
    let mut top = layer(place.layer("0", &["f x 0"]), &[], &[]);
    for n in 0..3000 {
        let target = if n == 2999 { "f".to_owned() } else { format!("l{}", n + 1) };
        top.links.push(ForeignLink { path: format!("l{n}").into_bytes(), target: target.into_bytes() });
    }
    let layers = [top, layer(place.layer("1", &["f f 1"]), &[], &[])];
    let closed = close(&place, &layers).unwrap();
    assert_eq!(closed.links, 3000);
    assert!(same_file(&place.path("thin/l0"), &place.path("1/f")));
}
