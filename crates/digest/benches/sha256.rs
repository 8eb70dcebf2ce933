//! How fast bytes are hashed, in pieces as large as those that a pull works with, and smaller.

use divan::Bencher;
use divan::counter::BytesCount;
use layer_digest::{Algorithm, Hasher};

/// More than any cache near the processor holds would tell more of memory than of hashing.
const LENGTH: usize = 1 << 20;

fn main() {
    divan::main();
}

#[divan::bench(args = [8 << 10, 64 << 10, 256 << 10])]
fn sha256(bencher: Bencher<'_, '_>, piece: usize) {
    hash(bencher, Algorithm::Sha256, piece);
}

#[divan::bench(args = [256 << 10])]
fn sha512(bencher: Bencher<'_, '_>, piece: usize) {
    hash(bencher, Algorithm::Sha512, piece);
}

fn hash(bencher: Bencher<'_, '_>, algorithm: Algorithm, piece: usize) {
    let bytes = vec![0x5a; LENGTH];
    bencher.counter(BytesCount::new(LENGTH)).bench_local(|| {
        let mut hasher = Hasher::new(algorithm);
        for piece in divan::black_box(&bytes).chunks(piece) {
            hasher.update(piece);
        }
        hasher.finish()
    });
}
