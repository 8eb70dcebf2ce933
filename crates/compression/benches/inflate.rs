//! How fast layers are inflated, by the bytes that come out, with buffers as large as a pull's, and smaller.

use std::io::{BufReader, Read as _, Write as _};

use divan::Bencher;
use divan::counter::BytesCount;
use layer_compression::Decoder;

/// Enough to fill the windows of both formats many times.
const LENGTH: usize = 16 << 20;

fn main() {
    divan::main();
}

/// Bytes that pack to a third or so, as files of systems do: words out of a small stock, and numbers.
fn content() -> Vec<u8> {
    let words = [
        "return",
        "struct",
        "the",
        "of",
        "layer",
        "0x",
        "\n    ",
        "use",
        "fn",
        "=>",
        "let",
        "python",
        "/usr/share/",
        "self.",
    ];
    let (mut bytes, mut state) = (Vec::with_capacity(LENGTH + 32), 1_u64);
    while bytes.len() < LENGTH {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = words[usize::try_from(state >> 60).unwrap_or(0) % words.len()];
        bytes.extend_from_slice(word.as_bytes());
        if state >> 32 & 3 == 0 {
            bytes.extend_from_slice(&state.to_le_bytes()[4..]);
        }
    }
    bytes.truncate(LENGTH);
    bytes
}

#[divan::bench(args = [8 << 10, 128 << 10, 256 << 10], sample_count = 20)]
fn gzip(bencher: Bencher<'_, '_>, buffer: usize) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(&content()).expect("memory takes every write");
    inflate(bencher, &encoder.finish().expect("memory takes every write"), buffer);
}

#[divan::bench(args = [8 << 10, 128 << 10, 256 << 10], sample_count = 20)]
fn zstd(bencher: Bencher<'_, '_>, buffer: usize) {
    inflate(bencher, &::zstd::encode_all(&content()[..], 3).expect("memory takes every write"), buffer);
}

fn inflate(bencher: Bencher<'_, '_>, packed: &[u8], buffer: usize) {
    let mut out = vec![0; buffer];
    bencher.counter(BytesCount::new(LENGTH)).bench_local(|| {
        let mut decoder = Decoder::new(BufReader::with_capacity(buffer, packed));
        let mut length = 0;
        while let count @ 1.. = decoder.read(&mut out).expect("it was packed a moment ago") {
            length += count;
        }
        assert_eq!(length, LENGTH);
    });
}
