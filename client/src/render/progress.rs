//! The progress of pulls and pushes: bars on a terminal, one line a finished step elsewhere.
//!
//! All of it is talk and goes to standard error. On a terminal what is finished scrolls away above, and below it stands one bar for each
//! layer that isn't; so an image of a hundred layers shows those that move.

use std::collections::HashMap;
use std::fmt::Write;
use std::io::IsTerminal as _;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use layer_proto::{LayerStatus, ProgressDetail, ProgressLine};

use super::text::clean;
use super::{output, size};
use crate::error::Error;

/// Where the pulls of one run show how far they are. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// Nothing but results and errors.
    Quiet,
    /// A line when a step is finished.
    Lines,
    /// Bars that move.
    Bars(MultiProgress),
}

impl Screen {
    /// The form that suits standard error.
    pub(crate) fn new(quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let form = if quiet {
            Form::Quiet
        } else if std::io::stderr().is_terminal() && !dumb {
            Form::Bars(MultiProgress::new())
        } else {
            Form::Lines
        };
        Self { form }
    }

    /// What one pull shows. `label` stands in front of all its lines.
    pub(crate) fn layers(&self, label: &str) -> Layers {
        Layers {
            screen: self.clone(),
            label: clean(label).into_owned(),
            bars: HashMap::new(),
            retrying: HashMap::new(),
        }
    }

    /// Writes how a pull ended to standard output, above the bars.
    pub(crate) fn outcome(&self, text: &str) -> Result<(), Error> {
        self.without_bars(|| output::outcome(text))
    }

    /// Tells what is odd and no failure, above the bars.
    pub(crate) fn warn(&self, text: &str) {
        self.without_bars(|| output::talk(&format!("warning: {text}")));
    }

    /// Tells an error, above the bars.
    pub(crate) fn report(&self, error: &Error) {
        self.without_bars(|| error.report());
    }

    fn without_bars<R>(&self, act: impl FnOnce() -> R) -> R {
        match &self.form {
            Form::Bars(bars) => bars.suspend(act),
            Form::Quiet | Form::Lines => act(),
        }
    }

    /// Writes a line that stays.
    fn say(&self, text: &str) {
        match &self.form {
            Form::Quiet => {}
            Form::Lines => output::talk(text),
            Form::Bars(bars) => {
                // A terminal that is gone needs no lines.
                let _said = bars.println(text);
            }
        }
    }
}

/// The layers of one pull. Dropping it takes its bars off the screen.
#[derive(Debug)]
pub(crate) struct Layers {
    screen: Screen,
    label: String,
    bars: HashMap<String, LayerBar>,
    /// Layers whose retry was told, and the seconds that were; a count-down is told once.
    retrying: HashMap<String, u64>,
}

/// The bar of one layer.
#[derive(Debug)]
struct LayerBar {
    bar: ProgressBar,
    /// What its numbers count, while it shows any.
    counted: Option<LayerStatus>,
}

impl Layers {
    /// Shows one line of the stream.
    pub(crate) fn show(&mut self, line: &ProgressLine) {
        let Some(words) = line.status.as_deref().map(clean) else { return };
        let Some(id) = line.id.as_deref().map(clean) else {
            self.screen.say(&format!("{}{words}", self.label));
            return;
        };
        let Some(status) = line.layer_status() else {
            // The head of a pull, or words that this version doesn't know.
            self.screen.say(&format!("{}{id}: {words}", self.label));
            return;
        };
        match &self.screen.form {
            Form::Quiet => {}
            Form::Lines => self.line(&id, status, &words),
            Form::Bars(_) => self.bar(&id, status, &words, line.progress_detail.as_ref()),
        }
    }

    /// `words` are the status as the daemon says it: of a retry, with the reason.
    fn line(&mut self, id: &str, status: LayerStatus, words: &str) {
        let told = match status {
            LayerStatus::Retrying { seconds } => {
                // Where the seconds don't go down, another wait has begun.
                self.retrying.insert(id.to_owned(), seconds).is_none_or(|before| seconds >= before)
            }
            LayerStatus::DownloadComplete => true,
            _ => status.is_final(),
        };
        if !matches!(status, LayerStatus::Retrying { .. }) {
            self.retrying.remove(id);
        }
        if told {
            self.screen.say(&format!("{}{id}: {words}", self.label));
        }
    }

