//! The Fly.io variables of the environment: its addresses, the token, and preferences.
//!
//! Owns their names, which are flyctl's (`internal/config/config.go` in superfly/flyctl).

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::flyctl;
use super::token::Token;
use crate::exit::Failure;
use crate::provision::Console;
use crate::provision::http::keeps_secrets;

const NO_TOKEN: &str =
    "log in with fly auth login, or set FLY_API_TOKEN (fly tokens create org makes a token)";

/// The variables, read once.
#[derive(Clone)]
pub struct Profile {
    /// The base URL of the Machines API.
    pub machines: String,
    /// The base URL of the GraphQL API.
    pub graphql: String,
    /// The base URL of the registry.
    pub registry: String,
    /// The preferred organisation, if any.
    pub org: Option<String>,
    /// The preferred region, if any.
    pub region: Option<String>,
    token: Option<(Zeroizing<String>, &'static str)>,
    /// The program flyctl, if it is installed.
    flyctl: Option<PathBuf>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile")
            .field("machines", &self.machines)
            .finish_non_exhaustive()
    }
}

impl Profile {
    /// Reads the variables. An empty variable counts as unset.
    #[must_use]
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let or = |name: &str, default: &str| get(name).unwrap_or_else(|| default.to_owned());
        let registry = or("FLY_REGISTRY_HOST", "registry.fly.io");
        let has_scheme = registry.starts_with("http://") || registry.starts_with("https://");
        let token = ["FLY_ACCESS_TOKEN", "FLY_API_TOKEN"];
        let token = token
            .into_iter()
            .find_map(|name| Some((Zeroizing::new(get(name)?), name)));
        Self {
            machines: or("FLY_FLAPS_BASE_URL", "https://api.machines.dev"),
            graphql: or("FLY_API_BASE_URL", "https://api.fly.io"),
            registry: if has_scheme {
                registry
            } else {
                format!("https://{registry}")
            },
            org: get("FLY_ORG"),
            region: get("FLY_REGION"),
            token,
            flyctl: flyctl::find(&or("PATH", ""), &or("HOME", "")),
        }
    }

    /// Checks that the token may be sent to the addresses in the environment.
    ///
    /// # Errors
    ///
    /// When the token would go unencrypted to another machine.
    pub fn check(&self) -> Result<(), Failure> {
        let bases = [
            ("FLY_FLAPS_BASE_URL", &self.machines),
            ("FLY_API_BASE_URL", &self.graphql),
            ("FLY_REGISTRY_HOST", &self.registry),
        ];
        match bases.into_iter().find(|(_, base)| !keeps_secrets(base)) {
            None => Ok(()),
            Some((name, base)) => Err(Failure::usage(format!(
                "{name}={base} is refused: your token would go there unencrypted (https:// is taken, and \
                 http:// for this machine itself)"
            ))),
        }
    }

    /// The token: from the environment, else from flyctl, else typed by the person.
    ///
    /// # Errors
    ///
    /// When there is no token, or it is invalid.
    pub fn token(&self, console: Option<&mut dyn Console>) -> Result<Token, Failure> {
        if let Some((text, name)) = &self.token {
            return Token::read(text, name);
        }
        if let Some(text) = self.flyctl.as_deref().and_then(flyctl::token) {
            return Token::read(&text, "flyctl");
        }
        let console = console
            .ok_or_else(|| Failure::usage(format!("Fly.io asks for a token: {NO_TOKEN}")))?;
        let text = console.secret(
            "Token for Fly.io (fly tokens create org makes one)",
            NO_TOKEN,
        )?;
        Token::read(&text, "the terminal")
    }
}
