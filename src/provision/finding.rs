//! The route to a deployed satellite, which may change its address.
//!
//! Owns when to ask the platform for the address: only after the satellite has stopped answering at
//! the known address, and at most once per `PAUSE`. Nobody waits for the platform's answer. A new
//! address is remembered only after the satellite there has proved its key, because the platform
//! may be wrong and anybody may accept connections. Never asks a person anything.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use skypipe_protocol::address::Transport;
use skypipe_protocol::token::Token;

use super::record::Deployed;
use super::target::Target;
use super::{Found, State};
use crate::cli::Deploy;
use crate::config::{self, Endpoint, Place};
use crate::joined;
use crate::link::route::{Keys, Route, Tcp, Way};

/// The shortest time between two queries to the platform.
const PAUSE: Duration = Duration::from_secs(30);

/// How long a new address may take to accept a connection. An address that takes longer is not
/// used.
const ANSWER: Duration = Duration::from_secs(2);

/// The route to a deployed satellite.
#[derive(Debug)]
pub struct Finding(Arc<Known>);

/// What is known about the route. The thread that queries the platform may change it.
#[derive(Debug)]
struct Known {
    deployed: Deployed,
    token: Token,
    keys: Keys,
    /// The current route, with the address as text for people.
    way: Mutex<(Endpoint, Tcp)>,
    /// The address to remember once the satellite there has proved its key.
    unproved: Mutex<Option<Endpoint>>,
    is_tried: AtomicBool,
    question: Mutex<Question>,
}

/// The state of the query to the platform.
#[derive(Debug, Clone, Copy)]
enum Question {
    Unasked,
    Asking,
    /// The platform answered at this time.
    Answered(Instant),
}

impl Finding {
    /// Creates the route to a deployed satellite that was last seen at `endpoint`.
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

    /// Starts a query to the platform if one is due. Nobody waits for the result: the satellite may
    /// come back at its old address, and the platform may be slower than that.
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
    /// Queries the platform, and switches to the address that it reports if somebody accepts
    /// connections there. Does nothing if the known address is that of a front such as a web
    /// server: the user set that up, and the platform does not know it.
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

    /// The satellite's address according to the platform. A platform that cannot be queried yields
    /// `None`.
    fn look_up(&self) -> Option<Endpoint> {
        let target = Target::recorded(&self.deployed.target).ok()?;
        if !target.is_asked_quietly() {
            return None;
        }
        let name = Some(self.deployed.name.as_str());
        let mut host = target.host(&Deploy::default(), name).ok()?;
        let found = Found {
            name: self.deployed.name.clone(),
            version: None,
            owner: None,
            state: State::Running,
        };
        let told = host.endpoint(&found).ok()?;
        format!("tcp://{told}").parse().ok()
    }

    /// Switches to another address for as long as this program runs.
    fn move_to(&self, endpoint: Endpoint) {
        let tcp = route(&endpoint, &self.keys);
        *lock(&self.unproved) = Some(endpoint.clone());
        *lock(&self.way) = (endpoint, tcp);
    }

    /// Saves an address on disk, unless another process has meanwhile changed which satellite this
    /// machine uses.
    fn remember(&self, endpoint: &Endpoint) {
        let mut token = self.token.clone();
        let Ok(address) = endpoint.to_string().trim_start_matches("tcp://").parse() else {
            return;
        };
        token.address = address;
        let is_ours = matches!(config::joined_satellite(),
            Ok(Some(Place::Invited(_, joined))) if joined.seed == token.seed);
        if is_ours {
            // If saving fails, the next use queries the platform again.
            let _ = joined::keep(&token);
        }
    }
}

fn route(endpoint: &Endpoint, keys: &Keys) -> Tcp {
    // The environment was checked when the program began, and the proxy setting is valid for every
    // host.
    let proxy = config::proxy(endpoint).unwrap_or_default();
    Tcp::new(endpoint.clone(), proxy, Some(keys.clone()))
}

/// Whether somebody accepts connections at the address, through the proxy if there is one.
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
    /// The current route. Every attempt to connect calls this first. From the second attempt on, the
    /// satellite has stopped answering, so this also starts a query to the platform.
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
    use skypipe_protocol::address::Address;
    use skypipe_protocol::secret::Secret;
    use skypipe_protocol::seed::Seed;
    use skypipe_protocol::token::Kind;
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
            owner: None,
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
