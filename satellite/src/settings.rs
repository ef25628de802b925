//! The settings of a satellite, as flags that it shares with `skypipe --satellite`.
//!
//! Owns the flags, whose doc comments are their help text, and the rule of where a satellite may
//! listen.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use skypipe_protocol::address::Address;
use skypipe_protocol::public_keys::PublicKeys;

use crate::listen::{Listen, with_websockets};
use crate::{keys, size};

/// What a satellite can be told.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Settings {
    /// The memory for data on its way, and without --data for unread data; at least 4MiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = memory)]
    pub memory: u64,

    /// Keep keys and unread data in this directory; by default unread data is in memory. With --check,
    /// --list, --discard, --keys, --invite and --revoke: the satellite of this directory, on this machine
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// The most disk space to use there, at least 16MiB; by default 90% of what is free
    #[arg(long, value_name = "SIZE", value_parser = disk)]
    pub disk: Option<u64>,

    /// The most unread data of one pipe; when it is reached, its writers wait
    #[arg(long, value_name = "SIZE", value_parser = quota)]
    pub pipe_limit: Option<u64>,

    /// Require keys on this machine, too (needs --data); other machines need one unless --insecure is given
    #[arg(long, requires = "data")]
    pub private: bool,

    /// Also listen here: at another port, or with ws:// for WebSockets that a web server passes on
    #[arg(long, value_name = "[ws://][ADDRESS:]PORT", value_parser = with_websockets)]
    pub listen: Vec<Listen>,

    /// Also with --setup: the host and port at which other machines reach the satellite, for invitations;
    /// with a web server in front of it, `skypipe+tls://HOST` or `skypipe+wss://HOST`
    #[arg(long, value_name = "HOST[:PORT]")]
    pub public: Option<Public>,

    /// Authorize this key first, made on another machine, instead of printing an invitation
    #[arg(
        long,
        value_name = "KEY",
        hide = true,
        requires = "data",
        allow_hyphen_values = true
    )]
    pub owner: Option<PublicKeys>,

    /// Listen for other machines without keys, so that all of them may read and write
    #[arg(long, conflicts_with_all = ["private", "public", "owner"])]
    pub insecure: bool,

    /// Cut a writer's stream after this long without a sign of life
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = timeout)]
    pub lost_writer: Duration,

    /// Give up a listener after this long without a sign of life, and give what it has not confirmed to
    /// others
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = timeout)]
    pub lost_listener: Duration,

    /// Stop after this long with no unread data and nobody connected
    #[arg(long, value_name = "DURATION", hide = true, value_parser = humantime::parse_duration)]
    pub idle: Option<Duration>,
}

/// Why a satellite does not listen where it was told to. This is a usage error, not a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl Settings {
    /// Whether a satellite with these settings requires keys from its clients.
    ///
    /// # Errors
    ///
    /// When it must have keys and has no directory for them, or when it has keys and is told to do
    /// without.
    pub fn is_private(&self, listen: &Listen) -> Result<bool, Refusal> {
        let mut is_private = self.is_private_at(listen)?;
        for also in &self.listen {
            is_private |= self.is_private_at(also)?;
        }
        let websocket = |listen: &&Listen| matches!(listen, Listen::WebSocket(_));
        match self.listen.iter().find(websocket) {
            Some(websocket) if !is_private => Err(Refusal(format!(
                "{websocket} only works with keys: add --private and --data DIR"
            ))),
            _ => Ok(is_private),
        }
    }

    /// Like [`Self::is_private`], for a satellite that listens only at this address.
    fn is_private_at(&self, listen: &Listen) -> Result<bool, Refusal> {
        let has_keys = self.data.as_deref().is_some_and(keys::are_in);
        let must_have = has_keys || self.owner.is_some();
        match &self.data {
            Some(data) if has_keys && self.insecure => Err(Refusal(format!(
                "the data in {} is sealed for clients with keys: use another directory with \
                 --insecure",
                data.display()
            ))),
            None if !self.insecure && !listen.is_local() => Err(Refusal(format!(
                "other machines can reach {listen}, so the satellite needs keys: add --data DIR \
                 to keep them and unread data, or --insecure if everybody there may read and \
                 write"
            ))),
            _ => Ok(!self.insecure && (self.private || must_have || !listen.is_local())),
        }
    }
}

/// The smallest memory budget, in bytes: a few chunks of full size for writers, and a window for
/// what is being read.
const MIN_MEMORY: u64 = 4 << 20;

/// The range of the time without a sign of life, in seconds. Signs of life are sent three times
/// within that time. Below a second they would be mere noise.
const TIMEOUT_SECONDS: std::ops::RangeInclusive<u64> = 1..=365 * 24 * 3600;

fn memory(text: &str) -> Result<u64, String> {
    match size::parse(text)? {
        bytes if bytes < MIN_MEMORY => Err("a satellite needs at least 4MiB".to_owned()),
        bytes => Ok(bytes),
    }
}

/// The smallest disk budget, in bytes: some segments of the log, and the reserve.
const MIN_DISK: u64 = 16 << 20;

/// The smallest limit of one pipe, in bytes: a chunk of full size.
const MIN_QUOTA: u64 = 1 << 20;

