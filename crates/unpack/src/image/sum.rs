//! The digest of all in an image that isn't the tar.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use layer_digest::{Algorithm, Digest, Hasher};
use layer_erofs::HEAD;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Pieces of this size that are all zeros are left out, so that holes cost nothing, wherever a file system has kept or filled them.
const PIECE: usize = 4096;

/// The SHA-256 digest of an image without its tar of `tar_size` bytes: of the length of the image, of what is before the tar, and of each piece of
/// 4096 bytes behind it that isn't all zeros, after its number.
///
/// # Errors
///
/// When the file can't be read, or is shorter than its tar.
pub fn index_sum(file: &File, tar_size: u64) -> io::Result<Digest> {
    let size = file.metadata()?.len();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&size.to_le_bytes());
    let mut head = vec![0; usize::try_from(HEAD).map_err(io::Error::other)?];
    file.read_exact_at(&mut head, 0)?;
    hasher.update(&head);
    let mut at = HEAD.checked_add(tar_size).filter(|end| *end <= size).ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut number = 0u64;
    let mut buffer = vec![0; 32 * PIECE];
    while let Some(data) = data_from(file, at, size)? {
        let skipped = (data.start - at) / PIECE as u64;
        number += skipped;
        at += skipped * PIECE as u64;
        // As far as there are data, in whole pieces.
        let data = (data.end - at).next_multiple_of(PIECE as u64).min(size - at);
        let len = usize::try_from(data).map_or(buffer.len(), |data| data.min(buffer.len()));
        file.read_exact_at(&mut buffer[..len], at)?;
        for piece in buffer[..len].chunks(PIECE) {
            if piece.iter().any(|byte| *byte != 0) {
                hasher.update(&number.to_le_bytes());
                hasher.update(piece);
            }
            number += 1;
        }
        at += len as u64;
    }
    Ok(hasher.finish())
}

/// Where the first data lie from a place on, and before `size`; `None` if there are only holes. File systems that know no holes have data everywhere.
fn data_from(file: &File, at: u64, size: u64) -> io::Result<Option<Range<u64>>> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok((at < size).then_some(at..size)),
        start => start?,
    };
    if start >= size {
        return Ok(None);
    }
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
    Ok(Some(start..end.clamp(start + 1, size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_far_from_each_other_are_found() {
        let [scattered, filled] = [(); 2].map(|()| tempfile::tempfile().unwrap());
        filled.write_all_at(&vec![0; 3_000_000], 0).unwrap();
        for file in [&scattered, &filled] {
            file.set_len(3_000_000).unwrap();
            for at in [4096, 5000, 140_000, 262_143, 400_001, 2_999_999] {
                file.write_all_at(b"x", at).unwrap();
            }
        }
        for tar_size in [0, 512, 1000, 300_000] {
            assert_eq!(index_sum(&scattered, tar_size).unwrap(), index_sum(&filled, tar_size).unwrap());
        }
        let sum = index_sum(&scattered, 512).unwrap();
        scattered.write_all_at(b"y", 400_001).unwrap();
        assert_ne!(index_sum(&scattered, 512).unwrap(), sum);
    }

    #[test]
    fn holes_may_come_and_go_and_nothing_else() {
        let file = tempfile::tempfile().unwrap();
        let tar_size = 10_000;
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"index", 500_001).unwrap();
        let sum = index_sum(&file, tar_size).unwrap();
        // The hole is filled.
        file.write_all_at(&[0; 300_000], 600_000).unwrap();
        file.write_all_at(&[0; 300_000], 100_000).unwrap();
        assert_eq!(index_sum(&file, tar_size).unwrap(), sum);
        // The tar has its own digest.
        file.write_all_at(b"tar", HEAD).unwrap();
        assert_eq!(index_sum(&file, tar_size).unwrap(), sum);
        for (at, was) in
            [(0, 0), (HEAD - 1, 0), (HEAD + tar_size, 0), (500_001, b'i'), (700_000, 0), ((1 << 20) - 1, 0)]
        {
            file.write_all_at(b"x", at).unwrap();
            assert_ne!(index_sum(&file, tar_size).unwrap(), sum, "{at}");
            file.write_all_at(&[was], at).unwrap();
        }
        assert_eq!(index_sum(&file, tar_size).unwrap(), sum);
        file.set_len((1 << 20) + 1).unwrap();
        assert_ne!(index_sum(&file, tar_size).unwrap(), sum);
        assert!(index_sum(&file, 1 << 20).is_err());
    }
}
