//! A person at the terminal, or nobody; a clock that needs no real time; and access to the
//! provider.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use skypipe::exit::Failure;
use skypipe::provision::fly::{Env, Fly, Options, Profile};
use skypipe::provision::{Choice, Console, Plan};
use zeroize::Zeroizing;

use crate::fly_api::executable;
use crate::fly_api::platform::Platform;

/// The messages and questions so far, and the answers to give.
#[derive(Default)]
pub struct Person {
    pub confirms: Option<bool>,
    pub secret: Option<&'static str>,
    pub picks: Vec<&'static str>,
    pub said: Vec<String>,
    pub asked: Vec<String>,
}

impl Console for Person {
    fn begin(&mut self, _step: &str) {}

    fn done(&mut self, _detail: &str) {}

    fn say(&mut self, sentence: &str) {
        self.said.push(sentence.to_owned());
    }

    fn choose(&mut self, question: &str, choices: &[Choice], flag: &str) -> Result<usize, Failure> {
        self.asked.push(question.to_owned());
        let pick = self
            .picks
            .iter()
            .find_map(|pick| choices.iter().position(|choice| choice.name == *pick));
        pick.ok_or_else(|| Failure::usage(format!("say {flag}")))
    }

    fn text(&mut self, question: &str, flag: &str) -> Result<String, Failure> {
        self.asked.push(question.to_owned());
        Err(Failure::usage(format!("say {flag}")))
    }

    fn confirm(&mut self, question: &str) -> Result<Option<bool>, Failure> {
        self.asked.push(question.to_owned());
        Ok(self.confirms)
    }

    fn secret(&mut self, question: &str, instead: &str) -> Result<Zeroizing<String>, Failure> {
        self.asked.push(question.to_owned());
        let secret = self.secret.ok_or_else(|| Failure::usage(instead))?;
        Ok(Zeroizing::new(secret.to_owned()))
    }
}

/// A clock that moves only when somebody sleeps, and the routes of a machine.
pub struct Fast {
    origin: Instant,
    seconds: Arc<AtomicU64>,
    pub sleeps: Rc<RefCell<Vec<Duration>>>,
    ipv6: bool,
}

impl Env for Fast {
    fn now(&self) -> Instant {
        self.origin + Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    fn sleep(&self, span: Duration) {
        self.seconds.fetch_add(span.as_secs(), Ordering::SeqCst);
        self.sleeps.borrow_mut().push(span);
    }

    fn has_route(&self, address: IpAddr) -> bool {
        address.is_ipv4() || self.ipv6
    }
}

pub const TOKEN: &str = "fm2_secretsecret";

/// The provider, for one run of the program.
pub struct Run<'a> {
    pub platform: &'a Platform,
    pub options: Options,
    pub environment: Vec<(&'static str, String)>,
    pub ipv6: bool,
    pub sleeps: Rc<RefCell<Vec<Duration>>>,
}

impl<'a> Run<'a> {
    pub fn new(platform: &'a Platform) -> Self {
        let environment = vec![
            ("FLY_API_TOKEN", TOKEN.to_owned()),
            ("FLY_REGION", "ams".to_owned()),
        ];
        Self {
            platform,
            options: Options::default(),
            environment,
            ipv6: true,
            sleeps: Rc::default(),
        }
    }

    pub fn set(mut self, name: &'static str, value: &str) -> Self {
        self.environment.retain(|(other, _)| *other != name);
        self.environment.push((name, value.to_owned()));
        self
    }

    pub fn fly(&self) -> Fly {
        let url = self.platform.url.as_str();
        let settings = Profile::read(&|name| match name {
            "FLY_FLAPS_BASE_URL" | "FLY_API_BASE_URL" | "FLY_REGISTRY_HOST" => Some(url.to_owned()),
            _ => self
                .environment
                .iter()
                .find(|(other, _)| *other == name)
                .map(|(_, value)| value.clone()),
        });
        let around = Fast {
            origin: Instant::now(),
            seconds: self.platform.clock.clone(),
            sleeps: self.sleeps.clone(),
            ipv6: self.ipv6,
        };
        Fly::with(self.options.clone(), settings, Box::new(around))
    }
}

pub fn plan() -> Plan {
    Plan {
        version: "1.0.0".to_owned(),
        owner: "ownerkey".to_owned(),
        port: None,
        public: None,
        binary: Some(executable::file("program")),
        image: None,
    }
}
