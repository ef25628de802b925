//! File locations and the environment.
//!
//! This module reads `SATELLITE`, the home directory and the user's name. A flag overrides the environment.
//! The module never creates or changes anything and never opens a connection.

mod endpoint;
mod proxy;

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use skypipe_protocol::MAX_LABEL;
use skypipe_protocol::token::Token;
use zeroize::Zeroizing;

pub use self::endpoint::{Endpoint, Host};
pub use self::proxy::{Login, Protocol, Proxy, proxy};
use crate::exit::Failure;
use crate::names;
use crate::report::words;

/// Program and version, as satellites are told.
pub const PROGRAM: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// The directory of this machine's own satellite, below the home directory. `XDG_STATE_HOME` and
/// `XDG_RUNTIME_DIR` are ignored: cron, ssh, systemd and a terminal must all find the same satellite.
const STATE: &str = ".local/state/skypipe";

/// The directory of the satellite's stored data, below the home directory.
const DATA: &str = ".local/share/skypipe";

/// The longest label of a host name (the part between two dots), in bytes.
const MAX_LABEL_OF_HOST: usize = 63;

/// The invitation of the joined satellite, below the home directory. `XDG_CONFIG_HOME` is ignored, for the
/// same reason.
const JOINED: &str = ".config/skypipe/satellite";

/// The record of what this machine has deployed or found deployed, below the home directory.
const DEPLOYED: &str = ".config/skypipe/deployed";

/// The seeds of this machine at satellites that have not enrolled it yet, below the home directory.
const SEEDS: &str = ".config/skypipe/seeds";

/// The longest file that is read as an invitation, in bytes.
const MAX_INVITATION: u64 = 4096;

/// The location of a satellite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the network, without keys.
    Remote(Endpoint),
    /// In the network, for holders of this invitation.
    Invited(Endpoint, Box<Token>),
    /// On this machine, in this directory; started when needed.
    Here(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(endpoint) | Self::Invited(endpoint, _) => endpoint.fmt(f),
            Self::Here(directory) => directory.display().fmt(f),
        }
    }
}

/// The satellite that `SATELLITE` names, else the joined one, else this machine's own.
///
/// # Errors
///
/// When `SATELLITE`, the invitation or the home directory is invalid.
pub fn place() -> Result<Place, Failure> {
    if let Some(place) = named_satellite()? {
        return Ok(place);
    }
    match joined_satellite()? {
        Some(place) => Ok(place),
        None => here().map(Place::Here),
    }
}

/// The satellite on this machine with the data directory `data`, for a user who may read its access key.
/// Without a directory, the same as [`place`].
///
/// # Errors
///
/// When there is no access key, or it cannot be read.
pub fn place_of(data: Option<&Path>) -> Result<Place, Failure> {
    let Some(data) = data else {
        return place();
    };
    let key = data.join("keys/host");
    read_invitation(&key)?.ok_or_else(|| {
        Failure::failed(format!(
            "{} is not the data directory of a satellite with keys",
            data.display()
        ))
    })
}

/// The value of `SATELLITE`, without surrounding white space. An empty variable counts as not set, as
/// usual.
///
/// # Errors
///
/// When it is neither `tcp://host:port` nor an invitation.
pub fn named_satellite() -> Result<Option<Place>, Failure> {
    let Some(value) = env::var_os("SATELLITE").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .ok_or_else(|| Failure::usage("SATELLITE is not valid UTF-8"))?
        .trim();
    if text.is_empty() {
        return Ok(None);
    }
    let is_endpoint = text.starts_with("tcp://");
    if !is_endpoint && text.to_ascii_lowercase().contains("skypipe") {
        // The value may be a secret, so the message must not repeat it.
        let place = invited(text).map_err(|why| {
            Failure::usage(format!("the invitation in SATELLITE is invalid: {why}"))
        });
        return place.map(Some);
    }
    text.parse().map(Place::Remote).map(Some).map_err(|why| {
        let shown = if could_be_secret(text) {
            "SATELLITE".to_owned()
        } else {
            format!("SATELLITE={text}")
        };
        Failure::usage(format!(
            "{shown} is invalid: {why} (use an address like tcp://host:9000, or an invitation)"
        ))
    })
}

/// Whether a text could be a damaged invitation, which messages must not repeat: it has a part that is
/// longer than any label of a host name.
fn could_be_secret(text: &str) -> bool {
    text.split(['.', ':', '/'])
        .any(|part| part.len() > MAX_LABEL_OF_HOST)
}

/// The location in an invitation.
///
/// # Errors
///
/// When the text is no invitation. The sentence contains nothing of the text.
pub fn invited(text: &str) -> Result<Place, String> {
    place_of_token(Token::parse(text).map_err(|fault| fault.to_string())?)
}

