//! The satellite that this machine uses before a set-up, and what that forbids.
//!
//! Owns the refusals: a satellite that is not this machine's is neither used nor changed. Never
//! launches anything.

use skypipe_protocol::public_keys::PublicKeys;
use skypipe_protocol::seed::Seed;
use skypipe_protocol::token::Token;

use crate::access::enroll::Enrolled;
use crate::config::{self, Place};
use crate::exit::Failure;
use crate::provision::record::{self, Deployed};
use crate::provision::target::Target;
use crate::provision::{Found, Host, State};

/// The satellite that this machine uses before it is set up.
pub(super) enum Joined {
    /// The machine's own satellite.
    None,
    /// A satellite that was deployed by this or another machine.
    Deployed(Deployed, Box<Token>),
    /// A satellite to which this machine was invited.
    Invited(Place, Box<Token>),
}

impl Joined {
    pub(super) fn here() -> Result<Self, Failure> {
        let Some(place) = config::joined_satellite()? else {
            return Ok(Self::None);
        };
        let Place::Invited(_, token) = &place else {
            return Ok(Self::None);
        };
        let token = token.clone();
        Ok(match record::deployed()? {
            Some(deployed) => Self::Deployed(deployed, token),
            None => Self::Invited(place, token),
        })
    }

    /// Refuses a set-up at another target than the current one. A machine has one satellite, and
    /// changing it must be deliberate.
    pub(super) fn refuse_another(&self, target: &Target, app: Option<&str>) -> Result<(), Failure> {
        let is_other = |deployed: &Deployed| {
            deployed.target != target.to_string() || app.is_some_and(|app| app != deployed.name)
        };
        match self {
            Self::Deployed(deployed, _) if is_other(deployed) => Err(Failure::failed(format!(
                "this machine uses the satellite that was set up at {} ({}); to forget it: skypipe --leave; \
                 to remove it: skypipe --reset",
                deployed.target, deployed.name
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses a satellite at the target that is not the one this machine uses, if it uses one.
    /// This machine's key would be useless there, and what belongs to others must not be touched.
    pub(super) fn refuse_what_is_not_ours(
        &self,
        found: Option<&Found>,
        target: &Target,
        host: &mut dyn Host,
    ) -> Result<(), Failure> {
        match (self, found) {
            (Self::Invited(place, _), None) => Err(Failure::failed(format!(
                "this machine has joined the satellite at {place}, which is not at {target}; to forget it: \
                 skypipe --leave"
            ))),
            (Self::Deployed(deployed, _), None) => Err(Failure::failed(format!(
                "the satellite that this machine uses, {}, is not at {target} any more; to forget it: skypipe \
                 --leave; after that, --setup puts another one there",
                deployed.name
            ))),
            (Self::Deployed(deployed, _), Some(found)) if !deployed.is(found) => {
                Err(Failure::failed(format!(
                    "the satellite that this machine used at {target} is gone, and another one is there; to \
                     forget the old one: skypipe --leave; after that, --setup uses the other"
                )))
            }
            (Self::Invited(_, token), Some(found)) if found.state == State::Running => {
                let told = enrolled(host, found, &token.seed)?;
                self.refuse_other_key(&told)
            }
            (Self::Invited(place, token), Some(found)) if !is_owner(found, &token.seed) => {
                Err(Failure::failed(format!(
                    "this machine has joined the satellite at {place}; the one at {target} does not run, so that \
                     it cannot be told whether it is the same: start it from the machine that set it up"
                )))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn refuse_other_key(&self, told: &Enrolled) -> Result<(), Failure> {
        match self.token() {
            Some(token) if token.satellite != told.satellite.0 => {
                Err(Failure::failed(match self {
                    Self::Deployed(..) => {
                        "the satellite there has another key than it had, so it has lost its data; to remove it: \
                         skypipe --reset; after that, --setup starts over"
                    }
                    Self::None | Self::Invited(..) => {
                        "this machine has joined another satellite already; to forget it: skypipe --leave"
                    }
                }))
            }
            _ => Ok(()),
        }
    }

    /// The owner of the satellite in use, if it is known.
    pub(super) fn owner(&self) -> Option<&str> {
        match self {
            Self::Deployed(deployed, _) => deployed.owner.as_deref(),
            Self::None | Self::Invited(..) => None,
        }
    }

    /// The satellite's name on its platform, if a deployed one is in use.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Deployed(deployed, _) => Some(&deployed.name),
            Self::None | Self::Invited(..) => None,
        }
    }

    pub(super) fn token(&self) -> Option<&Token> {
        match self {
            Self::Deployed(_, token) | Self::Invited(_, token) => Some(token),
            Self::None => None,
        }
    }

    /// The seed of this machine's key at the target: the existing one, or the one that a set-up
    /// will use.
    pub(super) fn seed(&self, target: &Target) -> Result<Seed, Failure> {
        match self.token() {
            Some(token) => Ok(token.seed.clone()),
            None => record::seed(&target.to_string()),
        }
    }
}

/// Queries next to the satellite whether the machine with this seed is enrolled.
pub(super) fn enrolled(
    host: &mut dyn Host,
    found: &Found,
    seed: &Seed,
) -> Result<Enrolled, Failure> {
    // A key may begin with a dash. The `=` keeps it from being read as a flag.
    let key = format!("--for={}", PublicKeys::of(seed));
    Enrolled::parse(&host.exec(found, &["--keys", &key])?)
}

/// Whether the machine with this seed owns the satellite.
pub(super) fn is_owner(found: &Found, seed: &Seed) -> bool {
    found.owner.as_deref() == Some(&PublicKeys::of(seed).to_string())
}
