//! The way to a satellite that was deployed.
//!
//! Owns when the platform is asked where it is: not before it has stopped answering at the address that
//! is known, and not often; nobody waits for its answer. A new address is remembered once the satellite there has
//! proved its key: what a platform says, and whoever accepts connections, may be wrong. Never asks a person
//! anything.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use skypipe_broker::keys::address::Transport;
use skypipe_broker::keys::token::Token;

use super::record::Deployed;
use super::target::Target;
use super::{Found, State};
use crate::access::join;
use crate::cli::Deploy;
use crate::config::{self, Endpoint, Place};
use crate::link::route::{Keys, Route, Tcp, Way};

/// How long there is at least between two questions to the platform.
const PAUSE: Duration = Duration::from_secs(30);

/// How long a new address may take to accept a connection before it is believed.
const ANSWER: Duration = Duration::from_secs(2);

/// The route to a satellite that was deployed.
#[derive(Debug)]
pub struct Finding(Arc<Known>);

/// What is known of the way, which a thread that asks the platform may change.
#[derive(Debug)]
struct Known {
    deployed: Deployed,
    token: Token,
    keys: Keys,
    /// The way as it is known now, and its place in words.
    way: Mutex<(Endpoint, Tcp)>,
    /// The address to remember once the satellite there has proved its key.
    unproved: Mutex<Option<Endpoint>>,
    /// Whether a connection was tried before.
    is_tried: AtomicBool,
    question: Mutex<Question>,
}

/// How it stands with the platform's answer.
#[derive(Debug, Clone, Copy)]
enum Question {
    Unasked,
    Asking,
    /// Since then.
    Answered(Instant),
}

impl Finding {
    /// The route to what was deployed, which was last seen at `endpoint`.
    #[must_use]
    pub fn new(deployed: Deployed, endpoint: Endpoint, token: Token, keys: Keys) -> Self {
        let tcp = route(&endpoint, &keys);
        Self(Arc::new(Known {
            deployed,
            token,
            keys,
            way: Mutex::new((endpoint, tcp)),
            unproved: Mutex::new(None),
            is_tried: AtomicBool::new(false),
            question: Mutex::new(Question::Unasked),
        }))
    }

    /// Has the platform asked if that is due. Nobody waits for it: the satellite may answer again where
    /// it was, and the platform may be slower than that.
    fn ask(&self) {
        let mut question = lock(&self.0.question);
        let is_due = match *question {
            Question::Unasked => true,
            Question::Asking => false,
            Question::Answered(at) => at.elapsed() >= PAUSE,
        };
        if !is_due {
            return;
        }
        let known = self.0.clone();
        let asking = thread::Builder::new().name("platform".to_owned());
        if asking.spawn(move || known.find_out()).is_ok() {
            *question = Question::Asking;
        }
    }
}

impl Known {
    /// Asks the platform, and goes where it says from now on, if somebody answers there. An address at
    /// which something is in front of the satellite is the user's own, and the platform does not know it.
    fn find_out(&self) {
        let is_platforms = lock(&self.way).0.transport == Transport::Tcp;
        if is_platforms
            && let Some(endpoint) = self.look_up()
            && endpoint != lock(&self.way).0
            && answers(&endpoint, &self.keys)
        {
            self.move_to(endpoint);
        }
        *lock(&self.question) = Question::Answered(Instant::now());
    }

    /// Where the platform says that the satellite is. That it cannot be asked is no failure.
    fn look_up(&self) -> Option<Endpoint> {
        let target = Target::parse(&self.deployed.target).ok()?;
        if !target.is_asked_quietly() {
            return None;
        }
        let name = Some(self.deployed.name.as_str());
        let mut provider = target.provider(&Deploy::default(), name).ok()?;
        let found = Found {
            name: self.deployed.name.clone(),
            version: None,
            founder: None,
            state: State::Running,
        };
        let told = provider.endpoint(&found).ok()?;
        format!("tcp://{told}").parse().ok()
    }

