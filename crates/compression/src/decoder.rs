//! The decoder over all formats.

use std::io::{self, BufRead, Chain, Cursor, Read};

use async_compression::tokio::bufread::{BzDecoder, GzipDecoder, XzDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;

use crate::Compression;
use crate::blocking::{self, Blocking};

/// The largest window that a zstd frame may ask for, as a power of two: 128 MiB, the limit of the `zstd` program.
const ZSTD_WINDOW_LOG: u32 = 27;

/// The most memory that an xz stream may ask for. The program's strongest setting takes 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;

/// Reads the uncompressed bytes of a layer, or of an archive.
///
/// It reads its source to the end: what follows the last member or frame must be zero padding, which builders are known to append.
pub struct Decoder<R> {
    state: State<R>,
}

/// The source, with the bytes put back that told its format.
type Source<R> = Chain<Cursor<Vec<u8>>, R>;

enum State<R> {
    /// Nothing has been read yet; the format is not known, but what it is looked for by.
    Start(R, fn(&[u8]) -> Compression),
    Plain(Source<R>),
    Gzip(GzipDecoder<Blocking<Source<R>>>),
    Zstd(ZstdDecoder<Blocking<Source<R>>>),
    Xz(XzDecoder<Blocking<Source<R>>>),
    Bzip2(BzDecoder<Blocking<Source<R>>>),
    /// Only while the state changes, and after an error.
    Poisoned,
    End,
}

impl<R: BufRead + Unpin> Decoder<R> {
    /// Decodes a layer in `source`, whatever its format is.
    pub fn new(source: R) -> Self {
        Self { state: State::Start(source, Compression::sniff) }
    }

    /// Decodes an archive in `source`: in a format of layers, in xz, or in bzip2.
    pub fn of_archive(source: R) -> Self {
        Self { state: State::Start(source, Compression::sniff_archive) }
    }

    /// Sees what comes next in the source between members: another one, padding up to the end, or something that has no business there.
    fn next_member(mut source: Source<R>) -> io::Result<State<R>> {
        loop {
            let buffer = source.fill_buf()?;
            if buffer.is_empty() {
                return Ok(State::End);
            }
            let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
            match buffer.get(zeros) {
                None => source.consume(zeros),
                Some(0x1f) if zeros == 0 => return Ok(State::Gzip(GzipDecoder::new(Blocking(source)))),
                Some(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the gzip stream is followed by something that is neither another one nor zero padding",
                    ));
                }
            }
        }
    }

    fn start(mut source: R, sniff: fn(&[u8]) -> Compression) -> io::Result<State<R>> {
        // The first chunk of a slow stream may be shorter than a signature.
        let mut signature = Vec::with_capacity(Compression::SNIFF_LEN);
        source.by_ref().take(Compression::SNIFF_LEN as u64).read_to_end(&mut signature)?;
        let format = sniff(&signature);
        let source = Cursor::new(signature).chain(source);
        Ok(match format {
            Compression::None => State::Plain(source),
            Compression::Gzip => State::Gzip(GzipDecoder::new(Blocking(source))),
            Compression::Zstd => {
                let limits = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                let mut decoder = ZstdDecoder::with_params(Blocking(source), &limits);
                decoder.multiple_members(true);
                State::Zstd(decoder)
            }
            Compression::Xz => {
                let mut decoder = XzDecoder::with_mem_limit(Blocking(source), XZ_MEMORY);
                decoder.multiple_members(true);
                State::Xz(decoder)
            }
            Compression::Bzip2 => {
                let mut decoder = BzDecoder::new(Blocking(source));
                decoder.multiple_members(true);
                State::Bzip2(decoder)
            }
        })
    }
}

