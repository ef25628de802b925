//! A satellite on any Linux host that is reached by ssh.
//!
//! Owns the decisions: what is kept, what is replaced, and what the person is told. [`connection`]
//! runs ssh, and the shell scripts next to this file do the work on the host. No root is needed
//! there, and none is asked for.
//!
//! Everything on the host lies below `$HOME/.local/share/skypipe-satellite`, except the unit by
//! which systemd's user manager starts the satellite. Where there is no such manager, a script
//! keeps the satellite running.

pub mod connection;
pub mod program;
pub mod script;
pub mod seen;
pub mod settings;
pub mod target;
pub mod unit;

use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use skypipe_broker::keys::address::is_host;

use self::connection::{Connection, told};
use self::program::{Program, Started};
use self::script::Script;
use self::seen::Seen;
use self::settings::{Settings, Supervisor, value, values};
pub use self::target::Target;
use super::ssh_program::ssh_program;
use super::{Found, PORT, Plan, Provider, State, Talk, bracketed};
use crate::config::Endpoint;
use crate::exit::Failure;

/// How long this machine tries to reach a listening satellite before it warns about firewalls. A
/// firewall drops packets, so that without this limit an attempt would take minutes.
const REACH: Duration = Duration::from_secs(5);

/// A Linux host that is reached by ssh.
#[derive(Debug)]
pub struct Ssh {
    target: Target,
    program: Option<PathBuf>,
    connection: Option<Connection>,
}

/// The host's name or address, according to the configuration of the user's ssh program.
///
/// # Errors
///
/// When there is no ssh program, or it does not understand its configuration.
pub fn hostname(target: &Target) -> Result<String, Failure> {
    Connection::new(ssh_program()?, target.clone())?.hostname()
}

impl Ssh {
    /// Creates a provider for this host, with the user's own ssh program.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            program: None,
            connection: None,
        }
    }

    /// Creates a provider for this host, with the given ssh program.
    #[must_use]
    pub fn with_program(target: Target, program: PathBuf) -> Self {
        Self {
            program: Some(program),
            ..Self::new(target)
        }
    }

    fn connection(&mut self) -> Result<&Connection, Failure> {
        if self.connection.is_none() {
            let program = self.program.clone().map_or_else(ssh_program, Ok)?;
            self.connection = Some(Connection::new(program, self.target.clone())?);
        }
        let connection = self.connection.as_ref();
        connection.ok_or_else(|| Failure::failed("there is no connection"))
    }

    fn look(&mut self) -> Result<Seen, Failure> {
        let text = self.connection()?.ask(&Script::new(script::LOOK), b"")?;
        let seen = Seen::new(text);
        let system = seen.value("system");
        if !system.starts_with("Linux ") {
            let system = told(system);
            let target = &self.target;
            return Err(Failure::failed(format!(
                "{target} runs {system}: a satellite needs Linux"
            )));
        }
        Ok(seen)
    }

    /// The settings of the satellite to launch. A satellite that was ready once keeps its port and
    /// address unless the plan names others. It always keeps its founder, because its keys know no
    /// other.
    fn intend(&mut self, plan: &Plan, seen: &Seen, program: &str) -> Result<Settings, Failure> {
        let old = Settings::read(&seen.settings);
        let ready = old.as_ref().filter(|_| seen.is_ready());
        let founder = match &old {
            Some(old) if seen.is_ready() || seen.has("founded") => &old.founder,
            _ => &plan.founder,
        };
        let public = match (&plan.public, ready) {
            (Some(public), _) => public.clone(),
            (None, Some(old)) => old.public.clone(),
            (None, None) => self.connection()?.hostname()?,
        };
        let settings = Settings {
            version: plan.version.clone(),
            founder: founder.clone(),
            port: plan.port.or(ready.map(|old| old.port)).unwrap_or(PORT),
            public,
            program: program.to_owned(),
            supervisor: seen.supervisor(),
        };
        if !is_host(&bracketed(&settings.public)) {
            return Err(Failure::usage(format!(
                "{} is no host that others can be told: say another with --public",
                settings.public
            )));
        }
        settings.check()?;
        Ok(settings)
    }

    /// Stores the program on the host, unless it is there already.
    fn store(&mut self, program: &Program, talk: &mut dyn Talk) -> Result<(), Failure> {
        let size = program.bytes.len().to_string();
        let with = |body| {
            let script = Script::new(body).with("name", &program.name);
            script.with("digest", &program.digest).with("size", &size)
        };
        let connection = self.connection()?;
        let text = connection.ask(&with(script::STORED), b"")?;
        if value(&text, "stored").is_some() {
            return Ok(());
        }
        talk.begin("send the program");
        connection.ask(&with(script::RECEIVE), &program.bytes)?;
        talk.done(&program.size());
        Ok(())
    }

    /// Launches the stored program, and returns what the host reported.
    fn change(&mut self, seen: &Seen, settings: &Settings) -> Result<String, Failure> {
        let started = Started::new(seen, settings);
        let script = Script::new(script::CHANGE)
            .with("name", &settings.program)
            .with("port", &settings.port.to_string())
            .with("settings", &settings.text())
            .with("expected", &seen.planned())
            .with("kind", settings.supervisor.name())
            .with("run", &started.run)
            .with("unit_text", &started.unit);
        let old = Settings::read(&seen.settings).filter(|_| seen.is_ready());
        let script = match old {
            None => script.with("old_name", "").with("old_kind", ""),
            Some(old) => {
                let started = Started::new(seen, &old);
                script
                    .with("old_name", &old.program)
                    .with("old_kind", old.supervisor.name())
                    .with("old_port", &old.port.to_string())
                    .with("old_run", &started.run)
                    .with("old_unit", &started.unit)
            }
        };
        let text = self.connection()?.ask(&script, b"")?;
        if value(&text, "ready").is_none() {
            let target = &self.target;
            return Err(Failure::failed(format!(
                "{target}: the launch did not get to its end"
            )));
        }
        Ok(text)
    }

    /// Tells the person who launched the satellite what to know about the host.
    fn tell(
        &mut self,
        text: &str,
        seen: &Seen,
        settings: &Settings,
        talk: &mut dyn Talk,
    ) -> Result<(), Failure> {
        if let Some(words) = value(text, "lingers") {
            talk.say(&format!(
                "the satellite ends when the last login of this account on the host does, as its \
                 systemd refuses to let it linger ({}): an administrator there can allow it with \
                 loginctl enable-linger and the account's name",
                told(words)
            ));
        }
        if settings.supervisor == Supervisor::Script {
            let line = script::crontab_line(&format!("{}/run", seen.value("root")));
            talk.say(&format!(
                "there is no systemd for this account on the host, so that the satellite does not \
                 start with it: this line in the account's crontab (crontab -e) does it: {line}"
            ));
        }
        let endpoint = self.place(settings.port)?;
        if !can_reach(&endpoint) {
            let port = settings.port;
            talk.say(&format!(
                "the satellite listens, but this machine cannot connect to {endpoint}: if there is \
                 a firewall in between (ufw or firewalld on the host, a cloud's security group), \
                 open TCP port {port} in it"
            ));
        }
        Ok(())
    }

    fn place(&mut self, port: u16) -> Result<String, Failure> {
        let host = self.connection()?.hostname()?;
        Ok(format!("{}:{port}", bracketed(&host)))
    }
}