    /// Goes to another address from now on, for as long as this program runs.
    fn move_to(&self, endpoint: Endpoint) {
        let tcp = route(&endpoint, &self.keys);
        *lock(&self.unproved) = Some(endpoint.clone());
        *lock(&self.way) = (endpoint, tcp);
    }

    /// Remembers an address, unless somebody else has changed meanwhile what this machine has joined.
    fn remember(&self, endpoint: &Endpoint) {
        let mut token = self.token.clone();
        let Ok(address) = endpoint.to_string().trim_start_matches("tcp://").parse() else {
            return;
        };
        token.address = address;
        let is_ours = matches!(config::joined_satellite(),
            Ok(Some(Place::Invited(_, joined))) if joined.seed == token.seed);
        if is_ours {
            // Without it the next use asks again.
            let _ = join::keep(&token);
        }
    }
}

fn route(endpoint: &Endpoint, keys: &Keys) -> Tcp {
    // The environment was looked at when the program began, and says the same for each host.
    let proxy = config::proxy(endpoint).unwrap_or_default();
    Tcp::new(endpoint.clone(), proxy, Some(keys.clone()))
}

/// Whether somebody accepts connections there, through the proxy if there is one.
fn answers(endpoint: &Endpoint, keys: &Keys) -> bool {
    let known = route(endpoint, keys).known();
    if let Some(tunnel) = known.and_then(|way| way.tunnel) {
        return tunnel.open().is_ok();
    }
    let addresses = endpoint.addresses().unwrap_or_default();
    addresses
        .iter()
        .any(|address| TcpStream::connect_timeout(address, ANSWER).is_ok())
}

impl Route for Finding {
    /// Each connection begins here.
    fn known(&self) -> Option<Way> {
        if self.0.is_tried.swap(true, Ordering::Relaxed) {
            self.ask();
        }
        lock(&self.0.way).1.known()
    }

    fn find(&self) -> Result<Vec<Way>, String> {
        lock(&self.0.way).1.find()
    }

    fn proved(&self, name: &str) {
        let mut unproved = lock(&self.0.unproved);
        if let Some(endpoint) = unproved.take_if(|endpoint| endpoint.to_string() == name) {
            self.0.remember(&endpoint);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use skypipe_broker::keys::address::Address;
    use skypipe_broker::keys::secret::Secret;
    use skypipe_broker::keys::seed::Seed;
    use skypipe_broker::keys::token::Kind;
    use zeroize::Zeroizing;

    use super::*;

    fn finding(endpoint: &str) -> Finding {
        let seed = Seed::new(Secret::from(Zeroizing::new([7; 32])));
        let token = Token {
            address: Address::tcp("sky", 9000),
            kind: Kind::Phrase,
            satellite: [1; 32],
            seed: seed.clone(),
            expires: None,
        };
        let keys = Keys {
            satellite: [1; 32],
            identity: seed.identity(),
        };
        let deployed = Deployed {
            target: "docker+unix:///nowhere/engine".to_owned(),
            name: "sky".to_owned(),
            founder: None,
        };
        let endpoint = endpoint.parse().expect("it is one");
        Finding::new(deployed, endpoint, token, keys)
    }

    fn is_unasked(finding: &Finding) -> bool {
        matches!(*lock(&finding.0.question), Question::Unasked)
    }

    #[test]
    fn the_platform_is_not_asked_before_a_connection_has_failed() {
        for endpoint in ["tcp://127.0.0.1:9000", "tcp://localhost:9000"] {
            let finding = finding(endpoint);
            let is_known = finding.known().is_some();
            assert_eq!(is_known, endpoint.contains("127"));
            finding.find().expect("loopback has a name");
            assert!(is_unasked(&finding), "{endpoint}");
            finding.known();
            assert!(!is_unasked(&finding), "{endpoint}");
            finding.find().expect("what is known is still good");
        }
    }
}