impl<R: BufRead + Unpin> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                State::Plain(source) => return source.read(buf),
                State::Zstd(decoder) => return blocking::read(decoder, buf),
                State::Xz(decoder) => return blocking::read(decoder, buf),
                State::Bzip2(decoder) => return blocking::read(decoder, buf),
                State::Gzip(decoder) => match blocking::read(decoder, buf) {
                    Ok(0) => {}
                    result => return result,
                },
                State::End => return Ok(0),
                State::Start(..) => {}
                State::Poisoned => return Err(io::Error::other("the stream has failed before")),
            }
            self.state = match std::mem::replace(&mut self.state, State::Poisoned) {
                State::Start(source, sniff) => Self::start(source, sniff)?,
                State::Gzip(decoder) => Self::next_member(decoder.into_inner().0)?,
                other => other,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write as _};

    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    fn skippable(bytes: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x50, 0x2a, 0x4d, 0x18];
        frame.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        frame.extend(bytes);
        frame
    }

    /// Decodes with buffers of `capacity`, so that members and signatures fall across their edges.
    fn decode(bytes: &[u8], capacity: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decoder::new(BufReader::with_capacity(capacity, bytes)).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_form_in_the_field() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let (one, two) = text.split_at(text.len() / 3);
        for (what, bytes) in [
            ("plain", text.clone()),
            ("gzip", gzip(&text)),
            ("gzip members", [gzip(one), gzip(two)].concat()),
            ("gzip empty member between", [gzip(one), gzip(b""), gzip(two)].concat()),
            ("gzip padded", [gzip(&text), vec![0; 5000]].concat()),
            ("zstd", zstd(&text)),
            ("zstd frames", [zstd(one), zstd(two)].concat()),
            ("zstd skippable", [skippable(b"x"), zstd(one), skippable(&[9; 3000]), zstd(two), skippable(b"")].concat()),
        ] {
            for capacity in [1, 4096, 1 << 20] {
                assert!(decode(&bytes, capacity).unwrap() == text, "{what} in buffers of {capacity}");
            }
        }
        assert_eq!(decode(b"", 16).unwrap(), b"");
    }

    /// Encodes with one of async-compression's encoders, which is never pending over a slice.
    fn encoded(mut encoder: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
        let (mut out, mut buf) = (Vec::new(), [0; 4096]);
        loop {
            match blocking::read(&mut encoder, &mut buf).unwrap() {
                0 => return out,
                len => out.extend(&buf[..len]),
            }
        }
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        encoded(async_compression::tokio::bufread::XzEncoder::new(bytes))
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        encoded(async_compression::tokio::bufread::BzEncoder::new(bytes))
    }

    #[test]
    fn archives_come_in_more_forms_than_layers() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let (one, two) = text.split_at(text.len() / 3);
        let decode_archive = |bytes: &[u8], capacity| {
            let mut out = Vec::new();
            Decoder::of_archive(BufReader::with_capacity(capacity, bytes)).read_to_end(&mut out).map(|_| out)
        };
        for (what, bytes) in [
            ("plain", text.clone()),
            ("gzip", gzip(&text)),
            ("zstd", zstd(&text)),
            ("xz", xz(&text)),
            ("xz streams", [xz(one), xz(two)].concat()),
            ("bzip2", bzip2(&text)),
            ("bzip2 streams", [bzip2(one), bzip2(two)].concat()),
        ] {
            for capacity in [1, 4096, 1 << 20] {
                assert!(decode_archive(&bytes, capacity).unwrap() == text, "{what} in buffers of {capacity}");
            }
        }
        for (what, bytes) in [("xz", xz(&text)), ("bzip2", bzip2(&text))] {
            assert!(decode_archive(&bytes[..bytes.len() - 5], 64).is_err(), "{what} cut");
            assert!(decode(&bytes, 64).unwrap() == bytes, "a layer in {what} is none");
        }
    }

    #[test]
    fn damage_is_an_error() {
        let text = vec![7; 100_000];
        for (what, bytes) in [
            ("gzip cut", gzip(&text)[..100].to_vec()),
            ("gzip cut in the trailer", gzip(&text)[..gzip(&text).len() - 3].to_vec()),
            ("gzip followed by rubbish", [gzip(&text), b"rubbish".to_vec()].concat()),
            ("gzip padded, then another", [gzip(&text), vec![0; 8], gzip(&text)].concat()),
            ("zstd cut", zstd(&text)[..10].to_vec()),
            ("zstd followed by rubbish", [zstd(&text), b"rubbish".to_vec()].concat()),
        ] {
            assert!(decode(&bytes, 64).is_err(), "{what}");
        }
        let mut flipped = gzip(&text);
        let last = flipped.len() - 6;
        flipped[last] ^= 1;
        assert!(decode(&flipped, 64).is_err(), "gzip with a wrong checksum");
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused() {
        // Frame header: single segment off, window descriptor for 2^28, then an empty last block.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 0x01, 0x00, 0x00];
        assert!(decode(&frame, 64).is_err());
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00];
        assert_eq!(decode(&frame, 64).unwrap(), b"");
    }

    proptest! {
        #[test]
        fn round_trips(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..500), 0..6), capacity in 1usize..600) {
            let text = chunks.concat();
            let members: Vec<u8> = chunks.iter().flat_map(|chunk| gzip(chunk)).collect();
            let frames: Vec<u8> = chunks.iter().flat_map(|chunk| zstd(chunk)).collect();
            prop_assert_eq!(&decode(&members, capacity).unwrap(), &text);
            prop_assert_eq!(&decode(&frames, capacity).unwrap(), &text);
        }

        #[test]
        fn any_bytes_end_without_panic(kind in 0..3usize, mut bytes: Vec<u8>) {
            let start: &[u8] = [&[][..], &[0x1f, 0x8b, 8, 0], &[0x28, 0xb5, 0x2f, 0xfd]][kind];
            bytes.splice(0..0, start.iter().copied());
            let _ = decode(&bytes, 32);
        }
    }
}