impl Provider for Ssh {
    fn find(&mut self, _talk: &mut dyn Talk) -> Result<Option<Found>, Failure> {
        Ok(self.look()?.found())
    }

    fn launch(
        &mut self,
        plan: &Plan,
        found: Option<&Found>,
        talk: &mut dyn Talk,
    ) -> Result<Found, Failure> {
        if plan.image.is_some() {
            return Err(Failure::usage(
                "--image makes no sense for a host that is reached by ssh: its program is stored \
                 there as it is",
            ));
        }
        let seen = self.look()?;
        let is_another = |there: &Found| there.founder.as_ref() != Some(&plan.founder);
        if found.is_none() && seen.is_ready() && seen.found().as_ref().is_some_and(is_another) {
            return Err(Failure::failed(format!(
                "{}: somebody else has launched a satellite there meanwhile",
                self.target
            )));
        }
        let settings = if let Some(name) = kept(plan, &seen) {
            self.intend(plan, &seen, &name)?
        } else {
            let program = Program::new(plan, &seen)?;
            let settings = self.intend(plan, &seen, &program.name)?;
            self.store(&program, talk)?;
            settings
        };
        talk.begin("start the satellite");
        let text = self.change(&seen, &settings)?;
        talk.done("");
        self.tell(&text, &seen, &settings, talk)?;
        Ok(Found {
            name: seen.value("root").to_owned(),
            version: Some(settings.version),
            founder: Some(settings.founder),
            state: State::Running,
        })
    }

    fn endpoint(&mut self, _found: &Found) -> Result<String, Failure> {
        let seen = self.look()?;
        let settings = Settings::read(&seen.settings).ok_or_else(|| {
            Failure::failed(format!(
                "{}: there is no whole satellite there",
                self.target
            ))
        })?;
        self.place(settings.port)
    }

    fn beside(&mut self, _found: &Found, arguments: &[&str]) -> Result<String, Failure> {
        let script = Script::new(script::BESIDE).arguments(arguments);
        let answer = self.connection()?.run(&script, b"")?;
        let target = &self.target;
        if answer.code != 0 {
            let words = told(&answer.stderr);
            let code = answer.code;
            return Err(Failure::failed(if words.is_empty() {
                format!("{target}: the satellite's program ended with exit code {code}")
            } else {
                format!("{target}: {words}")
            }));
        }
        String::from_utf8(answer.stdout)
            .map_err(|_| Failure::failed(format!("{target}: the satellite's program said no text")))
    }

    fn destroy(&mut self, _found: &Found, talk: &mut dyn Talk) -> Result<(), Failure> {
        talk.begin("end the satellite");
        let text = self.connection()?.ask(&Script::new(script::DESTROY), b"")?;
        let left: Vec<String> = values(&text, "left").map(told).collect();
        for note in values(&text, "note") {
            talk.say(&told(note));
        }
        if !left.is_empty() {
            let left = left.join("; ");
            return Err(Failure::failed(format!(
                "{}: this is left: {left}",
                self.target
            )));
        }
        talk.done("");
        Ok(())
    }
}

/// The program on the host, if it can stay: the plan names none, and the version is the same. A
/// program named once stays, and a restart need not send it again.
fn kept(plan: &Plan, seen: &Seen) -> Option<String> {
    let old = Settings::read(&seen.settings).filter(|_| seen.is_ready())?;
    (plan.binary.is_none() && old.version == plan.version).then_some(old.program)
}

/// Whether the endpoint accepts a connection from this machine.
fn can_reach(endpoint: &str) -> bool {
    let endpoint = format!("tcp://{endpoint}").parse::<Endpoint>().ok();
    let addresses = endpoint.and_then(|endpoint| endpoint.addresses().ok());
    addresses
        .unwrap_or_default()
        .iter()
        .any(|address| TcpStream::connect_timeout(address, REACH).is_ok())
}
