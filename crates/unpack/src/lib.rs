//! A layer's tar stream becomes a folder in overlay form, or an EROFS image that shows the same.
//!
//! [`apply()`] reads the stream once, front to back, and makes each thing as it comes, relative to handles of the folders it made before:
//! everything is made, changed and removed by a single component of its path, and folders are opened where no link lies on the way. The links
//! of a layer are followed one by one, and stay in it. Whiteouts become what overlayfs expects in their place. The folder must be the
//! caller's own, empty and out of reach of others; it holds a whole layer only when `apply` has returned `Ok`.
//!
//! What the stream can't say by itself, because the answer lies in the layers below (attributes of folders that only occur in paths, hard
//! links to files of other layers), is returned in [`Applied`] for whoever stacks the layers.
//!
//! [`apply_image()`] writes the tar into a file as it comes, and behind it an index by which the kernel mounts it.
//!
//! [`manifest`] lists what such a folder holds once it is filled, and compares a folder with its list.
//!
//! This crate never reads a name as a path string and never stores what would steer overlayfs. What it holds of a stream doesn't grow with the
//! stream: 1 MiB of extension headers, a sparse map of 4 MiB, some batches of
//! 128 KiB, and at most 16 MiB of names that can be settled only at the end, some 12 MiB of digests, and as much of hashes of names. For an image it holds
//! all names, up to 64 MiB with what belongs to them.

mod apply;
mod error;
mod form;
mod image;
mod left_out;
pub mod manifest;
mod marker;
mod marks;
mod path;
mod tar;
mod writers;

pub use apply::{Applied, ForeignLink, apply, apply_noting};
pub use error::UnpackError;
pub use image::{Index, TAR_START, Unsealed, apply_image, index_sum, sample_image};
pub use tar::{Entry, Kind, Reader, Segment, TarError, Time};
pub use writers::Writers;
