//! The way to a satellite that was deployed.
//!
//! Owns when the platform is asked where it is: not before it has stopped answering at the address that
//! is known, and not often. A new address is remembered. Never asks a person anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use skypipe_broker::keys::token::Token;

use super::record::Deployed;
use super::target::Target;
use super::{Found, State};
use crate::cli::Deploy;
use crate::config::{self, Endpoint, Place};
use crate::link::route::{Curve, Route, Tcp, Way};
use crate::members::join;

/// How long there is at least between two questions to the platform.
const PAUSE: Duration = Duration::from_secs(30);

/// The route to a satellite that was deployed.
#[derive(Debug)]
pub struct Finding {
    deployed: Deployed,
    token: Token,
    curve: Curve,
    /// The way as it is known now, and its place in words.
    way: Mutex<(Endpoint, Tcp)>,
    /// Whether a connection was tried before.
    is_tried: AtomicBool,
    asked: Mutex<Option<Instant>>,
}

impl Finding {
    /// The route to what was deployed, which was last seen at `endpoint`.
    #[must_use]
    pub fn new(deployed: Deployed, endpoint: Endpoint, token: Token, curve: Curve) -> Self {
        let tcp = Tcp::new(endpoint.clone(), Some(curve.clone()));
        Self {
            deployed,
            token,
            curve,
            way: Mutex::new((endpoint, tcp)),
            is_tried: AtomicBool::new(false),
            asked: Mutex::new(None),
        }
    }

    /// Whether the platform is to be asked before the next connection.
    fn is_due(&self) -> bool {
        let asked = *lock(&self.asked);
        self.is_tried.load(Ordering::Relaxed) && asked.is_none_or(|asked| asked.elapsed() >= PAUSE)
    }

    /// Asks the platform where the satellite is. That it cannot be asked is no failure: the satellite
    /// may answer again where it was.
    fn look_up(&self) -> Option<Endpoint> {
        let target = Target::parse(&self.deployed.target).ok()?;
        if !target.is_asked_quietly() {
            return None;
        }
        let mut provider = target
            .provider(&Deploy::default(), Some(&self.deployed.name))
            .ok()?;
        let found = Found {
            name: self.deployed.name.clone(),
            version: None,
            founder: None,
            state: State::Running,
        };
        let told = provider.endpoint(&found).ok()?;
        format!("tcp://{told}").parse().ok()
    }

    /// Goes to another address from now on, and remembers it.
    fn move_to(&self, endpoint: Endpoint) {
        let tcp = Tcp::new(endpoint.clone(), Some(self.curve.clone()));
        let mut token = self.token.clone();
        let shown = endpoint.to_string();
        if let Some((host, port)) = shown.trim_start_matches("tcp://").rsplit_once(':')
            && let Ok(port) = port.parse()
        {
            (token.host, token.port) = (host.to_owned(), port);
            // Only if nobody else has changed it meanwhile.
            let is_ours = matches!(config::joined_satellite(),
                Ok(Some(Place::Invited(_, joined))) if joined.seed == token.seed);
            if is_ours {
                // Without it the next use asks again.
                let _ = join::keep(&token);
            }
        }
        *lock(&self.way) = (endpoint, tcp);
    }
}

impl Route for Finding {
    fn known(&self) -> Option<Way> {
        if self.is_due() {
            return None;
        }
        self.is_tried.store(true, Ordering::Relaxed);
        lock(&self.way).1.known()
    }

    fn find(&self) -> Result<Way, String> {
        if self.is_due() {
            *lock(&self.asked) = Some(Instant::now());
            if let Some(endpoint) = self.look_up()
                && endpoint != lock(&self.way).0
            {
                self.move_to(endpoint);
            }
        }
        lock(&self.way).1.find()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
