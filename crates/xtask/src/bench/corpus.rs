//! The images that are pulled: files of Debian's packages, packed as builders pack them. They are made once, and kept.

mod packages;
mod recipe;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use layer_testkit::debian_images::host_platform;
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{Layer, Packing};
use layer_testkit::{Blob, Content};
use serde::{Deserialize, Serialize};
use xshell::{Shell, cmd};

use super::limit;
use packages::Packages;
pub(crate) use recipe::{LayerRecipe, Pack};

/// A layer as it lies on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// The packed file, below the folder of the corpus.
    pub(crate) file: String,
    pub(crate) pack: Pack,
    pub(crate) digest: String,
    pub(crate) diff_id: String,
    pub(crate) packed: u64,
    pub(crate) unpacked: u64,
    /// Everything but folders.
    pub(crate) files: u64,
}

/// An image of the corpus.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Pattern {
    pub(crate) name: String,
    pub(crate) layers: Vec<Stored>,
}

impl Pattern {
    pub(crate) fn packed(&self) -> u64 {
        self.layers.iter().map(|layer| layer.packed).sum()
    }

    pub(crate) fn unpacked(&self) -> u64 {
        self.layers.iter().map(|layer| layer.unpacked).sum()
    }

    pub(crate) fn files(&self) -> u64 {
        self.layers.iter().map(|layer| layer.files).sum()
    }
}

/// All images that can be had.
pub(crate) struct Corpus {
    pub(crate) folder: PathBuf,
    packages: Packages,
    quick: bool,
}

impl Corpus {
    /// The corpus in the folder `corpus`, as far as it is there. The rest is made when it is asked for.
    pub(crate) fn open(place: &Path, quick: bool) -> Result<Self> {
        let folder = place.join("corpus");
        fs::create_dir_all(folder.join("layers")).context("make a folder for the corpus")?;
        let packages = Packages::new(&folder)?;
        Ok(Self { folder, packages, quick })
    }

    /// An image by its name, with its layers as files.
    pub(crate) fn image(&self, name: &str) -> Result<Pattern> {
        let recipes = recipe::image(name, self.quick)?;
        let layers = recipes.iter().map(|recipe| self.layer(recipe)).collect::<Result<Vec<_>>>();
        Ok(Pattern { name: name.to_owned(), layers: layers.with_context(|| format!("make the image `{name}`"))? })
    }

    /// The names of the images that are pulled at the same time.
    pub(crate) fn together(&self) -> Vec<String> {
        recipe::together(self.quick)
    }

    fn layer(&self, recipe: &LayerRecipe) -> Result<Stored> {
        let name = recipe.name();
        let note = self.folder.join("layers").join(format!("{name}.json"));
        if let Ok(text) = fs::read(&note) {
            return serde_json::from_slice(&text).with_context(|| format!("read `{}`", note.display()));
        }
        println!("making the layer `{name}`");
        let work = tempfile::tempdir_in(&self.folder).context("make a folder")?;
        let stored = if recipe.pack == Pack::Gzip {
            let tree = work.path().join("tree");
            fs::create_dir(&tree).context("make a folder")?;
            self.packages.extract(recipe, &tree)?;
            pack(&self.folder, &tree, &name)?
        } else {
            // The very same tar, packed otherwise.
            let same = self.layer(&recipe.clone().packed_by(Pack::Gzip))?;
            let tar = work.path().join("layer.tar");
            let mut out = fs::File::create(&tar).context("create a tar")?;
            limit::inflate(&self.folder.join(&same.file), |bytes| Ok(out.write_all(bytes)?))?;
            pack_tar(&self.folder, &tar, &name, recipe.pack, same.files)?
        };
        // The note comes last: without it the layer is made anew.
        fs::write(&note, serde_json::to_vec_pretty(&stored)?)?;
        Ok(stored)
    }

    /// The image as a registry takes it.
    pub(crate) fn built(&self, pattern: &Pattern) -> Result<Image> {
        let docker = pattern.layers.iter().all(|layer| layer.pack != Pack::Zstd);
        // Docker's form has no zstd.
        let mut image = if docker { ImageBuilder::docker() } else { ImageBuilder::new() };
        image = image
            .platform(&host_platform())
            .cmd(&["sh"])
            .container("Labels", serde_json::json!({"bench": pattern.name}));
        for stored in &pattern.layers {
            image = image.layer(layer(&self.folder, stored)?);
        }
        Ok(image.build())
    }
}

/// A stored layer as the kit has it. Its tar is not needed to serve it.
pub(crate) fn layer(folder: &Path, stored: &Stored) -> Result<Layer> {
    Ok(Layer {
        blob: Blob { digest: stored.digest.clone(), content: Content::from_file(&folder.join(&stored.file))? },
        diff_id: stored.diff_id.clone(),
        tar: Vec::new().into(),
        packing: match stored.pack {
            Pack::Gzip => Packing::Gzip,
            Pack::Zstd => Packing::Zstd,
        },
        media_type: None,
    })
}

/// Packs a tree into the file of a layer in `folder`, by gzip.
pub(crate) fn pack(folder: &Path, tree: &Path, name: &str) -> Result<Stored> {
    let shell = Shell::new()?;
    let tar = tree.with_file_name("layer.tar");
    let files = cmd!(shell, "find {tree} -mindepth 1 -not -type d -printf x").quiet().read()?.len() as u64;
    cmd!(shell, "tar --create --file {tar} --sort name --numeric-owner --owner 0 --group 0 --format gnu -C {tree} .")
        .quiet()
        .run()?;
    pack_tar(folder, &tar, name, Pack::Gzip, files)
}

fn pack_tar(folder: &Path, tar: &Path, name: &str, pack: Pack, files: u64) -> Result<Stored> {
    let shell = Shell::new()?;
    let file = format!("layers/{name}.{}", pack.suffix());
    let packed = folder.join(&file);
    match pack {
        // What docker's level is.
        Pack::Gzip => cmd!(shell, "sh -c 'exec gzip -nc -6 \"$0\" > \"$1\"' {tar} {packed}").quiet().run()?,
        Pack::Zstd => cmd!(shell, "zstd -q -f -3 -T1 {tar} -o {packed}").quiet().run()?,
    }
    let size = |path: &Path| Ok::<_, anyhow::Error>(fs::metadata(path)?.len());
    Ok(Stored {
        file,
        pack,
        digest: digest(&shell, &packed)?,
        diff_id: digest(&shell, tar)?,
        packed: size(&packed)?,
        unpacked: size(tar)?,
        files,
    })
}

fn digest(shell: &Shell, file: &Path) -> Result<String> {
    let line = cmd!(shell, "sha256sum {file}").quiet().read()?;
    Ok(format!("sha256:{}", line.split(' ').next().context("a digest")?.trim_start_matches('\\')))
}
