//! The satellite's program, packed as an image.
//!
//! Owns the choice of the executable to deploy, and the image made from it: one layer with the
//! program as `/skypipe`, without any base image. Never runs or builds a program.

mod archive;
mod elf;
mod layer;
mod registry;

use std::cell::OnceCell;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde_json::json;
use zeroize::Zeroizing;

use crate::exit::Failure;

/// The largest executable that is accepted, in bytes. A release build has 5 MB, a debug build ten
/// times that.
const MAX_EXECUTABLE: u64 = 512 << 20;

/// Media types of Docker's image manifest, version 2, schema 2 (docs.docker.com). Every registry
/// accepts them, and some platforms that run machines from images accept no others.
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// The processors on which a satellite can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `x86_64`, which images call amd64.
    Amd64,
    /// `aarch64`, which images call arm64.
    Arm64,
}

/// An image of one layer: the satellite's program as `/skypipe`, and nothing else.
pub struct Image {
    /// The configuration. Its digest is the image's identity in engines.
    config: Vec<u8>,
    /// The uncompressed layer, as engines load it.
    layer: Vec<u8>,
    /// What only registries need, once it is needed: compressing takes a second.
    pushed: OnceCell<Pushed>,
}

/// What registries store of an image, beside its configuration.
struct Pushed {
    /// The manifest. Its digest is the image's identity in registries.
    manifest: Vec<u8>,
    /// The compressed layer.
    layer: Vec<u8>,
}

/// A registry, with the credentials for it.
pub struct Registry {
    /// The base URL, such as `https://registry.fly.io`, or `http://` for a registry on this
    /// machine.
    pub base: String,
    /// The user name.
    pub user: String,
    /// The password. It appears in no output.
    pub password: Zeroizing<String>,
}

impl Architecture {
    /// Parses the name of a processor as platforms and `uname -m` report it: amd64, `x86_64`,
    /// arm64, aarch64.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        match text.trim() {
            "amd64" | "x86_64" => Some(Self::Amd64),
            "arm64" | "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// The processor's name in images.
    fn in_images(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// The bytes of an executable that can run as a satellite on such a machine: `binary` if one is
/// given, else this program. The executable is checked: ELF, 64 bits, Linux, that processor,
/// static, complete.
///
/// # Errors
///
/// When the file cannot be read or fails a check. The sentence says what to do.
pub fn satellite(binary: Option<&Path>, target: Architecture) -> Result<Vec<u8>, Failure> {
    let (name, read) = match binary {
        Some(path) => (path.display().to_string(), executable(path)),
        None => (
            "this program".to_owned(),
            own_path().and_then(|path| executable(&path)),
        ),
    };
    let refuse = |obstacle: &str| {
        let sentence = elf::refusal(&name, obstacle, target);
        if binary.is_some() {
            Failure::usage(sentence)
        } else {
            Failure::failed(sentence)
        }
    };
    let bytes = read.map_err(|error| refuse(&format!("cannot be read ({error})")))?;
    match elf::obstacle(&bytes, target) {
        None => Ok(bytes),
        Some(obstacle) => Err(refuse(&obstacle)),
    }
}

/// The path of this program. On Linux the path leads to the very file that runs, even if that file
/// was replaced or removed since.
fn own_path() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok("/proc/self/exe".into())
    } else {
        std::env::current_exe()
    }
}

fn executable(path: &Path) -> io::Result<Vec<u8>> {
    // Opening must not block: a named pipe at this path would never open.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    bounded(&file, MAX_EXECUTABLE)
}

fn bounded(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        return Ok(bytes);
    }
    Err(io::Error::other(format!(
        "it has more than {} MiB",
        limit >> 20
    )))
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Image").field(&self.id()).finish()
    }
}

impl Image {
    /// Packs an executable. The same executable always gives the same image: nothing in the image
    /// tells when, where or by whom it was packed.
    #[must_use]
    pub fn pack(executable: &[u8], architecture: Architecture) -> Self {
        let layer = layer::tar(executable);
        let config = config(&digest(&layer), architecture).into_bytes();
        Self {
            config,
            layer,
            pushed: OnceCell::new(),
        }
    }

    /// The digest of the configuration, `sha256:…`: the image's identity in engines.
    #[must_use]
    pub fn id(&self) -> String {
        digest(&self.config)
    }

    /// The digest of the manifest, `sha256:…`: the image's identity in registries.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(&self.pushed().manifest)
    }

    /// The most bytes that a push transfers.
    #[must_use]
    pub fn size(&self) -> usize {
        let pushed = self.pushed();
        pushed.layer.len() + self.config.len() + pushed.manifest.len()
    }

    /// What registries store.
    fn pushed(&self) -> &Pushed {
        self.pushed.get_or_init(|| {
            let layer = layer::gzip(&self.layer);
            let blob = |kind, bytes: &[u8]| json!({ "mediaType": kind, "size": bytes.len(), "digest": digest(bytes) });
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": blob(CONFIG, &self.config),
                "layers": [blob(LAYER, &layer)],
            });
            let manifest = manifest.to_string().into_bytes();
            Pushed { manifest, layer }
        })
    }

    /// The image as a docker-archive, as `docker load` reads it. `name` is the image's name, such as
    /// `skypipe-satellite:1.0.0`.
    #[must_use]
    pub fn docker_archive(&self, name: &str) -> Vec<u8> {
        archive::pack(&self.config, &self.layer, name)
    }

    /// Pushes the image to a registry by the distribution API. The tag has 1 to 128 letters,
    /// digits, dots, dashes and underscores. Returns `HOST/REPOSITORY@sha256:…`, by which the image
    /// can be pulled. A repeated push sends only what is missing.
    ///
    /// # Errors
    ///
    /// When the registry refuses, with the registry's own words, or cannot be reached.
    pub fn push(
        &self,
        registry: &Registry,
        repository: &str,
        tag: &str,
    ) -> Result<String, Failure> {
        registry::push(self, registry, repository, tag)
    }
}

/// The image's configuration, as Docker's image specification 1.2 defines it. It declares no
/// volume: wherever none is mounted, the engine would make a declared volume without a name, and
/// the data in it would be lost unnoticed with the container.
fn config(diff_id: &str, architecture: Architecture) -> String {
    // The specification counts nanoseconds.
    let second: u64 = 1_000_000_000;
    let config = json!({
        "architecture": architecture.in_images(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/skypipe"],
            "ExposedPorts": { format!("{}/tcp", super::PORT): {} },
            "WorkingDir": "/",
            "Healthcheck": {
                "Test": ["CMD", "/skypipe", "--check", "--data", "/data"],
                "Interval": 60 * second, "Timeout": 20 * second, "StartPeriod": 60 * second, "Retries": 3,
            },
            "Labels": { "org.opencontainers.image.title": "skypipe satellite" },
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "skypipe --setup" }],
    });
    config.to_string()
}

/// The digest of these bytes, `sha256:…`.
fn digest(bytes: &[u8]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    hash.as_ref()
        .iter()
        .fold("sha256:".to_owned(), |text, byte| {
            text + &format!("{byte:02x}")
        })
}

#[cfg(test)]
mod tests;
