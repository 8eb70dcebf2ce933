//! The steps at which a test can end this process, as a power cut or the kernel's out-of-memory killer would.
//!
//! Whoever writes to the store passes each [`Step`] by [`reach`], which is nothing at all unless the crate is built with the feature
//! `failpoints` and with debug assertions: no release build has it, whatever its features are. A build that has it looks into the variable
//! `FAILPOINTS` once, in the form of the crate `fail`: `layer-named=return` kills the process with SIGKILL when it comes to that step the first
//! time, `layer-named=2*off->return` the third time. `layer-named=return(PATH)` makes the file `PATH` instead, and goes on when somebody has
//! removed it: a test can change the world in between.

macro_rules! steps {
    ($($(#[$about:meta])* $step:ident = $name:literal,)*) => {
        /// A step of what is written to the store. Its name says what has just happened, unless it says what is about to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Step { $($(#[$about])* $step,)* }

        impl Step {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$step,)*];

            /// What it is called in `FAILPOINTS`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$step => $name,)* }
            }
        }
    };
}

steps! {
    /// At start: something that was left half done has been removed.
    StartCleared = "start-cleared",
    /// At start: a step of a migration is done, and the file `format` still names the old format.
    FormatMigrated = "format-migrated",
    /// The partial file of a blob is open.
    IngestOpened = "ingest-opened",
    /// Bytes of a blob have been appended.
    IngestAppended = "ingest-appended",
    /// A piece of a blob has been decompressed.
    Inflated = "inflated",
    /// The folder that a layer is unpacked into has been made.
    Staged = "staged",
    /// A piece of a tar is about to be unpacked.
    Unpacking = "unpacking",
    /// What is to be published together has been unpacked and proven. What is left is the record of a layer that a pull brings, and the sync.
    Unpacked = "unpacked",
    /// The record of a layer that a pull brings has been written.
    RecordWritten = "record-written",
    /// The sync has ended, which covers the layer, its record and its blob.
    Synced = "synced",
    /// A blob has its name, and the folder has not been synced.
    BlobNamed = "blob-named",
    /// A blob has its name durably; its layer has none yet.
    BlobPublished = "blob-published",
    /// A layer has its name, and the folder has not been synced.
    LayerNamed = "layer-named",
    /// A layer has its name durably; the database doesn't know.
    LayerPublished = "layer-published",
    /// A fact has been given to the database.
    FactKept = "fact-kept",
    /// A manifest, an index or a config is about to be written.
    DocumentWriting = "document-writing",
    /// It has been written.
    DocumentWritten = "document-written",
    /// A small file that replaces another is written and synced, and has not taken its place.
    ReplacementWritten = "replacement-written",
    /// It has taken its place, and the folder has not been synced.
    ReplacementNamed = "replacement-named",
    /// `index.json` is about to be replaced.
    IndexWriting = "index-writing",
    /// The old `index.json` has been kept as `index.json.bak`.
    IndexKept = "index-kept",
    /// `index.json` has been replaced.
    IndexWritten = "index-written",
    /// A blob that nothing leads to any more has been taken out of sight.
    BlobBuried = "blob-buried",
    /// A layer that nothing leads to any more has been taken out of sight.
    LayerBuried = "layer-buried",
    /// It has been removed.
    GraveCleared = "grave-cleared",
}

/// Passes a step.
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
#[inline(always)]
pub fn reach(_: Step) {}

/// Passes a step, if the environment doesn't say otherwise.
#[cfg(all(feature = "failpoints", debug_assertions))]
pub fn reach(step: Step) {
    use std::path::Path;
    use std::sync::Once;
    static SETUP: Once = Once::new();
    // Forgotten, since dropping it would end what it has set up.
    SETUP.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    let _: Option<()> = fail::eval(step.name(), |argument| match argument {
        None => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal is on its way, and nothing more may happen meanwhile.
            loop {
                std::thread::park();
            }
        }
        Some(path) => {
            // One that can't be made holds up nothing.
            let _ = std::fs::write(&path, "");
            while Path::new(&path).exists() {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        let mut names: Vec<_> = Step::ALL.iter().map(|step| step.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Step::ALL.len());
    }
}
