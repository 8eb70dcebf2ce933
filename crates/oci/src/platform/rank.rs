//! What runs on what, and what runs better.
//!
//! Processors run what was made for their forerunners: `arm/v7` runs `arm/v6`, `amd64/v3` runs `amd64/v2`. Within one architecture the
//! nearest forerunner is best; the 32-bit architecture that a processor also understands comes last. These are containerd's rules,
//! which dockerd shares.

use super::Platform;

/// In front of every rank that stands for the processor's 32-bit architecture.
const OTHER_WIDTH: u32 = 100;

/// Ranks of architectures are spread by this much, to let features decide between equals.
const SPREAD: u32 = 16;

impl Platform {
    /// How well an image that is `offered` runs on `self`: `Some(0)` is exactly right, higher is worse, `None` is not at all.
    ///
    /// Either may be spelled in any way. `arm/v7` takes v7, v6, v5; `arm64` takes `arm64/v8` and then 32-bit `arm`; `amd64/v3` takes v3, v2,
    /// v1 and then `386`. Features that an image demands must be among those of `self`; the more of them it uses, the better. On
    /// Windows, an image must be made for the version that `self` names, if it names one.
    pub fn rank(&self, offered: &Self) -> Option<u32> {
        let (want, have) = (self.clone().normalize(), offered.clone().normalize());
        if want.os != have.os || !version_matches(&want, &have) {
            return None;
        }
        let unused = unused_features(&want, &have)?;
        architecture_rank(&want, &have).map(|rank| rank * SPREAD + unused.min(SPREAD - 1))
    }
}

fn version_matches(want: &Platform, have: &Platform) -> bool {
    match (&want.os_version, &have.os_version) {
        (Some(want_version), Some(have_version)) if want.os == "windows" => have_version
            .strip_prefix(want_version.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
        (Some(_), None) => want.os != "windows",
        _ => true,
    }
}

/// How many features of `want` an image does not use; nothing when it demands one that is not there.
fn unused_features(want: &Platform, have: &Platform) -> Option<u32> {
    // Windows images have always been chosen without a look at this one.
    let counts = |feature: &&String| !(want.os == "windows" && *feature == "win32k");
    let offered = |feature: &String| want.os_features.contains(feature);
    if !have.os_features.iter().filter(counts).all(offered) {
        return None;
    }
    let used = |feature: &&String| have.os_features.contains(*feature);
    let unused = want.os_features.iter().filter(counts).filter(|feature| !used(feature)).count();
    Some(u32::try_from(unused).unwrap_or(u32::MAX))
}

/// Ranks normalised architectures.
fn architecture_rank(want: &Platform, have: &Platform) -> Option<u32> {
    if want.architecture == have.architecture && want.variant == have.variant {
        return Some(0);
    }
    match (want.architecture.as_str(), have.architecture.as_str()) {
        ("amd64", "amd64") => amd64_level(want)?.checked_sub(amd64_level(have)?),
        ("amd64", "386") if have.variant.is_none() => Some(OTHER_WIDTH),
        ("arm", "arm") => arm_rank(arm_version(want)?, have),
        ("arm64", "arm64") => arm64_rank(arm64_version(want)?, arm64_version(have)?),
        ("arm64", "arm") => {
            arm64_version(want)?;
            arm_rank(8, have).map(|rank| OTHER_WIDTH + rank)
        }
        _ => None,
    }
}

/// The level of the instruction set: 1 to 4 today.
fn amd64_level(platform: &Platform) -> Option<u32> {
    match &platform.variant {
        None => Some(1),
        Some(variant) => number(variant.strip_prefix('v')?).filter(|level| *level > 0),
    }
}

/// The version of a 32-bit arm architecture.
fn arm_version(platform: &Platform) -> Option<u32> {
    number(platform.variant.as_ref()?.strip_prefix('v')?)
}

/// Below v5 no version runs another's programs.
fn arm_rank(want: u32, have: &Platform) -> Option<u32> {
    arm_version(have).filter(|have| *have >= 5).and_then(|have| want.checked_sub(have))
}

/// Major and minor version of a 64-bit arm architecture, of those that there are.
fn arm64_version(platform: &Platform) -> Option<(u32, u32)> {
    let Some(variant) = &platform.variant else { return Some((8, 0)) };
    let version = variant.strip_prefix('v')?;
    let (major, minor) = match version.split_once('.') {
        Some((major, minor)) => (number(major)?, number(minor)?),
        None => (number(version)?, 0),
    };
    matches!((major, minor), (8, 0..=9) | (9, 0..=7)).then_some((major, minor))
}

/// v9.n contains v8.(n+5), and v8 ends at v8.9.
fn arm64_rank(want: (u32, u32), have: (u32, u32)) -> Option<u32> {
    match (want, have) {
        ((w, want_minor), (h, have_minor)) if w == h => want_minor.checked_sub(have_minor),
        ((9, want_minor), (8, have_minor)) => {
            (want_minor + 5).min(9).checked_sub(have_minor).map(|rank| want_minor + 1 + rank)
        }
        _ => None,
    }
}

/// A number as versions have it: at most three digits.
fn number(text: &str) -> Option<u32> {
    if text.len() > 3 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
