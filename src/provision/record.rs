//! What this machine remembers of deployments.
//!
//! Owns two files below the home directory. `deployed` says where the satellite that this machine
//! uses was deployed; it holds no secret. `seeds` holds, for each target, the seed of this
//! machine's key. The seed is kept from before the satellite gets its key until the machine is
//! enrolled. So an interrupted set-up continues with the same key, and the owner of a satellite
//! stays its owner.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use skypipe_protocol::secret::{LENGTH, Secret};
use skypipe_protocol::seed::Seed;
use zeroize::Zeroizing;

use super::Found;
use crate::exit::Failure;
use crate::report::words;
use crate::system::random;
use crate::{config, private_file};

/// The longest file of either kind, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// Where the satellite that this machine uses was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The target, as `--setup` takes it.
    pub target: String,
    /// The satellite's name on its platform.
    pub name: String,
    /// The owner in the satellite's metadata. No other satellite at that target has the same
    /// owner.
    pub owner: Option<String>,
}

impl Deployed {
    /// Whether `found` is this satellite and not another one in its place. The owner decides,
    /// because one key never owns two satellites. If no owner is known, as when a launch
    /// has just begun, the name decides.
    #[must_use]
    pub fn is(&self, found: &Found) -> bool {
        match (&self.owner, &found.owner) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.name == found.name,
        }
    }
}

/// A lock against other processes of this user that set up or destroy satellites. Dropping it
/// unlocks.
#[derive(Debug)]
pub struct Lock {
    _directory: File,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    ///
    /// When another process has the lock, or the directory cannot be made.
    pub fn take() -> Result<Self, Failure> {
        let path = config::deployed()?;
        let directory = path.parent().unwrap_or(Path::new("."));
        let taken = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .and_then(|()| File::open(directory));
        let taken = taken.map_err(|error| fault(directory, &words(&error)))?;
        match flock(&taken, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _directory: taken }),
            Err(Errno::WOULDBLOCK) => Err(Failure::failed(
                "another skypipe --setup or --reset is already running on this machine",
            )),
            Err(error) => Err(fault(directory, &words(&error.into()))),
        }
    }
}

/// Where the satellite that this machine uses was deployed; `None` if it was not deployed.
///
/// # Errors
///
/// When the file cannot be read, or is invalid.
pub fn deployed() -> Result<Option<Deployed>, Failure> {
    read(&config::deployed()?)
}

/// Saves where the satellite was deployed.
///
/// # Errors
///
/// When the file cannot be written.
pub fn remember(deployed: &Deployed) -> Result<(), Failure> {
    write(&config::deployed()?, deployed)
}

/// Removes the record of the deployment.
///
/// # Errors
///
/// When the file cannot be removed.
pub fn forget() -> Result<(), Failure> {
    let path = config::deployed()?;
    private_file::remove(&path).map_err(|error| fault(&path, &words(&error)))?;
    Ok(())
}

type Seeds = BTreeMap<String, Zeroizing<String>>;

/// The seed of this machine's key for the satellite of `target`: the seed of an interrupted set-up,
/// or a new one. The seed is on disk when this returns.
///
/// # Errors
///
/// When the seed cannot be saved.
pub fn seed(target: &str) -> Result<Seed, Failure> {
    let path = config::seeds()?;
    let mut seeds: Seeds = read(&path)?.unwrap_or_default();
    if let Some(seed) = seeds.get(target).and_then(|text| decoded(text)) {
        return Ok(seed);
    }
    let seed = Seed::new(random());
    let text = Base64UrlUnpadded::encode_string(seed.secret().as_bytes());
    seeds.insert(target.to_owned(), Zeroizing::new(text));
    write(&path, &seeds)?;
    Ok(seed)
}

/// Removes the seed for the satellite of `target`. By now the seed is in the invitation, or of no
/// use.
///
/// # Errors
///
/// When the seed cannot be removed.
pub fn forget_seed(target: &str) -> Result<(), Failure> {
    let path = config::seeds()?;
    let mut seeds: Seeds = read(&path)?.unwrap_or_default();
    if seeds.remove(target).is_none() {
        return Ok(());
    }
    if seeds.is_empty() {
        private_file::remove(&path).map_err(|error| fault(&path, &words(&error)))?;
        return Ok(());
    }
    write(&path, &seeds)
}

fn decoded(text: &str) -> Option<Seed> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    let length = Base64UrlUnpadded::decode(text, &mut *bytes).ok()?.len();
    (length == LENGTH).then(|| Seed::new(Secret::from(bytes)))
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, Failure> {
    let text = private_file::read(path, MAX_FILE).map_err(|error| fault(path, &words(&error)))?;
    let Some(text) = text else {
        return Ok(None);
    };
    let read = serde_json::from_str(&text);
    // The parser's message is dropped because it could quote what it read.
    read.map(Some)
        .map_err(|_| fault(path, "it is invalid; to start over, remove it"))
}

fn write<T: Serialize>(path: &Path, content: &T) -> Result<(), Failure> {
    let mut text = Zeroizing::new(Vec::with_capacity(4096));
    serde_json::to_writer_pretty(&mut *text, content)
        .map_err(|error| fault(path, &error.to_string()))?;
    private_file::replace(path, &text).map_err(|error| fault(path, &words(&error)))
}

fn fault(path: &Path, why: &str) -> Failure {
    Failure::failed(format!("{}: {why}", path.display()))
}
