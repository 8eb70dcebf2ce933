//! When to ask again, and how long to wait before.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::error::{Kind, RegistryError};

/// Whether a failure may pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request would fail in the same way.
    Never,
    /// Another try may succeed, after the time the registry asked for if it asked for one.
    After(Option<Duration>),
}

/// How often a request is tried, and the waits between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The number of tries in a row that may fail, the first one included. One or none means that nothing is tried again.
    pub tries: u32,
    /// The wait before the second try; it doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait between two tries, unless the registry asks for more.
    pub longest_wait: Duration,
    /// The longest wait that a registry may ask for by `Retry-After`. A registry that wants more gets no further try: the request fails at
    /// once, and the error tells the user how long the registry wants to be left alone.
    pub longest_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            // Rate limits count in minutes at least; nobody sits before a terminal longer than this for one answer.
            longest_retry_after: Duration::from_secs(120),
        }
    }
}

impl RetryPolicy {
    /// The wait before the next try, after `failed` tries in a row that brought nothing, the last of them for the reason `retry`.
    ///
    /// Returns `None` when there should be no further try. Waits grow exponentially and are spread at random between half and all of their
    /// length, so that clients that failed together do not come back together. `failed` starts again at one after progress.
    pub fn wait(&self, failed: u32, retry: Retry) -> Option<Duration> {
        // The keys of std's hash maps are random; there is no need for a crate to spread some waits.
        self.wait_at(failed, retry, RandomState::new().build_hasher().finish())
    }

    /// [`Self::wait`] with its random number as an argument.
    fn wait_at(&self, failed: u32, retry: Retry, random: u64) -> Option<Duration> {
        let Retry::After(asked) = retry else { return None };
        if failed >= self.tries {
            return None;
        }
        let part = |whole: Duration| whole / 1024 * (random >> 54) as u32;
        if let Some(asked) = asked {
            // Never sooner than asked; a little later, since everybody was told the same time.
            let spread = (asked / 10).min(Duration::from_secs(1));
            return (asked <= self.longest_retry_after).then(|| asked + part(spread));
        }
        let doublings = failed.saturating_sub(1).min(31);
        let whole = self.first_wait.saturating_mul(1 << doublings).min(self.longest_wait);
        Some(whole / 2 + part(whole / 2))
    }
}

/// The time that an answer asks to be left alone for, from either form of `Retry-After`.
///
/// Spec: RFC 9110, section 10.2.3.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    parse_retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, Timestamp::now())
}

fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds still means "very long".
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    // A wrong weekday does not make the rest of the date wrong.
    let date = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()?;
    let seconds = date.as_second().saturating_sub(now.as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// Whom to tell before a wait.
type Listener = dyn Fn(Duration, &RegistryError) + Send + Sync;

/// Whoever is told before something is tried again; nobody to begin with.
#[derive(Clone, Default)]
pub(crate) struct Told(Option<Arc<Listener>>);

impl Told {
    pub(crate) fn new(listener: impl Fn(Duration, &RegistryError) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Told(somebody)" } else { "Told(nobody)" })
    }
}

/// Does `operation` until it succeeds or `policy` says that it is enough.
pub(crate) async fn with_retries<T, F>(
    policy: &RetryPolicy,
    told: &Told,
    mut operation: impl FnMut() -> F,
) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>>,
{
    let mut failed = 0;
    let mut corrupt = false;
    loop {
        let error = match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        failed += 1;
        // Bytes that differ from their digest are worth one more try; twice is no accident.
        if error.kind() == Kind::Corrupt && std::mem::replace(&mut corrupt, true) {
            return Err(error);
        }
        let Some(wait) = policy.wait(failed, error.retry()) else { return Err(error) };
        tracing::debug!(%error, attempt = failed, ?wait, "will try again");
        if let Some(listener) = &told.0 {
            listener(wait, &error);
        }
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    #[test]
    fn reads_both_forms_of_retry_after() {
        for (text, want) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 01 Mar 2026 12:00:30 GMT", Some(30)),
            ("Mon, 01 Mar 2026 12:00:30 GMT", Some(30)),
            ("Sun, 01 Mar 2026 11:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let parsed = parse_retry_after(text, NOW.parse().unwrap());
            assert_eq!(parsed, want.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let policy = RetryPolicy {
            tries: 10,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(5),
            ..RetryPolicy::default()
        };
        let wait = |failed, random| policy.wait_at(failed, Retry::After(None), random).unwrap().as_secs_f64();
        for (failed, longest) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (9, 5.0)] {
            assert_eq!(wait(failed, 0), longest / 2.0);
            assert!((longest - wait(failed, u64::MAX)).abs() < 0.01, "{failed}");
        }
        assert_eq!(policy.wait_at(10, Retry::After(None), 0), None);
        assert_eq!(policy.wait_at(1, Retry::Never, 0), None);
    }

    #[test]
    fn a_registry_that_asks_for_too_long_a_wait_gets_no_further_try() {
        let policy = RetryPolicy { longest_retry_after: Duration::from_secs(60), ..RetryPolicy::default() };
        let wait = |seconds| policy.wait(1, Retry::After(Some(Duration::from_secs(seconds))));
        assert!(wait(60).is_some());
        assert_eq!(wait(61), None);
        assert_eq!(wait(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn a_wait_keeps_its_bounds(failed in 1_u32..2000, random: u64, asked in prop::option::of(0_u64..200)) {
            let policy = RetryPolicy { tries: u32::MAX, ..RetryPolicy::default() };
            let asked = asked.map(Duration::from_secs);
            match (policy.wait_at(failed, Retry::After(asked), random), asked) {
                (Some(wait), Some(asked)) => {
                    prop_assert!(wait >= asked && wait <= asked + Duration::from_secs(1));
                    prop_assert!(asked <= policy.longest_retry_after);
                }
                (Some(wait), None) => {
                    prop_assert!(wait >= policy.first_wait / 2 && wait <= policy.longest_wait);
                }
                (None, asked) => prop_assert!(asked.is_some_and(|asked| asked > policy.longest_retry_after)),
            }
        }

        #[test]
        fn any_retry_after_is_read_without_panic(text: String) {
            parse_retry_after(&text, NOW.parse().unwrap());
        }
    }
}