fn disk(text: &str) -> Result<u64, String> {
    match size::parse(text)? {
        bytes if bytes < MIN_DISK => Err("a satellite needs at least 16MiB".to_owned()),
        bytes => Ok(bytes),
    }
}

/// Parses how many unread bytes a pipe or a key's writers may have, such as `100MiB`. The least is
/// 1 MiB.
///
/// # Errors
///
/// When the text is no size, or too small. The error is a sentence.
pub fn quota(text: &str) -> Result<u64, String> {
    match size::parse(text)? {
        bytes if bytes < MIN_QUOTA => Err("it must be at least 1MiB".to_owned()),
        bytes => Ok(bytes),
    }
}

/// The address for invitations. Without a port, the port at which the satellite listens is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public(String);

impl Public {
    /// The address. `port` is used if the settings name none.
    ///
    /// # Panics
    ///
    /// Never: the address was parsed once before.
    #[must_use]
    pub fn at(&self, port: u16) -> Address {
        Address::parse(&self.0, Some(port)).expect("it was one with any port")
    }

    /// Whether the address names a port, or a transport that has a default port.
    #[must_use]
    pub fn has_port(&self) -> bool {
        Address::parse(&self.0, None).is_ok()
    }
}

impl FromStr for Public {
    type Err = String;

    /// The error is a sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        match Address::parse(text, Some(1)) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(
                "write it like sky.example.org, sky.example.org:443, skypipe+tls://sky.example.org or \
                 skypipe+wss://sky.example.org/path"
                    .to_owned(),
            ),
        }
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if TIMEOUT_SECONDS.contains(&duration.as_secs()) {
        Ok(duration)
    } else {
        Err("give a time from 1s to 365days".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        settings: Settings,
    }

    fn settings(flags: &str) -> Result<Settings, String> {
        let flags = std::iter::once("satellite").chain(flags.split_whitespace());
        Flags::try_parse_from(flags)
            .map(|read| read.settings)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_rule_16() {
        let settings = settings("").unwrap();
        assert_eq!(settings.memory, 64 << 20);
        assert_eq!(settings.lost_writer, Duration::from_secs(60));
        assert_eq!(settings.lost_listener, Duration::from_secs(10));
        assert_eq!((settings.idle, settings.insecure), (None, false));
    }

    #[test]
    fn flags_are_read_and_nonsense_is_refused() {
        let read = settings("--memory 1GiB --lost-writer 2m --idle 500ms").unwrap();
        assert_eq!(
            (read.memory, read.lost_writer),
            (1 << 30, Duration::from_secs(120))
        );
        assert_eq!(read.idle, Some(Duration::from_millis(500)));
        for nonsense in [
            "--memory 3MiB",
            "--memory much",
            "--lost-writer 0s",
            "--lost-listener 999years",
        ] {
            assert!(settings(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn other_machines_connect_only_with_keys_or_when_told_so() {
        let open: Listen = "0.0.0.0:9000".parse().unwrap();
        let local: Listen = "9000".parse().unwrap();
        let private = |flags: &str, listen| settings(flags).unwrap().is_private(listen);
        let refusal = private("", &open).unwrap_err().to_string();
        assert!(
            refusal.contains("0.0.0.0:9000") && refusal.contains("--insecure"),
            "{refusal}"
        );
        assert_eq!(private("", &local), Ok(false));
        assert_eq!(private("--insecure", &open), Ok(false));
        assert_eq!(private("--data /nowhere", &open), Ok(true));
        assert_eq!(private("--data /nowhere", &local), Ok(false));
        assert_eq!(private("--data /nowhere --private", &local), Ok(true));
        assert!(settings("--private").is_err());
        assert!(settings("--private --data /nowhere --insecure").is_err());
    }

    #[test]
    fn each_address_counts() {
        let local: Listen = "9000".parse().unwrap();
        let private = |flags: &str| settings(flags).unwrap().is_private(&local);
        assert!(private("--listen 0.0.0.0:443").is_err());
        assert_eq!(private("--listen 127.0.0.1:443"), Ok(false));
        assert_eq!(private("--listen 0.0.0.0:443 --insecure"), Ok(false));
        assert_eq!(private("--listen 0.0.0.0:443 --data /nowhere"), Ok(true));
        assert!(private("--listen ws://127.0.0.1:80").is_err());
        assert_eq!(
            private("--listen ws://80 --data /nowhere --private"),
            Ok(true)
        );
        assert!(settings("--listen wss://80").is_err());
    }

    #[test]
    fn addresses_for_invitations_are_checked() {
        for good in [
            "sky",
            "sky.example.org:9000",
            "10.0.0.1",
            "[::1]",
            "[::1]:9",
        ] {
            assert!(good.parse::<Public>().is_ok(), "{good}");
        }
        for bad in ["", ":9000", "sky:0", "sky:x", "tcp://sky", "a b", "::1"] {
            assert!(bad.parse::<Public>().is_err(), "{bad}");
        }
        let shown = |text: &str| {
            text.parse()
                .map(|public: Public| public.at(9000).to_string())
        };
        assert_eq!(shown("sky").as_deref(), Ok("sky:9000"));
        assert_eq!(
            shown("skypipe+wss://sky/a").as_deref(),
            Ok("skypipe+wss://sky:443/a")
        );
    }
}
