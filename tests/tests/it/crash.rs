//! The daemon is killed, at every step of what it writes and at moments that chance picks. What the next one finds must be right.
//!
//! The store lies in memory: what a killed process has written stays, whether or not it has reached a disk. What a power cut leaves is another
//! matter, and another file's.

pub(crate) mod chance;
pub(crate) mod world;

use layer_fs::failpoint::Step;

use chance::Chance;
use world::{Deed, World};

/// How many rounds there are of kills at random moments.
const MOMENTS: u32 = 140;

/// The deeds that pass a step, the first of which must.
fn deeds(step: Step) -> &'static [Deed] {
    match step {
        Step::Unpacking
        | Step::Unpacked
        | Step::Synced
        | Step::BlobNamed
        | Step::BlobPublished
        | Step::LayerNamed
        | Step::LayerPublished
        | Step::FactKept
        | Step::DocumentWriting
        | Step::DocumentWritten => &[Deed::Pull, Deed::Load],
        Step::StartCleared => &[Deed::StartAfterCrash],
        Step::FormatMigrated => &[Deed::StartOfOldFormat],
        Step::ReplacementWritten | Step::ReplacementNamed => {
            &[Deed::Pull, Deed::Load, Deed::Tag, Deed::Remove, Deed::Prune, Deed::StartOfOldFormat]
        }
        Step::IndexWriting | Step::IndexKept | Step::IndexWritten => {
            &[Deed::Pull, Deed::Load, Deed::Tag, Deed::Remove, Deed::Prune]
        }
        Step::BlobBuried | Step::LayerBuried | Step::GraveCleared => &[Deed::Remove, Deed::Prune],
        _ => &[Deed::Pull],
    }
}

/// Every step of the list is come to, and the daemon killed there: the first time it is passed, and a later time.
#[test]
fn root_killed_at_every_step() {
    let mut chance = Chance::new();
    let mut world = World::new();
    let (mut rounds, mut missed) = (0, Vec::new());
    for step in Step::ALL {
        for deed in deeds(*step) {
            if !world.round_at(*deed, &format!("{}=return", step.name()), &mut chance) {
                missed.push(format!("{} in {deed:?}", step.name()));
            }
            // The first layer is done by then, or a part of it.
            let later = format!("{}={}*off->return", step.name(), 1 + chance.below(4));
            world.round_at(*deed, &later, &mut chance);
            rounds += 2;
        }
    }
    println!("{rounds} rounds, seed {}: {}", chance.seed, world.told());
    assert_eq!(missed, [""; 0], "steps that the daemon did not come to");
    assert!(rounds >= 60, "{rounds}");
}

#[test]
fn root_killed_at_any_moment() {
    let mut chance = Chance::new();
    let mut world = World::new();
    for _ in 0..MOMENTS {
        let deed = [Deed::Pull, Deed::Pull, Deed::Pull, Deed::Load, Deed::Load, Deed::Tag, Deed::Remove, Deed::Prune]
            [chance.below(8)];
        world.round_within(deed, &mut chance);
    }
    println!("{MOMENTS} rounds, seed {}: {}", chance.seed, world.told());
}

/// The program that is shipped can't be killed so: the crate that does it is no part of it.
#[test]
fn a_build_without_the_feature_has_no_fail_points() {
    let tree = |features: &[&str]| {
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.args(["tree", "--package", "layerd", "--edges", "normal", "--prefix", "none", "--locked", "--offline"]);
        let output = cargo.args(features).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let has_fail = |tree: &str| tree.lines().any(|line| line.starts_with("fail v"));
    assert!(!has_fail(&tree(&[])));
    assert!(has_fail(&tree(&["--features", "failpoints"])));
}
