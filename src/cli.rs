//! The command line: its flags and which of them go together.
//!
//! The doc comments of the fields are the help text. This module never looks at stdin, the environment or
//! the network.

mod command;
mod deploy;

use std::ffi::OsString;
use std::time::Duration;

use clap::error::{ContextKind, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args as _, CommandFactory, FromArgMatches, Parser};
use skypipe_protocol::public_keys::PublicKeys;
use skypipe_protocol::text::normal;
use skypipe_protocol::{MAX_KEY_NAME, Mode, Rights, name_fault};
use skypipe_satellite::{Listen, Settings};

pub use self::command::{Command, Invite, Pipe, Reset, Revoke, Setup, Shell, Stop, Way};
pub use self::deploy::Deploy;
use crate::output::Form;
use crate::progress::Wanted;
use crate::report::Level;
use crate::session::{Compression, Timeouts};

/// Named pipes in the sky: what you write on one machine comes out on another
#[derive(Debug, Parser)]
#[command(
    name = "skypipe",
    version,
    max_term_width = 80,
    help_template = TEMPLATE,
    before_help = EXAMPLES,
    after_help = AFTER_HELP
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag; `ask` makes one choice of them"
)]
struct Flags {
    /// The pipe; the first use makes it. Without a name it is the default pipe
    name: Option<String>,

    /// Write the output of this command instead of stdin; if it fails, the stream is cut
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    /// Read from the pipe, whatever stdin is
    #[arg(short, long, help_heading = "Reading")]
    read: bool,
    /// Read exactly one whole stream, which nobody else gets
    #[arg(short = '1', long, help_heading = "Reading")]
    one: bool,
    /// Read all unread data, then all that comes, without end
    #[arg(short, long, help_heading = "Reading")]
    follow: bool,
    /// Watch what passes without taking any of it
    #[arg(long, help_heading = "Reading")]
    tap: bool,

    /// Write stdin into the pipe, even if it is empty
    #[arg(short, long, help_heading = "Writing")]
    write: bool,
    /// Succeed only when everything was read
    #[arg(long, help_heading = "Writing")]
    wait: bool,
    /// Give the stream to readers only once it has ended; leave nothing if it is interrupted
    #[arg(long, help_heading = "Writing")]
    whole: bool,
    /// Compress with zstd: auto (the default) where that is faster, off, or a level from 1 to 19
    #[arg(long, value_name = "HOW", help_heading = "Writing")]
    compress: Option<Compression>,

    /// Give up with exit code 124 when nothing moves for this long (10, 90s, 1h 30m)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[arg(help_heading = "Time limits")]
    timeout: Option<Duration>,
    /// Look for the satellite this long at the start (8s by default)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    #[arg(help_heading = "Time limits")]
    connect_timeout: Option<Duration>,

    /// Print nothing but why something failed
    #[arg(short, long, help_heading = "Messages", conflicts_with = "verbose")]
    quiet: bool,
    /// Print what goes on, also where no terminal shows it
    #[arg(short, long, help_heading = "Messages")]
    verbose: bool,

    /// Show how far the transfer is, as a terminal does by itself after a second
    #[arg(long, help_heading = "Messages", overrides_with = "no_progress")]
    progress: bool,
    /// Do not show how far the transfer is
    #[arg(long, help_heading = "Messages", overrides_with = "progress")]
    no_progress: bool,

    /// Show the pipes in use
    #[arg(long, help_heading = "Pipes")]
    list: bool,
    /// Delete the unread data of the pipe; with --revoke, the unread data that the key wrote
    #[arg(long, help_heading = "Pipes")]
    discard: bool,
    /// End the readers of the pipe after what was written before
    #[arg(long, help_heading = "Pipes")]
    eof: bool,

    /// Deploy a satellite, or find the one that is there; without TARGET, skypipe asks where
    #[arg(long, value_name = "TARGET", num_args = 0..=1, default_missing_value = "")]
    #[arg(help_heading = "Satellite")]
    setup: Option<String>,
    /// Report on the satellite, without starting one
    #[arg(long, help_heading = "Satellite")]
    check: bool,
    /// Remove the satellite that --setup deployed; if there is none, stop the one of this machine
    #[arg(long, value_name = "TARGET", num_args = 0..=1, default_missing_value = "")]
    #[arg(help_heading = "Satellite")]
    reset: Option<String>,
    /// Skip the confirmation. With --reset, unread data may be lost; with --revoke, the satellite's own
    /// access key may be revoked, and machines missed by the last renewal get no new reading key
    #[arg(long, help_heading = "Satellite")]
    yes: bool,
    /// Run a satellite at this port; without ADDRESS, only this machine can reach it
    #[arg(long, value_name = "[ADDRESS:]PORT", help_heading = "Satellite")]
    satellite: Option<Listen>,
    /// Run the satellite that starts by itself on this machine
    #[arg(long, hide = true)]
    local_satellite: bool,