/// The location in a token.
///
/// # Errors
///
/// When its host is invalid. The sentence contains nothing of the token.
pub fn place_of_token(token: Token) -> Result<Place, String> {
    let endpoint = Endpoint::of(&token.address).map_err(str::to_owned)?;
    Ok(Place::Invited(endpoint, Box::new(token)))
}

/// The path of the joined satellite's invitation.
///
/// # Errors
///
/// When the home directory is unknown or invalid.
pub fn joined() -> Result<PathBuf, Failure> {
    Ok(home()?.join(JOINED))
}

/// The path of the record of deployments. It is next to the invitation, for the same reason.
///
/// # Errors
///
/// When the home directory is unknown or invalid.
pub fn deployed() -> Result<PathBuf, Failure> {
    Ok(home()?.join(DEPLOYED))
}

/// The path of the seeds of this machine that wait for enrollment.
///
/// # Errors
///
/// When the home directory is unknown or invalid.
pub fn seeds() -> Result<PathBuf, Failure> {
    Ok(home()?.join(SEEDS))
}

/// The joined satellite. `None` if there is none.
///
/// # Errors
///
/// When the invitation cannot be read, or is invalid.
pub fn joined_satellite() -> Result<Option<Place>, Failure> {
    read_invitation(&joined()?)
}

/// The location in an invitation file. `None` if there is no file.
fn read_invitation(path: &Path) -> Result<Option<Place>, Failure> {
    let shown = path.display();
    let fault = |error: &io::Error| Failure::failed(format!("{shown}: {}", words(error)));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(&error)),
    };
    if file.metadata().map_err(|error| fault(&error))?.mode() & 0o077 != 0 {
        return Err(Failure::failed(format!(
            "others can read your invitation in {shown}; to stop that: chmod 600 {shown}"
        )));
    }
    let mut text = Zeroizing::new(String::with_capacity(8192));
    file.take(MAX_INVITATION)
        .read_to_string(&mut text)
        .map_err(|error| fault(&error))?;
    invited(&text)
        .map(Some)
        .map_err(|why| Failure::failed(format!("the invitation in {shown} is invalid: {why}")))
}

/// The directory of this machine's own satellite.
///
/// # Errors
///
/// When the home directory is unknown or invalid.
pub fn here() -> Result<PathBuf, Failure> {
    Ok(home()?.join(STATE))
}

/// The directory of the own satellite's stored data: `SKYPIPE_DATA`, or the default. `None` if
/// `SKYPIPE_DATA` is `memory`.
///
/// # Errors
///
/// When the home directory is unknown or invalid, or `SKYPIPE_DATA` is no absolute path.
pub fn data() -> Result<Option<PathBuf>, Failure> {
    match env::var_os("SKYPIPE_DATA").filter(|value| !value.is_empty()) {
        None => Ok(Some(home()?.join(DATA))),
        Some(value) if value == "memory" => Ok(None),
        Some(value) if Path::new(&value).is_absolute() => Ok(Some(value.into())),
        Some(value) => Err(Failure::usage(format!(
            "SKYPIPE_DATA={} is invalid: use an absolute path, or memory",
            value.to_string_lossy()
        ))),
    }
}

/// The home directory of the effective user.
fn home() -> Result<PathBuf, Failure> {
    let user = rustix::process::geteuid().as_raw();
    let said = env::var_os("HOME").filter(|home| !home.is_empty());
    let Some(home) = said.map(PathBuf::from).or_else(|| names::home_of(user)) else {
        return Err(Failure::usage("you have no home directory: set HOME"));
    };
    let fault =
        |what: &str| Failure::usage(format!("your home directory {} {what}", home.display()));
    if !home.is_absolute() {
        return Err(fault("is not an absolute path: set HOME"));
    }
    let found = fs::metadata(&home)
        .map_err(|error| fault(&format!("cannot be used: {}", words(&error))))?;
    if !found.is_dir() {
        return Err(fault("is not a directory"));
    }
    if found.uid() != user {
        return Err(fault("belongs to another user: set HOME to your own"));
    }
    Ok(home)
}

/// The writer's description for readers: `user@host pid N`.
#[must_use]
pub fn label() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| env::var(name).ok());
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::geteuid().as_raw()));
    let pid = std::process::id();
    shortened(&format!("{user}@{host} pid {pid}"), MAX_LABEL)
}

/// The longest prefix of `text` that fits into `limit` bytes, without control characters.
fn shortened(text: &str, limit: usize) -> String {
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > limit {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_cut_between_characters() {
        assert_eq!(shortened("größe", 3), "gr");
        assert_eq!(shortened("größe", 4), "grö");
        assert_eq!(shortened("a\nb", 255), "ab");
        assert!(label().contains(" pid "));
    }
}
