//! `layer save`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::api::Api;
use crate::cli::SaveArgs;
use crate::error::Error;
use crate::exit::Exit;

/// Writes images into an archive. A file is there when all of it is.
pub(super) async fn run(api: &Api, args: SaveArgs) -> Result<Exit, Error> {
    if args.output.is_none() && io::stdout().is_terminal() {
        return Err(Error::Terminal { reads: false });
    }
    let body =
        api.save(&args.images, &args.platform).await.map_err(|error| error.during("save", args.images.join(" ")))?;
    let Some(path) = args.output else {
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::BrokenPipe => Error::ReaderGone,
            _ => Error::Output(error),
        };
        // The standard library's own handle looks for line ends in what it writes.
        let mut out = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(Error::Output)?);
        copy(body, &mut out, gone).await?;
        return Ok(Exit::Done);
    };
    // A device or a pipe is written as it is.
    let is_other = fs::metadata(&path).is_ok_and(|found| !found.is_file());
    let part = if is_other { None } else { Some(Part(beside(&path))) };
    let written = part.as_ref().map_or(path.as_path(), |part| part.0.as_path());
    let failed = |source| Error::File { verb: "write", path: path.clone(), source };
    let mut file =
        if is_other { File::options().write(true).open(written) } else { File::create(written) }.map_err(failed)?;
    copy(body, &mut file, failed).await?;
    if part.is_some() {
        fs::rename(written, &path).map_err(failed)?;
    }
    Ok(Exit::Done)
}

/// A file that goes away unless it got its name.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // After it got its name there is nothing to remove.
        let _gone = fs::remove_file(&self.0);
    }
}

/// The name of a file that is not whole yet.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

async fn copy(mut body: Incoming, out: &mut impl Write, failed: impl Fn(io::Error) -> Error) -> Result<(), Error> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::Broken { source: error.into() })?;
        if let Ok(data) = frame.into_data() {
            out.write_all(&data).map_err(&failed)?;
        }
    }
    out.flush().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_lies_beside_what_will_be() {
        let part = beside(Path::new("/a/b.tar"));
        assert_eq!(part.parent(), Some(Path::new("/a")));
        assert!(part.to_string_lossy().starts_with("/a/.b.tar."));
        assert_eq!(beside(Path::new("b.tar")).parent(), Some(Path::new("")));
    }
}
