//! The settings about networks: how long to wait, how often to try, how much at once.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use layer_engine::Options;
use serde::{Deserialize, Deserializer};

/// A whole number that is neither too small nor too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Within<const LEAST: u32, const MOST: u32>(pub(crate) u32);

/// A time limit in seconds, up to a day.
pub(crate) type Seconds = Within<1, 86_400>;
/// How often something is tried again.
pub(crate) type Retries = Within<0, 100>;
/// How many layers, or connections.
pub(crate) type Number = Within<1, 100>;
/// A time that a registry may ask for, up to a day; zero means that no wait is kept.
pub(crate) type Asked = Within<0, 86_400>;
/// Bytes a second, up to 1 GiB.
pub(crate) type Speed = Within<0, 1_073_741_824>;

/// What options and environment say about networks.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct NetworkArgs {
    /// How many layers are fetched at a time in all; the first one of each registry doesn't count [default: 12]
    #[arg(long, value_name = "NUMBER", env = "LAYERD_DOWNLOADS_TOTAL", hide_env_values = true)]
    pub(crate) downloads_total: Option<Number>,

    /// How many connections one registry gets for layers; a large layer that is slow over one gets several [default: 6]
    #[arg(long, value_name = "NUMBER", env = "LAYERD_CONNECTIONS", hide_env_values = true)]
    pub(crate) connections: Option<Number>,

    /// How often a request that fails and brings nothing is made again, in a row [default: 4]
    #[arg(long, value_name = "NUMBER", env = "LAYERD_RETRIES", hide_env_values = true)]
    pub(crate) retries: Option<Retries>,

    /// How many seconds a connection may take to come about [default: 10]
    #[arg(long, value_name = "SECONDS", env = "LAYERD_CONNECT_TIMEOUT", hide_env_values = true)]
    pub(crate) connect_timeout: Option<Seconds>,

    /// How many seconds a registry may take to begin its answer [default: 30]
    #[arg(long, value_name = "SECONDS", env = "LAYERD_FIRST_BYTE_TIMEOUT", hide_env_values = true)]
    pub(crate) first_byte_timeout: Option<Seconds>,

    /// How many seconds a registry may be silent in the middle of an answer [default: 30]
    #[arg(long, value_name = "SECONDS", env = "LAYERD_STALL_TIMEOUT", hide_env_values = true)]
    pub(crate) stall_timeout: Option<Seconds>,

    /// The bytes a second below which a layer counts as not coming at all; 0 for any speed [default: 1024]
    #[arg(long, value_name = "BYTES", env = "LAYERD_MINIMUM_SPEED", hide_env_values = true)]
    pub(crate) minimum_speed: Option<Speed>,

    /// The seconds over which that speed is taken [default: 60]
    #[arg(long, value_name = "SECONDS", env = "LAYERD_MINIMUM_SPEED_TIME", hide_env_values = true)]
    pub(crate) minimum_speed_time: Option<Seconds>,

    /// The longest wait in seconds that a registry may ask for before it is asked again [default: 120]
    #[arg(long, value_name = "SECONDS", env = "LAYERD_LONGEST_RETRY_AFTER", hide_env_values = true)]
    pub(crate) longest_retry_after: Option<Asked>,
}

impl NetworkArgs {
    /// These, and what they leave open from `file`.
    pub(super) fn or(self, file: Self) -> Self {
        Self {
            downloads_total: self.downloads_total.or(file.downloads_total),
            connections: self.connections.or(file.connections),
            retries: self.retries.or(file.retries),
            connect_timeout: self.connect_timeout.or(file.connect_timeout),
            first_byte_timeout: self.first_byte_timeout.or(file.first_byte_timeout),
            stall_timeout: self.stall_timeout.or(file.stall_timeout),
            minimum_speed: self.minimum_speed.or(file.minimum_speed),
            minimum_speed_time: self.minimum_speed_time.or(file.minimum_speed_time),
            longest_retry_after: self.longest_retry_after.or(file.longest_retry_after),
        }
    }

    /// Sets in `options` what is said here; the rest stays.
    pub(crate) fn apply(&self, options: &mut Options) {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        let count = |number: Number| usize::try_from(number.0).unwrap_or(usize::MAX);
        let seconds = Seconds::duration;
        let Options { registry, limits, .. } = options;
        set(&mut limits.downloads, self.downloads_total.map(count));
        set(&mut limits.connections_per_registry, self.connections.map(count));
        set(&mut registry.retry.tries, self.retries.map(|Within(retries)| retries + 1));
        set(&mut registry.connect_timeout, self.connect_timeout.map(seconds));
        set(&mut registry.first_byte_timeout, self.first_byte_timeout.map(seconds));
        set(&mut registry.stall_timeout, self.stall_timeout.map(seconds));
        set(&mut registry.minimum_speed, self.minimum_speed.map(|Within(speed)| speed.into()));
        set(&mut registry.minimum_speed_time, self.minimum_speed_time.map(seconds));
        set(&mut registry.retry.longest_retry_after, self.longest_retry_after.map(Asked::duration));
    }
}

impl<const LEAST: u32, const MOST: u32> Within<LEAST, MOST> {
    /// So many seconds.
    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }

    fn checked(number: i64) -> Result<Self, OutOfBounds<LEAST, MOST>> {
        match u32::try_from(number) {
            Ok(number) if (LEAST..=MOST).contains(&number) => Ok(Self(number)),
            _ => Err(OutOfBounds(number.to_string())),
        }
    }
}

/// What is no such number.
#[derive(Debug)]
pub(crate) struct OutOfBounds<const LEAST: u32, const MOST: u32>(String);

impl<const LEAST: u32, const MOST: u32> fmt::Display for OutOfBounds<LEAST, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a whole number from {LEAST} to {MOST}", self.0)
    }
}

impl<const LEAST: u32, const MOST: u32> std::error::Error for OutOfBounds<LEAST, MOST> {}

impl<const LEAST: u32, const MOST: u32> FromStr for Within<LEAST, MOST> {
    type Err = OutOfBounds<LEAST, MOST>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map_err(|_| OutOfBounds(text.to_owned())).and_then(Self::checked)
    }
}

impl<'de, const LEAST: u32, const MOST: u32> Deserialize<'de> for Within<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::checked(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
