//! The flags of `--setup`.
//!
//! This module lists the flags. `Target::host`
//! (`src/provision/target.rs`) refuses those that do not apply to a platform.

use std::path::PathBuf;

use clap::Args;

/// How a satellite is to be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct Deploy {
    /// The port at which the satellite is reached (9000 by default)
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// The organisation of the account at Fly.io
    #[arg(long, value_name = "NAME")]
    pub org: Option<String>,

    /// The app at Fly.io, if there is more than one satellite in the account
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,

    /// The region at Fly.io, such as fra, iad or nrt
    #[arg(long, value_name = "CODE")]
    pub region: Option<String>,

    /// Also get an IPv4 address at Fly.io, which costs about $2 a month there
    #[arg(long)]
    pub ipv4: bool,

    /// Deploy this executable instead of this program: a statically linked skypipe for Linux
    #[arg(long, value_name = "PATH", conflicts_with = "image")]
    pub satellite_binary: Option<PathBuf>,

    /// Deploy this image from a registry instead of this program
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,

    /// With --setup and --reset: print each step on stdout as a line of JSON; with --list, --check and --keys:
    /// print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

impl Deploy {
    /// The flags that were given, as they are written.
    pub(super) fn given(&self) -> Vec<&'static str> {
        super::given([
            (self.port.is_some(), "--port"),
            (self.org.is_some(), "--org"),
            (self.app.is_some(), "--app"),
            (self.region.is_some(), "--region"),
            (self.ipv4, "--ipv4"),
            (self.satellite_binary.is_some(), "--satellite-binary"),
            (self.image.is_some(), "--image"),
        ])
    }
}