    /// Print an invitation for another machine; --read or --write limits what it may do
    #[arg(long, help_heading = "Keys")]
    invite: bool,
    /// With --invite: only for pipes of this name, in which * stands for anything; may be repeated
    #[arg(long, value_name = "PATTERN", help_heading = "Keys")]
    pipe: Vec<String>,
    /// With --invite: only for this long (12h, 30days)
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Keys")]
    expires: Option<Duration>,
    /// With --invite: the most unread data of its own (100MiB); by default a quarter of what the satellite
    /// can keep
    #[arg(long, value_name = "SIZE", value_parser = skypipe_satellite::quota, help_heading = "Keys")]
    quota: Option<u64>,
    /// With --invite and --keys: for a machine that has made its keys by itself
    #[arg(
        long = "for",
        value_name = "KEY",
        hide = true,
        allow_hyphen_values = true
    )]
    public_keys: Option<PublicKeys>,
    /// Use the satellite of an invitation, which is read from stdin or asked for
    #[arg(long, help_heading = "Keys")]
    join: bool,
    /// Forget the satellite that was joined, and revoke this machine's key there
    #[arg(long, help_heading = "Keys")]
    leave: bool,
    /// Show the authorized keys
    #[arg(long, help_heading = "Keys")]
    keys: bool,
    /// Revoke the key of this name for good, and give everybody else a new reading key
    #[arg(long, help_heading = "Keys")]
    revoke: bool,
    /// Make a phrase of six words, with which machines that have only an access key join
    #[arg(long, help_heading = "Keys")]
    phrase: bool,
    /// Remove the phrase
    #[arg(long, help_heading = "Keys")]
    no_phrase: bool,

    /// Print completions for this shell
    #[arg(long, value_name = "SHELL", help_heading = "Shell")]
    completions: Option<Shell>,
    /// Print the manual page
    #[arg(long, help_heading = "Shell")]
    man: bool,
    /// Print the names of pipes that a shell can complete
    #[arg(long, hide = true)]
    pipe_names: bool,

    #[command(flatten, next_help_heading = "With --setup")]
    deploy: Deploy,

    #[command(flatten, next_help_heading = "With --satellite")]
    settings: Settings,
}

const TEMPLATE: &str = "\
{about}

Usage: skypipe [OPTIONS] [NAME] [-- COMMAND...]

{before-help}{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  echo hello | skypipe greetings   write; it waits until somebody reads it
  skypipe greetings                read, on any machine with this satellite
  tail -f app.log | skypipe logs   collect lines of many machines ...
  skypipe -f logs                  ... and follow them in one place
  skypipe -w built -- make         write what a command prints
  skypipe --setup ssh://me@host    put a satellite on a server, and use it
  skypipe --invite laptop          print a line that lets another machine join

Without -r or -w, skypipe reads if its stdin is a terminal, /dev/null or
closed, and writes otherwise.
";

const AFTER_HELP: &str = "\
Exit codes:
  0  done                       124          --timeout
  1  failed                     126, 127     COMMAND cannot be run or found
  2  wrong usage                129/130/143  ended by a signal
  3  a stream was cut, came     any other    COMMAND's own, if it fails
     incomplete or was deleted
  4  no satellite, or it refused this machine

TARGET is fly, ssh://[user@]host[:port], docker, docker+context://name or
docker+ssh://[user@]host; docs/deploying.md has all forms.

Environment:
  SATELLITE            tcp://host:port, or an invitation; by default the
                       satellite that was joined, else this machine's own
  SKYPIPE_DATA         where this machine's own keeps unread data, or \"memory\"
  SKYPIPE_PHRASE       the phrase, for scripts that join
  SKYPIPE_PHRASE_FILE  a file that holds the phrase
  SKYPIPE_DOCKER       the command for --setup docker (docker, else podman)
  SKYPIPE_SSH          the command for --setup ssh://... (ssh)
  HTTPS_PROXY, ALL_PROXY, NO_PROXY   as for curl";

/// The shortest and the longest lifetime that `--expires` accepts for a key.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The description of the command line, from which help, completions and the manual page are made.
#[must_use]
pub fn command() -> clap::Command {
    Flags::command()
}

/// Parses the command line `arguments`, whose first element is the program's name. Also returns how much the
/// user wants to hear.
///
/// # Errors
///
/// [`Stop::Show`] when only help or the version was asked for; [`Stop::Usage`] when the flags are refused.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Command, Level), Stop> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if arguments.iter().any(is_invitation) {
        return Err(Stop::Usage(
            "an invitation is a secret, and others can see the command line: paste it into \
             skypipe --join, or set SATELLITE to it"
                .to_owned(),
        ));
    }
    let matches = Flags::command()
        .try_get_matches_from(arguments)
        .map_err(|error| stop(&error))?;
    let flags = Flags::from_arg_matches(&matches).map_err(|error| stop(&error))?;
    let level = match (flags.quiet, flags.verbose) {
        (true, _) => Level::Quiet,
        (_, true) => Level::Verbose,
        _ => Level::Normal,
    };
    let command = flags.ask(&settings_given(&matches)).map_err(Stop::Usage)?;
    Ok((command, level))
}

