//! A satellite on any Linux host that is reached by ssh.
//!
//! Owns the decisions: what is kept, what is replaced, and what the person is told. [`connection`]
//! runs ssh, and the shell scripts next to this file do the work on the host. No root is needed
//! there, and none is asked for.
//!
//! Everything on the host lies below `$HOME/.local/share/skypipe-satellite`, except the unit by
//! which systemd's user manager starts the satellite. Where there is no such manager, a script
//! keeps the satellite running.

mod connection;
mod look;
mod program;
mod record;
pub mod script;
pub mod target;
pub mod unit;

use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use self::connection::Connection;
use self::look::Look;
use self::program::Stored;
use self::record::{Record, Supervisor, value, values};
use self::script::Script;
pub use self::target::Target;
use super::host::{Found, Host, RunError};
use super::image::Architecture;
use super::plan::Existing;
use super::plan::{Program, Settings, check_public};
use super::quote::quote;
use super::ssh_program::ssh_program;
use super::{Console, bracketed, megabytes};
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
    /// What [`Host::inspect`] saw.
    look: Look,
    /// The host that others are told, which [`Host::prepare`] checked.
    public: String,
    /// How the host's own try to put the former satellite back ended, if there was one.
    back: Option<Result<(), String>>,
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
    /// A host that is reached by the user's own ssh program.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            program: None,
            connection: None,
            look: Look::default(),
            public: String::new(),
            back: None,
        }
    }

    /// A host that is reached by this ssh program.
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

    fn look(&mut self) -> Result<Look, Failure> {
        let text = self.connection()?.ask(&Script::new(script::LOOK), b"")?;
        Look::read(text).map_err(|what| Failure::failed(format!("{} {what}", self.target)))
    }

    /// Makes the satellite what the record says, and returns what the host reported.
    fn change(&mut self, record: &Record) -> Result<String, RunError> {
        let look = &self.look;
        let former = look.ready();
        let of_former =
            |field: &dyn Fn(&Record) -> String| former.as_ref().map_or_else(String::new, field);
        let script = Script::new(script::CHANGE)
            .with("name", &record.settings.program)
            .with("port", &record.settings.port.to_string())
            .with("settings", &record.text())
            .with("expected", &look.planned())
            .with("kind", record.supervisor.name())
            .with(
                "starter",
                &record.starter(look.root(), &look.listen(record.settings.port)),
            )
            .with("former_name", &of_former(&|it| it.settings.program.clone()))
            .with(
                "former_port",
                &of_former(&|it| it.settings.port.to_string()),
            )
            .with(
                "former_starter",
                &of_former(&|it| it.starter(look.root(), &look.listen(it.settings.port))),
            );
        let text = self.connection()?.ask(&script, b"")?;
        let target = &self.target;
        if let Some(sentence) = value(&text, "broken") {
            let failure = Failure::failed(format!("{target}: {}", quote(sentence)));
            self.back = value(&text, "back").map(|end| match end {
                "yes" => Ok(()),
                why => Err(quote(why)),
            });
            return Err(RunError::Broken(failure));
        }
        if value(&text, "ready").is_none() {
            let failure = format!("{target}: the launch did not finish");
            return Err(Failure::failed(failure).into());
        }
        Ok(text)
    }

    /// Tells the person who launched the satellite what to know about the host.
    fn advise(
        &mut self,
        text: &str,
        record: &Record,
        console: &mut dyn Console,
    ) -> Result<(), Failure> {
        if let Some(words) = value(text, "lingers") {
            console.say(&format!(
                "the satellite stops at this account's last logout, because systemd there refuses \
                 lingering ({}); an administrator can allow it: loginctl enable-linger USER",
                quote(words)
            ));
        }
        if record.supervisor == Supervisor::Script {
            let line = script::crontab_line(&format!("{}/run", self.look.root()));
            console.say(&format!(
                "there is no systemd for this account on the host, so that the satellite does not \
                 start with it: this line in the account's crontab (crontab -e) does it: {line}"
            ));
        }
        let port = record.settings.port;
        let endpoint = self.address(port)?;
        if !can_reach(&endpoint) {
            console.say(&format!(
                "the satellite listens, but this machine cannot connect to {endpoint}: if there is \
                 a firewall in between (ufw or firewalld on the host, a cloud's security group), \
                 open TCP port {port} in it"
            ));
        }
        Ok(())
    }

    fn address(&mut self, port: u16) -> Result<String, Failure> {
        let host = self.connection()?.hostname()?;
        Ok(format!("{}:{port}", bracketed(&host)))
    }
}

