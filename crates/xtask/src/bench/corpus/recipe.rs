//! What the images are made of.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pack {
    Gzip,
    Zstd,
}

impl Pack {
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => "tar.gz",
            Self::Zstd => "tar.zst",
        }
    }
}

/// One layer: the files of some packages.
#[derive(Clone, Debug)]
pub(crate) struct LayerRecipe {
    label: String,
    pub(crate) packages: Vec<String>,
    /// Packages of the layers below, which are left out, with all that they depend on.
    pub(crate) below: Vec<String>,
    /// With all that the packages depend on.
    pub(crate) closure: bool,
    /// So many copies beside each other; one lies at the root.
    pub(crate) copies: usize,
    /// A file that makes it another layer.
    pub(crate) change: Option<String>,
    pub(crate) pack: Pack,
}

impl LayerRecipe {
    fn new(label: impl Into<String>, packages: &[&str]) -> Self {
        let packages = packages.iter().map(|name| (*name).to_owned()).collect();
        let label = label.into();
        Self { label, packages, below: Vec::new(), closure: false, copies: 1, change: None, pack: Pack::Gzip }
    }

    /// The same layer, packed otherwise.
    pub(crate) fn packed_by(self, pack: Pack) -> Self {
        Self { pack, ..self }
    }

    /// The name of its file.
    pub(crate) fn name(&self) -> String {
        let change = self.change.as_ref().map_or(String::new(), |text| format!("-{text}"));
        let pack = if self.pack == Pack::Zstd { "-zstd" } else { "" };
        format!("{}{change}{pack}", self.label)
    }
}

/// The base of every image: what Debian's smallest system has.
const BASE: [&str; 24] = [
    "apt",
    "bash",
    "base-files",
    "base-passwd",
    "bsdutils",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "dpkg",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "init-system-helpers",
    "libc-bin",
    "login",
    "mount",
    "ncurses-base",
    "ncurses-bin",
    "passwd",
    "perl-base",
    "sed",
    "tar",
];

/// The layers of the image of many small files: a system, Python, a compiler, two sets of libraries, an application.
const MANY: [(&str, &[&str]); 6] = [
    ("base", &BASE),
    ("python", &["python3", "perl"]),
    ("build", &["gcc", "git", "make"]),
    ("numbers", &["python3-pandas", "python3-scipy"]),
    ("web", &["python3-django", "python3-sympy", "python3-twisted"]),
    ("app", &["python3-requests", "python3-flask"]),
];
const MANY_QUICK: [(&str, &[&str]); 6] = [
    ("base", &["base-files", "base-passwd", "coreutils", "bash", "libc-bin"]),
    ("zones", &["tzdata"]),
    ("perl", &["perl-base"]),
    ("twisted", &["python3-twisted"]),
    ("web", &["python3-django"]),
    ("app", &["python3-requests", "python3-urllib3", "python3-idna"]),
];

/// Packages of few and large files.
const LARGE: [&str; 9] =
    ["chromium", "firefox-esr", "docker.io", "containerd", "prometheus", "pandoc", "podman", "rclone", "hugo"];
const LARGE_QUICK: [&str; 2] = ["docker-registry", "rclone"];

/// With those of the base, a layer each.
const SINGLE: [&str; 22] = [
    "vim-common",
    "git",
    "curl",
    "wget",
    "openssl",
    "ca-certificates",
    "tzdata",
    "vim-runtime",
    "less",
    "procps",
    "iproute2",
    "gnupg",
    "xz-utils",
    "zstd",
    "rsync",
    "sqlite3",
    "file",
    "python3-pip",
    "python3-babel",
    "python3-yaml",
    "python3-lxml",
    "python3-setuptools",
];

/// Of these and all that they depend on two applications are made, as two lie in many images.
const NODE: [&str; 9] = ["npm", "webpack", "node-babel7", "jest", "eslint", "gulp", "rollup", "mocha", "node-express"];
const NODE_QUICK: [&str; 2] = ["node-core-js", "node-lodash"];