/// Whether the argument contains an invitation, perhaps with other text around it.
fn is_invitation(argument: &OsString) -> bool {
    let text = argument.to_string_lossy().to_ascii_lowercase();
    text.contains("skypipe://")
}

fn stop(error: &clap::Error) -> Stop {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Stop::Show(error.to_string());
    }
    if let Some(sentence) = unknown_option(error) {
        return Stop::Usage(sentence);
    }
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = paragraph.split_whitespace().collect();
    let sentence = words.join(" ");
    Stop::Usage(
        sentence
            .strip_prefix("error: ")
            .unwrap_or(&sentence)
            .to_owned(),
    )
}

/// Which option is unknown, and which one may have been meant.
fn unknown_option(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let option = error.get(ContextKind::InvalidArg)?;
    if !option.to_string().starts_with('-') {
        return None;
    }
    let meant = error.get(ContextKind::SuggestedArg);
    let meant = meant.map(|meant| format!("; did you mean {meant}?"));
    Some(format!(
        "unknown option {option}{}",
        meant.unwrap_or_default()
    ))
}

/// The satellite's settings that were given on the command line, as flags.
fn settings_given(matches: &ArgMatches) -> Vec<String> {
    let settings = Settings::augment_args(clap::Command::new(""));
    let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    settings
        .get_arguments()
        .filter(|argument| given(argument.get_id().as_str()))
        .filter_map(|argument| argument.get_long())
        .map(|long| format!("--{long}"))
        .collect()
}

/// Parses a duration. A number without a unit is in seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    let duration = seconds
        .or_else(|_| humantime::parse_duration(text))
        .map_err(|_| "not a duration; write it like 10, 90s, 500ms or 1h 30m".to_owned())?;
    if duration.is_zero() {
        return Err("it must be longer than 0".to_owned());
    }
    Ok(duration)
}

impl Flags {
    /// The one command that all flags together ask for.
    fn ask(mut self, settings: &[String]) -> Result<Command, String> {
        self.take_name_after_dashes()?;
        for name in self.name.iter_mut().chain(&mut self.pipe) {
            // Two Unicode spellings of a name are one pipe. Length limits apply to the normalized name,
            // which is sent.
            *name = normal(name).into_owned();
        }
        if let Some(fault) = self.name.as_deref().and_then(name_fault) {
            return Err(fault.to_owned());
        }
        let mut commands = self.commands();
        if self.revoke {
            // With `--revoke`, `--discard` is a modifier and no command of its own.
            commands.retain(|command| *command != "--discard");
        }
        if let [first, second, ..] = commands[..] {
            return Err(format!("{first} and {second} cannot be used together"));
        }
        let command = commands.first().copied();
        if let Some(sentence) = self.out_of_place(command, settings) {
            return Err(sentence);
        }
        if let Some(listen) = self.satellite {
            return Ok(Command::Satellite(listen, self.settings));
        }
        if let Some(shell) = self.completions {
            return Ok(Command::Completions(shell));
        }
        let name = self.name.clone().unwrap_or_default();
        let timeouts = Timeouts {
            idle: self.timeout,
            connect: self.connect_timeout,
        };
        let data = self.settings.data.clone();
        let form = if self.deploy.json {
            Form::Json
        } else {
            Form::Table
        };
        Ok(match command {
            Some("--eof") => Command::Eof(name, timeouts, data),
            Some("--list") => Command::List(timeouts, data, form),
            Some("--discard") => Command::Discard(name, timeouts, data),
            Some("--check") => Command::Check(timeouts, data, form),
            Some("--reset") => Command::Reset(Reset {
                target: self.reset.filter(|target| !target.is_empty()),
                yes: self.yes,
                deploy: self.deploy,
            }),
            Some("--invite") => Command::Invite(self.invitation()?),
            Some("--join") => Command::Join,
            Some("--leave") => Command::Leave,
            Some("--keys") => match self.public_keys {
                None => Command::Keys(data, form),
                Some(public_keys) => Command::IsEnrolled(public_keys, data),
            },
            Some("--revoke") if name.is_empty() => {
                return Err(
                    "--revoke takes the name of a key; to see them: skypipe --keys".to_owned(),
                );
            }
            Some("--revoke") => Command::Revoke(Revoke {
                name,
                yes: self.yes,
                discard: self.discard,
                data,
            }),
            Some("--phrase") => Command::Phrase(true),
            Some("--no-phrase") => Command::Phrase(false),
            Some("--setup") => Command::Setup(self.setup()),
            Some("--man") => Command::Manual,
            Some("--pipe-names") => Command::PipeNames,
            Some(_) => Command::LocalSatellite(self.settings),
            None => Command::Pipe(Pipe {
                name,
                way: self.way()?,
                timeouts,
                progress: match (self.no_progress || self.quiet, self.progress) {
                    (true, _) => Wanted::Never,
                    (_, true) => Wanted::Always,
                    _ => Wanted::Auto,
                },
                command: self.command,
            }),
        })
    }

