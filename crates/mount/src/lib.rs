//! Layers stacked into one tree.
//!
//! Two halves. [`mount`] hands a stack of layer folders to overlayfs through the mount system calls, [`unmount`] takes it down, and
//! [`support()`] tells what this kernel can do. A layer that is an image file becomes such a folder as a [`LayerImage`]. The module [`stack`] reads
//! the same stack **without** mounting it, and builds the thin layer that says what the single layers could not.
//!
//! This crate owns the rules by which layers merge. It must never write into a layer, never follow a path out of one (all work inside of
//! layers is by directory handles), and never unmount anything but an overlay or a layer's image.

mod context;
mod error;
mod holders;
mod image;
mod overlay;
pub mod stack;
mod support;
mod target;
#[cfg(test)]
mod testing;

pub use error::MountError;
pub use image::{AttachedImage, LayerImage, detach_images, mount_images};
pub use overlay::{MAX_FOLDERS, MountFlags, Overlay, Upper, mount};
pub use support::{Support, support};
pub use target::{detach, is_mounted, unmount};