    fn bar(&mut self, id: &str, status: LayerStatus, words: &str, detail: Option<&ProgressDetail>) {
        let Form::Bars(bars) = &self.screen.form else { return };
        if status.is_final() {
            if let Some(layer) = self.bars.remove(id) {
                layer.bar.finish_and_clear();
                bars.remove(&layer.bar);
            }
            self.screen.say(&format!("{}{id}: {words}", self.label));
            return;
        }
        if status == LayerStatus::Loading && detail.is_some_and(|detail| detail.current == detail.total) {
            // All of it has come; nothing else is said about it.
            if let Some(layer) = self.bars.remove(id) {
                layer.bar.finish_and_clear();
                bars.remove(&layer.bar);
            }
            return;
        }
        let label = &self.label;
        let layer = self.bars.entry(id.to_owned()).or_insert_with(|| {
            let bar = ProgressBar::no_length().with_style(words_alone());
            let bar = bar.with_prefix(format!("{label}{id}: ")).with_message(status.to_string());
            LayerBar { bar: bars.add(bar), counted: None }
        });
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let words = match detail {
            Some(detail) if detail.total > 0 && detail.units.is_empty() => {
                layer.count(status, count(detail.current), count(detail.total));
                return;
            }
            Some(detail) if detail.current > 0 => match detail.units.as_str() {
                "" => format!("{status} {}", size::in_bar(count(detail.current))),
                units => format!("{status} {} {}", detail.current, clean(units)),
            },
            _ => words.to_owned(),
        };
        layer.say(words);
    }
}

impl LayerBar {
    /// Shows numbers that grow.
    fn count(&mut self, status: LayerStatus, current: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(current);
        if self.counted != Some(status) {
            self.counted = Some(status);
            // What was there before we looked says nothing about the speed.
            self.bar.reset_eta();
            self.bar.set_message(status.to_string());
            self.bar.set_style(bytes(status.is_on_the_wire()));
            self.bar.tick();
        }
    }

    /// Shows words.
    fn say(&mut self, words: String) {
        if self.counted.take().is_some() {
            self.bar.set_style(words_alone());
        }
        self.bar.set_message(words);
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        if let Form::Bars(bars) = &self.screen.form {
            for layer in self.bars.values() {
                layer.bar.finish_and_clear();
                bars.remove(&layer.bar);
            }
        }
    }
}