/// What tells the images apart that are pulled at the same time.
const TOPS: [&str; 8] = ["jq", "less", "file", "rsync", "curl", "wget", "sqlite3", "zstd"];

fn many(quick: bool) -> Vec<LayerRecipe> {
    let all = if quick { MANY_QUICK } else { MANY };
    let mut below: Vec<String> = Vec::new();
    let mut layers = Vec::new();
    for (label, packages) in all {
        let mut layer = LayerRecipe::new(format!("many-{label}{}", mark(quick)), packages);
        layer.closure = !quick;
        if layer.closure {
            layer.below = below.clone();
            below.extend(layer.packages.iter().cloned());
        }
        layers.push(layer);
    }
    layers
}

fn single(name: &str) -> LayerRecipe {
    LayerRecipe::new(format!("single-{name}"), &[name])
}

/// Files of one name have one content, so those of a quick run are named otherwise.
fn mark(quick: bool) -> &'static str {
    if quick { "-quick" } else { "" }
}

/// The names of the images that are pulled at the same time.
pub(crate) fn together(quick: bool) -> Vec<String> {
    let count = if quick { 4 } else { TOPS.len() };
    (0..count).map(|number| format!("together-{number}")).collect()
}

/// The layers of an image, base first.
pub(crate) fn image(name: &str, quick: bool) -> Result<Vec<LayerRecipe>> {
    Ok(match name {
        "many" => many(quick),
        "many-zstd" => many(quick).into_iter().map(|layer| layer.packed_by(Pack::Zstd)).collect(),
        "many-updated" => {
            let mut layers = many(quick);
            layers[UPDATED].change = Some("updated".to_owned());
            layers
        }
        "updated-alone" => vec![image("many-updated", quick)?.swap_remove(UPDATED)],
        "large" => {
            let packages = if quick { &LARGE_QUICK[..] } else { &LARGE[..] };
            vec![LayerRecipe::new(format!("large{}", mark(quick)), packages)]
        }
        "layers" => {
            let all = BASE.iter().chain(&SINGLE).map(|name| single(name));
            if quick { all.take(12).collect() } else { all.collect() }
        }
        "node" => {
            let packages = if quick { &NODE_QUICK[..] } else { &NODE[..] };
            let mut layer = LayerRecipe::new(format!("node{}", mark(quick)), packages);
            layer.closure = !quick;
            layer.copies = 2;
            vec![layer]
        }
        _ => {
            let number = name.strip_prefix("together-").and_then(|number| number.parse::<usize>().ok());
            let Some(top) = number.and_then(|number| TOPS.get(number)) else { bail!("there is no image `{name}`") };
            let mut layers = many(quick);
            layers.pop();
            layers.push(single(top));
            layers
        }
    })
}

/// Which layer of the image of many files an update changes: libraries, as it is in the field; the base stays, and the application with it.
const UPDATED: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{image, together};

    #[test]
    fn images_share_layers_as_they_are_meant_to() {
        for quick in [true, false] {
            let names = |image_name: &str| -> Vec<String> {
                image(image_name, quick).unwrap().iter().map(super::LayerRecipe::name).collect()
            };
            let (many, updated) = (names("many"), names("many-updated"));
            let differ = many.iter().zip(&updated).filter(|(one, other)| one != other).count();
            assert_eq!((many.len(), differ), (6, 1));
            let mut counts = BTreeMap::new();
            let all = together(quick);
            for layer in all.iter().flat_map(|name| names(name)) {
                *counts.entry(layer).or_insert(0) += 1;
            }
            assert_eq!(counts.values().filter(|count| **count == all.len()).count(), 5);
            assert_eq!(counts.values().filter(|count| **count == 1).count(), all.len());
        }
        assert_eq!(image("layers", false).unwrap().len(), 46);
        assert!(image("unknown", false).is_err());
    }
}
