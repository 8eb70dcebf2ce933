//! Memory as it is on a machine that has been up for a while: full of cache.
//!
//! A virtual machine may give memory that nothing uses back to its host. It comes again when it is first written to, and who writes then pays for
//! that: a large pull, or whoever happens to come after a pause.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::meter::kibibytes_of;

/// What stays free: about what the kernel keeps free itself.
const LEFT_FREE: u64 = 512 << 20;
/// Where more than this is free, filling it would take longer than what is measured, and little of it would be met.
const MOST: u64 = 64 << 30;
/// The length of a file of nothing. No file system's files must be shorter.
const NOTHING: u64 = 1 << 40;

/// Fills free memory with what goes again when it is needed.
pub(crate) struct Cache {
    /// A file of nothing, which takes no room on the disk and, when it is read, some in memory.
    nothing: File,
}

impl Cache {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let nothing = tempfile::tempfile_in(folder).context("create a file")?;
        nothing.set_len(NOTHING).context("size a file")?;
        Ok(Self { nothing })
    }

    pub(crate) fn fill(&mut self) -> Result<()> {
        let text = fs::read_to_string("/proc/meminfo").context("read `/proc/meminfo`")?;
        let free = kibibytes_of(&text, "MemFree").context("`/proc/meminfo` tells what is free")?;
        if free > MOST {
            return Ok(());
        }
        let take = free.saturating_sub(LEFT_FREE);
        if self.nothing.stream_position()? + take > NOTHING {
            self.nothing.rewind()?;
        }
        std::io::copy(&mut (&mut self.nothing).take(take), &mut std::io::sink()).context("read a file of nothing")?;
        Ok(())
    }
}