/// A layer that is waiting, or whose size isn't known.
fn words_alone() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}{msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A layer that moves; with its speed when it is on the wire.
fn bytes(speed: bool) -> ProgressStyle {
    let template =
        if speed { "{prefix}{msg} [{bar:40}] {bytes_of} {speed}" } else { "{prefix}{msg} [{bar:40}] {bytes_of}" };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .with_key("bytes_of", |state: &ProgressState, out: &mut dyn Write| {
            let total = state.len().unwrap_or(0);
            // The writer is a `String`.
            let _ok = write!(out, "{}/{}", size::in_bar(state.pos()), size::in_bar(total));
        })
        .with_key("speed", |state: &ProgressState, out: &mut dyn Write| {
            let _ok = write!(out, "{}/s", size::in_table(whole(state.per_sec())));
        })
}

/// A speed in whole bytes.
fn whole(speed: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float beyond the range becomes its end, and nothing is that fast"
    )]
    #[expect(clippy::cast_sign_loss, reason = "the same: below zero becomes zero")]
    let whole = speed as u64;
    whole
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal that remembers all that was ever written on it.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl Paper {
        fn write(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn text(&self) -> String {
            self.0.lock().unwrap().clone()
        }
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write(text)?;
            self.write("\n")
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.write(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written on a terminal while `lines` come in.
    fn drawn(label: &str, lines: &[ProgressLine]) -> String {
        let paper = Paper::default();
        let target = ProgressDrawTarget::term_like(Box::new(paper.clone()));
        let screen = Screen { form: Form::Bars(MultiProgress::with_draw_target(target)) };
        let mut layers = screen.layers(label);
        for line in lines {
            layers.show(line);
            for layer in layers.bars.values() {
                layer.bar.force_draw();
            }
        }
        drop(layers);
        paper.text()
    }

    #[test]
    fn a_layer_is_drawn_in_every_state_and_ends_as_a_line() {
        let text = drawn(
            "",
            &[
                ProgressLine::pulling("library/busybox", "latest"),
                ProgressLine::layer("b05093807bb0", LayerStatus::PullingFsLayer),
                ProgressLine::layer("b05093807bb0", LayerStatus::Downloading),
                ProgressLine::layer_progress("b05093807bb0", LayerStatus::Downloading, 1_048_576, 3_490_290),
                ProgressLine::layer("b05093807bb0", LayerStatus::VerifyingChecksum),
                ProgressLine::layer_progress("b05093807bb0", LayerStatus::Extracting, 32_768, 3_490_290),
                ProgressLine::layer("b05093807bb0", LayerStatus::PullComplete),
            ],
        );
        for part in [
            "latest: Pulling from library/busybox",
            "b05093807bb0: Pulling fs layer",
            "b05093807bb0: Downloading [============>                           ] 1.049MB/3.49MB 0B/s",
            "b05093807bb0: Verifying Checksum",
            "b05093807bb0: Extracting [>                                       ] 32.77kB/3.49MB",
            "b05093807bb0: Pull complete",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_retry_is_drawn_with_its_reason() {
        let retry = ProgressLine {
            status: Some("Retrying in 2 seconds (503 from the registry)".into()),
            ..ProgressLine::layer("aa", LayerStatus::Retrying { seconds: 2 })
        };
        let text = drawn("", &[ProgressLine::layer_progress("aa", LayerStatus::Downloading, 1, 2), retry]);
        assert!(text.contains("aa: Retrying in 2 seconds (503 from the registry)"), "{text}");
    }

    #[test]
    fn a_layer_that_is_pushed_ends_as_the_line_that_says_how() {
        let text = drawn(
            "",
            &[
                ProgressLine::pushing("lab.test/app"),
                ProgressLine::layer("aa", LayerStatus::Waiting),
                ProgressLine::layer_progress("aa", LayerStatus::Pushing, 1_048_576, 3_490_290),
                ProgressLine::layer("aa", LayerStatus::Pushed),
                ProgressLine::layer("bb", LayerStatus::LayerAlreadyExists),
                ProgressLine::mounted("cc", "lab/base"),
            ],
        );
        for part in [
            "The push refers to repository [lab.test/app]",
            "aa: Pushing [============>                           ] 1.049MB/3.49MB 0B/s",
            "aa: Pushed",
            "bb: Layer already exists",
            "cc: Mounted from lab/base",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn counts_without_a_total_are_words() {
        let seconds = ProgressDetail { current: 3, units: "s".into(), ..Default::default() };
        let line =
            ProgressLine { progress_detail: Some(seconds), ..ProgressLine::layer("aa", LayerStatus::Extracting) };
        let text = drawn("x: ", &[line, ProgressLine::layer_progress("bb", LayerStatus::Downloading, 2_000_000, 0)]);
        assert!(text.contains("x: aa: Extracting 3 s"), "{text}");
        assert!(text.contains("x: bb: Downloading 2MB"), "{text}");
    }

    #[test]
    fn words_from_outside_do_not_steer_the_terminal() {
        let evil = "\u{1b}[2J\u{9b}H";
        let text = drawn(
            "",
            &[
                ProgressLine::message(evil),
                ProgressLine::pulling(evil, evil),
                ProgressLine::layer(evil, LayerStatus::Waiting),
                ProgressLine::layer(evil, LayerStatus::PullComplete),
            ],
        );
        // Moving the cursor is done by calls, so that the paper has only what was written.
        assert!(!text.contains(['\u{1b}', '\u{9b}']), "{text:?}");
    }

    #[test]
    fn a_new_word_is_shown_as_it_comes() {
        let line = ProgressLine { id: Some("aa".into()), ..ProgressLine::message("Warming up") };
        assert!(drawn("", &[line]).contains("aa: Warming up"));
    }
}
