//! Proof that bytes are the ones a digest names.

use crate::{Algorithm, Digest, Hasher};

/// The proof that all bytes of `id` have been seen and hash to it. Only [`Verifier::finish`] makes one.
#[derive(Debug)]
#[must_use = "a proof is made to be handed to whatever publishes the bytes"]
pub struct Verified<T> {
    id: T,
    size: u64,
}

impl<T: Copy> Verified<T> {
    /// What was proven.
    pub fn id(&self) -> T {
        self.id
    }

    /// How many bytes there were.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// How bytes differ from what was promised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes hash to something else.
    #[error("digest mismatch after {size} bytes: want `{want}`, got `{got}`")]
    Digest {
        /// The digest that was promised.
        want: Digest,
        /// The digest of what came.
        got: Digest,
        /// How many bytes came.
        size: u64,
    },
    /// More bytes came than were promised; reading stopped there.
    #[error("`{id}` is longer than the {size} bytes its descriptor promises")]
    TooLong {
        /// The digest that was promised.
        id: Digest,
        /// The size that was promised.
        size: u64,
    },
    /// The bytes ended early.
    #[error("`{id}` ended after {got} of the {size} bytes its descriptor promises")]
    TooShort {
        /// The digest that was promised.
        id: Digest,
        /// The size that was promised.
        size: u64,
        /// How many bytes came.
        got: u64,
    },
}

/// Hashes bytes as they pass, and compares at the end.
#[derive(Clone, Debug)]
pub struct Verifier<T> {
    /// What the bytes must be; `None` if they are to get the name that they have.
    id: Option<T>,
    promised: Option<u64>,
    seen: u64,
    hasher: Hasher,
}

impl<T: Copy + Into<Digest> + From<Digest>> Verifier<T> {
    /// Expects the bytes of `id`, `size` of them where that is known.
    pub fn new(id: T, size: Option<u64>) -> Self {
        Self { id: Some(id), promised: size, seen: 0, hasher: Hasher::new(id.into().algorithm()) }
    }

    /// Names whatever comes by its digest. The proof says what the bytes are; whether they are the wanted ones, its holder has to compare.
    pub fn naming(algorithm: Algorithm) -> Self {
        Self { id: None, promised: None, seen: 0, hasher: Hasher::new(algorithm) }
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    ///
    /// [`VerifyError::TooLong`] as soon as there are more than were promised.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        self.seen += bytes.len() as u64;
        if let (Some(id), Some(size)) = (self.id, self.promised)
            && self.seen > size
        {
            return Err(VerifyError::TooLong { id: id.into(), size });
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// How many bytes have come in.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Compares what came with what was promised.
    ///
    /// # Errors
    ///
    /// When the size or the digest differs.
    pub fn finish(self) -> Result<Verified<T>, VerifyError> {
        let want = self.id.map(Into::into);
        if let (Some(id), Some(size)) = (want, self.promised)
            && self.seen < size
        {
            return Err(VerifyError::TooShort { id, size, got: self.seen });
        }
        let got = self.hasher.finish();
        match want {
            Some(want) if got != want => Err(VerifyError::Digest { want, got, size: self.seen }),
            _ => Ok(Verified { id: T::from(got), size: self.seen }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlobId;

    fn verify(id: BlobId, size: Option<u64>, chunks: &[&[u8]]) -> Result<Verified<BlobId>, VerifyError> {
        let mut verifier = Verifier::new(id, size);
        for chunk in chunks {
            verifier.update(chunk)?;
        }
        verifier.finish()
    }

    #[test]
    fn proves_whole_bytes_however_they_are_cut() {
        let id = BlobId(Digest::sha256(b"hello"));
        let proof = verify(id, Some(5), &[b"he", b"", b"llo"]).unwrap();
        assert_eq!((proof.id(), proof.size()), (id, 5));
        assert_eq!(verify(id, None, &[b"hello"]).unwrap().size(), 5);
    }

    #[test]
    fn names_what_comes() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut verifier = Verifier::<BlobId>::naming(algorithm);
            verifier.update(b"he").unwrap();
            verifier.update(b"llo").unwrap();
            let proof = verifier.finish().unwrap();
            assert_eq!((proof.id(), proof.size()), (BlobId(Digest::of(algorithm, b"hello")), 5));
        }
    }

    #[test]
    fn names_every_difference() {
        let id = BlobId(Digest::sha256(b"hello"));
        assert!(matches!(verify(id, Some(5), &[b"hell0"]), Err(VerifyError::Digest { want, .. }) if want == id.0));
        assert!(matches!(verify(id, Some(5), &[b"hell"]), Err(VerifyError::TooShort { got: 4, .. })));
        assert!(matches!(verify(id, Some(4), &[b"hello"]), Err(VerifyError::TooLong { size: 4, .. })));
    }
}
