//! How the program ends.

use std::process::ExitCode;

use crate::error::Error;

/// The exit status, documented in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Done,
    /// Something was refused, or failed. Also when some of several names failed.
    Failed,
    /// The daemon could not be asked.
    Unreachable,
    /// ^C.
    Interrupted,
}

impl Exit {
    /// The number that a shell sees. 2, for arguments that make no sense, comes from the parser of arguments.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Unreachable => 3,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error {
            Error::Unreachable { .. } => Self::Unreachable,
            Error::During { source, .. } => Self::from(&**source),
            // `layer images | head -1` is not a failure.
            Error::ReaderGone => Self::Done,
            Error::Refused { .. }
            | Error::Broken { .. }
            | Error::Ended
            | Error::Unreadable { .. }
            | Error::BadLine(_)
            | Error::TooLarge { .. }
            | Error::TooLong { .. }
            | Error::NotText { .. }
            | Error::Folder { .. }
            | Error::Credentials(_)
            | Error::NoTerminal
            | Error::NothingTyped
            | Error::Ask(_)
            | Error::File { .. }
            | Error::Terminal { .. }
            | Error::Output(_)
            | Error::Start(_) => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_does_not_hide_what_an_error_ends_in() {
        let error = Error::ReaderGone.during("list", "images");
        assert_eq!(Exit::from(&error), Exit::Done);
        assert_eq!(Exit::from(&Error::Ended.during("pull", "alpine")), Exit::Failed);
    }
}