impl Host for Ssh {
    fn find(&mut self, _console: &mut dyn Console) -> Result<Option<Found>, Failure> {
        Ok(self.look()?.found())
    }

    fn inspect(&mut self, _found: Option<&Found>) -> Result<Existing, Failure> {
        self.look = self.look()?;
        Ok(self.look.existing())
    }

    fn architecture(&mut self) -> Result<Architecture, Failure> {
        self.look.architecture()
    }

    /// Checks the host that others are told, before the program is sent.
    fn prepare(
        &mut self,
        settings: &Settings,
        _console: &mut dyn Console,
    ) -> Result<String, Failure> {
        let public = match &settings.public {
            Some(public) => public.clone(),
            None => self.connection()?.hostname()?,
        };
        check_public(&public)?;
        self.public = public;
        Ok(self.look.root().to_owned())
    }

    fn put(
        &mut self,
        program: &Program,
        version: &str,
        console: &mut dyn Console,
    ) -> Result<String, Failure> {
        let Program::Executable(bytes, _) = program else {
            return Err(Failure::usage(
                "a host that is reached by ssh takes no image",
            ));
        };
        let Stored { name, digest } = Stored::new(bytes, version);
        let size = bytes.len().to_string();
        let with = |body| {
            let script = Script::new(body).with("name", &name);
            script.with("digest", &digest).with("size", &size)
        };
        let connection = self.connection()?;
        let text = connection.ask(&with(script::STORED), b"")?;
        if value(&text, "stored").is_none() {
            console.begin("send the program");
            connection.ask(&with(script::RECEIVE), bytes)?;
            console.done(&megabytes(bytes.len()));
        }
        Ok(name)
    }

    fn run(&mut self, settings: &Settings, console: &mut dyn Console) -> Result<(), RunError> {
        let record = Record {
            settings: Settings {
                public: Some(self.public.clone()),
                ..settings.clone()
            },
            supervisor: self.look.supervisor(),
        };
        let text = self.change(&record)?;
        console.done("");
        Ok(self.advise(&text, &record, console)?)
    }

    fn restore(&mut self, _console: &mut dyn Console) -> Result<(), Failure> {
        // The host did so itself, so that a lost connection does not leave it without a satellite.
        match self.back.take() {
            Some(end) => end.map_err(Failure::failed),
            None => Err(Failure::failed("there was none before")),
        }
    }

    fn endpoint(&mut self, _found: &Found) -> Result<String, Failure> {
        let record = self.look()?.record().ok_or_else(|| {
            Failure::failed(format!(
                "{}: the satellite there is incomplete: run skypipe --setup again",
                self.target
            ))
        })?;
        self.address(record.settings.port)
    }

    fn exec(&mut self, _found: &Found, arguments: &[&str]) -> Result<String, Failure> {
        let script = Script::new(script::EXEC).arguments(arguments);
        let answer = self.connection()?.run(&script, b"")?;
        let target = &self.target;
        if answer.code != 0 {
            let words = quote(&answer.stderr);
            let code = answer.code;
            return Err(Failure::failed(if words.is_empty() {
                format!("{target}: the satellite's program ended with exit code {code}")
            } else {
                format!("{target}: {words}")
            }));
        }
        String::from_utf8(answer.stdout)
            .map_err(|_| Failure::failed(format!("{target}: the command's output is not text")))
    }

    fn remove(&mut self, _found: &Found, console: &mut dyn Console) -> Result<(), Failure> {
        console.begin("remove the satellite");
        let text = self.connection()?.ask(&Script::new(script::REMOVE), b"")?;
        let left: Vec<String> = values(&text, "left").map(quote).collect();
        for note in values(&text, "note") {
            console.say(&quote(note));
        }
        if !left.is_empty() {
            let left = left.join("; ");
            return Err(Failure::failed(format!(
                "{}: could not be removed: {left}",
                self.target
            )));
        }
        console.done("");
        Ok(())
    }
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
