//! Chain IDs: names for stacks of layers.

use layer_digest::{ChainId, DiffId, Digest};

/// Folds diff IDs into the chain ID that names their stack.
///
/// `diff_ids` runs base to top, as `rootfs.diff_ids` does; repeats are allowed. One ID is its own chain ID; each further one is
/// `sha256("<chain so far> <diff id>")`, both spelled `algorithm:hex`. Returns `None` for an image without layers.
///
/// Spec: OCI image-spec 1.1, config.md, "Layer ChainID".
pub fn chain_id(diff_ids: &[DiffId]) -> Option<ChainId> {
    let (first, rest) = diff_ids.split_first()?;
    Some(rest.iter().fold(ChainId(first.0), |below, diff| link(below, *diff)))
}

/// The chain ID of every stack that starts at the base: of the first layer, of the first two, and so on. As long as `diff_ids`.
pub fn chain_ids(diff_ids: &[DiffId]) -> Vec<ChainId> {
    let mut chain: Vec<ChainId> = Vec::with_capacity(diff_ids.len());
    for diff in diff_ids {
        let id = chain.last().map_or(ChainId(diff.0), |below| link(*below, *diff));
        chain.push(id);
    }
    chain
}

fn link(below: ChainId, diff: DiffId) -> ChainId {
    ChainId(Digest::sha256(format!("{below} {diff}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(text: &str) -> DiffId {
        DiffId(Digest::sha256(text.as_bytes()))
    }

    #[test]
    fn a_stack_is_named_by_folding_from_the_base() {
        let [a, b, c] = ["a", "b", "c"].map(diff);
        let ab = ChainId(Digest::sha256(format!("{a} {b}").as_bytes()));
        let abc = ChainId(Digest::sha256(format!("{ab} {c}").as_bytes()));
        assert_eq!(chain_id(&[]), None);
        assert_eq!(chain_id(&[a]), Some(ChainId(a.0)));
        assert_eq!(chain_id(&[a, b]), Some(ab));
        assert_eq!(chain_id(&[a, b, c]), Some(abc));
        assert_eq!(chain_ids(&[a, b, c]), [ChainId(a.0), ab, abc]);
        assert_eq!(chain_ids(&[]), []);
        assert_ne!(chain_id(&[a, b]), chain_id(&[b, a]));
    }

    #[test]
    fn a_known_chain() {
        // Computed with sha256sum over the two spelled-out IDs.
        let [a, b] = ["a", "b"].map(diff);
        assert_eq!(a.to_string(), "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
        assert_eq!(
            chain_id(&[a, b]).unwrap().to_string(),
            "sha256:51c0c8ace48498d6f5fee6b0592cc06f2da0f3cbe09c5a34a97dce85c3889676"
        );
    }
}
