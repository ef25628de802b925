//! The satellite's app: its name, and how it is created.
//!
//! Owns that a launch that was interrupted finds its app again, and never takes the app of another
//! account.

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::account::{Account, AppOwner};
use super::api::{Call, FRESH, TICK};
use super::error::ApiError;
use crate::exit::Failure;
use crate::provision::Console;

/// The prefix of an app's name.
pub const PREFIX: &str = "skypipe-";

/// How many letters follow the prefix.
const LETTERS: usize = 10;

/// The letters of a name: those of base32.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// How many names are tried. There are 2^50 names, so even one that is taken would be a surprise.
const NAMES: usize = 5;

/// How often creating an app of one name is tried, and how often its existence is checked.
const TRIES: u32 = 5;

/// The result of creating an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creation {
    /// The app was created now.
    New,
    /// The app exists already, in this account.
    There,
    /// The app exists in another account.
    Taken,
}

impl Account {
    /// Creates an app with an unused name, and returns the name and whether the app existed before.
    /// The name derives from the owner's key, so that an interrupted launch finds its app again
    /// even if the platform does not list it yet.
    pub fn create_app(
        &mut self,
        org: &str,
        owner: &str,
        console: &mut dyn Console,
    ) -> Result<(String, bool), Failure> {
        console.begin("create an app at Fly.io");
        for number in 0..NAMES {
            let name = name_of(owner, number);
            let created = self.create_named(&name, org);
            let created = created.map_err(|error| error.failure("create an app"))?;
            if created == Creation::Taken {
                continue;
            }
            self.api.created(&name);
            console.done(&name);
            return Ok((name, created == Creation::There));
        }
        Err(Failure::failed(
            "Fly.io calls every name taken that was tried for an app",
        ))
    }

    fn create_named(&mut self, name: &str, org: &str) -> Result<Creation, ApiError> {
        let body = json!({ "name": name, "org_slug": org });
        let mut attempt = 1;
        loop {
            let Err(error) = self.api.send::<Value>(&Call::post("/apps", &body)) else {
                return Ok(Creation::New);
            };
            if error.is_name_taken() {
                return self.taken(name);
            }
            if !error.is_temporary() || attempt == TRIES {
                return Err(error);
            }
            // The app may have been created all the same. If the platform does not know it yet, the
            // next attempt finds the name taken.
            self.env().sleep(TICK * attempt);
            match self.owner_so_far(name)? {
                AppOwner::This => return Ok(Creation::New),
                AppOwner::Other => return Ok(Creation::Taken),
                AppOwner::Nobody => {}
            }
            attempt += 1;
        }
    }

    /// Which account owns an app whose name is taken. The platform may not know an app for a while
    /// after its creation, so this waits for it.
    fn taken(&mut self, name: &str) -> Result<Creation, ApiError> {
        let until = self.env().now() + FRESH;
        loop {
            match self.owner_so_far(name)? {
                AppOwner::This => return Ok(Creation::There),
                AppOwner::Other => return Ok(Creation::Taken),
                AppOwner::Nobody if self.env().now() >= until => return Ok(Creation::Taken),
                AppOwner::Nobody => self.env().sleep(TICK),
            }
        }
    }

    /// Which account owns an app, as far as the platform knows. For a new app it may answer 401 as
    /// well as 404; both mean nobody.
    fn owner_so_far(&mut self, name: &str) -> Result<AppOwner, ApiError> {
        match self.owner(name) {
            Err(error) if error.status() == Some(401) => Ok(AppOwner::Nobody),
            owner => owner,
        }
    }
}

/// The name of the owner's app. Larger numbers give other names, for when a name is taken.
fn name_of(owner: &str, number: usize) -> String {
    let hash = digest(&SHA256, format!("{owner} {number}").as_bytes());
    let letters = hash.as_ref().iter().take(LETTERS);
    let letters = letters.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    PREFIX.chars().chain(letters).collect()
}

/// Whether a launch could have given this name.
pub fn is_our_name(app: &str) -> bool {
    let letters = app.strip_prefix(PREFIX).map(str::as_bytes);
    letters.is_some_and(|letters| {
        letters.len() == LETTERS && letters.iter().all(|letter| ALPHABET.contains(letter))
    })
}
