//! Where the log goes: standard error, in the form that whoever reads it there likes best.

use std::fmt;
use std::io::IsTerminal as _;
use std::os::fd::AsFd;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{self, Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, SubscriberBuilder};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFilter;

/// Starts the log. A second call changes nothing.
pub(crate) fn start(filter: &LogFilter) {
    let stderr = std::io::stderr();
    let builder = || SubscriberBuilder::default().with_env_filter(filter.filter()).with_writer(std::io::stderr);
    let started = if is_journal(stderr.as_fd()) {
        builder().with_ansi(false).event_format(Journal(Format::default().without_time().with_level(false))).try_init()
    } else {
        builder().with_ansi(stderr.is_terminal()).try_init()
    };
    // It fails when there is a log already: then that one is used.
    drop(started);
}

/// Whether a file is the journal, which notes times by itself.
///
/// Spec: systemd.exec(5), `$JOURNAL_STREAM`.
fn is_journal(file: impl AsFd) -> bool {
    let Ok(text) = std::env::var("JOURNAL_STREAM") else { return false };
    let number = |text: &str| text.parse::<u64>().ok();
    let Some((Some(device), Some(inode))) = text.split_once(':').map(|(device, inode)| (number(device), number(inode)))
    else {
        return false;
    };
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_dev == device && stat.st_ino == inode)
}

/// The form of a line for the journal: its priority as a number in front.
///
/// Spec: sd-daemon(3), "Kernel-style log level prefixes".
struct Journal(Format<format::Full, ()>);

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_journal_is_told_priorities_and_no_times() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = SubscriberBuilder::default()
            .with_ansi(false)
            .event_format(Journal(Format::default().without_time().with_level(false)))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("request", id = "7").entered();
            tracing::error!(layers = 3, "gone");
            tracing::info!("fine");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let here = module_path!();
        assert_eq!(
            text,
            format!("<3>request{{id=\"7\"}}: {here}: gone layers=3\n<6>request{{id=\"7\"}}: {here}: fine\n")
        );
    }
}