    /// A command stands behind `--`. A name may stand there too, if it begins with `-` or if no command can
    /// be meant.
    fn take_name_after_dashes(&mut self) -> Result<(), String> {
        let Some(first) = self.command.first() else {
            return Ok(());
        };
        let reads = self.read || self.one || self.follow || self.tap;
        let writes = !reads && self.commands().is_empty();
        let is_alone = !writes && self.command.len() == 1;
        let is_name = is_alone || first.as_encoded_bytes().starts_with(b"-");
        if self.name.is_none() && is_name {
            let name = self.command.remove(0).into_string();
            self.name = Some(name.map_err(|_| "a pipe's name must be UTF-8".to_owned())?);
            if self.command.first().is_some_and(|word| word == "--") {
                self.command.remove(0);
            }
        }
        match self.command.first() {
            Some(word) if !writes => Err(format!(
                "the command {} after -- only works when writing",
                word.display()
            )),
            _ => Ok(()),
        }
    }

    /// The flags that were given of those that choose a command. More than one is an error.
    fn commands(&self) -> Vec<&'static str> {
        given([
            (self.eof, "--eof"),
            (self.list, "--list"),
            (self.discard, "--discard"),
            (self.check, "--check"),
            (self.reset.is_some(), "--reset"),
            (self.invite, "--invite"),
            (self.join, "--join"),
            (self.leave, "--leave"),
            (self.keys, "--keys"),
            (self.revoke, "--revoke"),
            (self.phrase, "--phrase"),
            (self.no_phrase, "--no-phrase"),
            (self.setup.is_some(), "--setup"),
            (self.satellite.is_some(), "--satellite"),
            (self.local_satellite, "--local-satellite"),
            (self.completions.is_some(), "--completions"),
            (self.man, "--man"),
            (self.pipe_names, "--pipe-names"),
        ])
    }

    /// What is wrong with the first flag that `command` has no use for.
    fn out_of_place(&self, command: Option<&str>, settings: &[String]) -> Option<String> {
        let is = |names: &[&str]| command.is_some_and(|command| names.contains(&command));
        let ways = given([
            (self.read, "--read"),
            (self.write, "--write"),
            (self.one, "--one"),
            (self.follow, "--follow"),
            (self.tap, "--tap"),
            (self.wait, "--wait"),
            (self.whole, "--whole"),
            (self.compress.is_some(), "--compress"),
            (self.progress, "--progress"),
            (self.no_progress, "--no-progress"),
        ]);
        let asks = ["--eof", "--list", "--discard", "--check"];
        let is_right = |way: &&str| is(&["--invite"]) && ["--read", "--write"].contains(way);
        if let Some(way) = ways.iter().find(|way| !is_right(way))
            && let Some(command) = command
        {
            return Some(format!("{way} cannot be used with {command}"));
        }
        if !is(&["--invite"]) {
            let only = given([
                (!self.pipe.is_empty(), "--pipe"),
                (self.expires.is_some(), "--expires"),
                (self.quota.is_some(), "--quota"),
                (self.public_keys.is_some() && !is(&["--keys"]), "--for"),
            ]);
            if let Some(flag) = only.first() {
                return Some(format!("{flag} only works with --invite"));
            }
        }
        let waits = given([
            (self.timeout.is_some(), "--timeout"),
            (self.connect_timeout.is_some(), "--connect-timeout"),
        ]);
        if let Some(flag) = waits.first()
            && let Some(command) = command
            && !is(&asks)
        {
            return Some(format!("{flag} cannot be used with {command}"));
        }
        if let Some(name) = &self.name
            && let Some(command) = command
            && !is(&["--eof", "--discard", "--invite", "--revoke"])
        {
            if is(&["--join"]) {
                // The argument may be a damaged invitation, so its text is not repeated.
                return Some(
                    "--join takes no invitation on the command line, where others can see it: \
                     paste it when asked"
                        .to_owned(),
                );
            }
            return Some(format!("{command} takes no name, but {name:?} was given"));
        }
        if self.yes && !is(&["--reset", "--revoke"]) {
            return Some("--yes only works with --reset and --revoke".to_owned());
        }
        let given = self.deploy.given().into_iter();
        let mut given =
            given.filter(|flag| !(is(&["--reset"]) && ["--app", "--org"].contains(flag)));
        if let Some(flag) = given.next()
            && !is(&["--setup"])
        {
            return Some(format!("{flag} only works with --setup"));
        }
        if self.deploy.json && !is(&["--setup", "--reset", "--list", "--check", "--keys"]) {
            return Some(
                "--json only works with --setup, --reset, --list, --check and --keys".to_owned(),
            );
        }
        let is_for = |flag: &&String| match flag.as_str() {
            "--data" => is(&asks) || is(&["--invite", "--keys", "--revoke"]),
            "--public" => is(&["--setup"]),
            _ => false,
        };
        let mut others = settings.iter().filter(|flag| !is_for(flag));
        let first = others
            .next()
            .filter(|_| !is(&["--satellite", "--local-satellite"]))?;
        Some(format!("{first} only works with --satellite"))
    }

    fn setup(self) -> Setup {
        Setup {
            target: self.setup.filter(|target| !target.is_empty()),
            deploy: self.deploy,
            public: self.settings.public,
        }
    }

    /// What `--invite` grants. Without `--read` and `--write` it is for another machine of the user's own.
    fn invitation(self) -> Result<Invite, String> {
        let manage = !self.read && !self.write;
        let name = self.name.unwrap_or_default();
        if name.len() > MAX_KEY_NAME {
            return Err("a key's name has at most 64 bytes".to_owned());
        }
        if manage && !self.pipe.is_empty() {
            return Err(
                "--pipe only works with --read or --write: a key that can invite others is for \
                 all pipes"
                    .to_owned(),
            );
        }
        if self
            .expires
            .is_some_and(|span| span < SHORTEST || span > LONGEST)
        {
            return Err("--expires must be between one second and 100 years".to_owned());
        }
        Ok(Invite {
            name,
            rights: Rights {
                read: self.read || manage,
                write: self.write || manage,
                manage,
            },
            pipes: self.pipe,
            expires: self.expires,
            quota: self.quota,
            public_keys: self.public_keys,
            data: self.settings.data,
        })
    }

    /// The direction of the bytes. `--one`, `--follow` and `--tap` imply reading; `--wait` and `--whole`
    /// imply writing.
    fn way(&self) -> Result<Way, String> {
        let modes = given([
            (self.one, "--one"),
            (self.follow, "--follow"),
            (self.tap, "--tap"),
        ]);
        let read = given([(self.read, "--read")])
            .into_iter()
            .chain(modes.iter().copied());
        let write = given([
            (self.write, "--write"),
            (self.wait, "--wait"),
            (self.whole, "--whole"),
            (self.compress.is_some(), "--compress"),
        ]);
        if let (Some(read), Some(write)) = (read.clone().next(), write.first()) {
            return Err(format!(
                "{read} reads and {write} writes: use only one of them"
            ));
        }
        match modes[..] {
            [first, second, ..] => Err(format!("{first} and {second} cannot be used together")),
            ["--one"] => Ok(Way::Read(Mode::One)),
            ["--follow"] => Ok(Way::Read(Mode::Follow)),
            ["--tap"] => Ok(Way::Read(Mode::Tap)),
            _ if self.read => Ok(Way::Read(Mode::Default)),
            _ if write.is_empty() => Ok(Way::Unsaid),
            _ => Ok(Way::Write {
                said: self.write,
                wait: self.wait,
                whole: self.whole,
                compress: self.compress.unwrap_or_default(),
            }),
        }
    }
}

/// The names of the flags that were given.
fn given<const N: usize>(flags: [(bool, &'static str); N]) -> Vec<&'static str> {
    flags
        .into_iter()
        .filter(|(given, _)| *given)
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests;
