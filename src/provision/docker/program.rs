//! The user's own `docker` or `podman` command, which reaches the engine.
//!
//! Owns which command that is, how it is run, its time limits, and the text of its failures. The
//! command brings the user's contexts, TLS, ssh and logins to registries. It stays in the process
//! group of this program, so that Ctrl-C ends both. `docker` starts ssh without a terminal, so that
//! ssh there asks for no password, and about no host that it does not know. No argument and no input
//! is a secret.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::target::{CONTEXT, HOST, Target};
use crate::exit::Failure;
use crate::provision::child::{finish, without_secrets};
use crate::provision::ssh_program::on_path;

/// The environment variable that names the command.
const VARIABLE: &str = "SKYPIPE_DOCKER";

/// The time limit of one step, such as starting a container.
pub const STEP: Duration = Duration::from_secs(120);

/// The longest text of the command that is shown, in characters.
const MAX_WORDS: usize = 2000;

/// What the user can do about some failures: a part of the command's text, and advice. Nothing but
/// the advice depends on these texts.
const ADVICE: [(&str, &str); 8] = [
    (
        "permission denied",
        "be in the group docker (usermod -aG docker USER, and log in again), or be root",
    ),
    (
        "Cannot connect to the Docker daemon",
        "start Docker, or use Podman with SKYPIPE_DOCKER=podman",
    ),
    (
        "Cannot connect to Podman",
        "start Podman's service there (systemctl start podman.socket)",
    ),
    (
        "no space left on device",
        "the disk is full: make room on the engine's machine, and try again",
    ),
    (
        "Host key verification failed",
        "log in there once by hand, so that ssh knows the host: ssh USER@HOST",
    ),
    (
        "Permission denied (",
        "docker's ssh cannot ask for a password: use a key (ssh-copy-id USER@HOST)",
    ),
    (
        "docker: not found",
        "docker through ssh needs the docker command there, too",
    ),
    (
        "docker: command not found",
        "docker through ssh needs the docker command there, too",
    ),
];

/// The command, with the flags that lead to an engine.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    flags: Vec<String>,
    /// Whether the command is Podman's, under whichever name.
    pub is_podman: bool,
}

impl Program {
    /// Finds the command for this target: `named`, else the one that `SKYPIPE_DOCKER` names, else
    /// the `docker` on the path, else the `podman` there.
    pub fn find(target: &Target, named: Option<PathBuf>) -> Result<Self, Failure> {
        let mut program = Self {
            path: named.map_or_else(on_this_machine, Ok)?,
            flags: Vec::new(),
            is_podman: false,
        };
        // Podman is also installed under the name `docker`, and then calls itself `docker version`.
        let version = program.call(STEP, &["--version"], Vec::new())?;
        program.is_podman = !version.starts_with("Docker ");
        program.flags = target.flags(program.is_podman);
        Ok(program)
    }

    /// A command of this name, for tests.
    #[cfg(test)]
    pub fn named(path: &str) -> Self {
        Self {
            path: path.into(),
            flags: Vec::new(),
            is_podman: false,
        }
    }

    /// Runs the command and returns its stdout.
    pub fn call(
        &self,
        limit: Duration,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<String, Failure> {
        let output = self.output(limit, arguments, input)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = words(&output.stderr);
        let said = if said.is_empty() {
            output.status.to_string()
        } else {
            said
        };
        Err(self.failure(arguments, &said))
    }

    /// Runs the command and returns all that it wrote, and its exit code.
    pub fn output(
        &self,
        limit: Duration,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<Output, Failure> {
        // The flags say which engine it is.
        let child = without_secrets(&mut Command::new(&self.path))
            .env_remove(HOST)
            .env_remove(CONTEXT)
            .args(&self.flags)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.map_err(|error| {
            Failure::failed(format!("{} cannot be run: {error}", self.path.display()))
        })?;
        finish(child, input, limit).map_err(|why| self.failure(arguments, &why))
    }

    fn failure(&self, arguments: &[&str], said: &str) -> Failure {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        let name = name.to_string_lossy();
        let verb = arguments.iter().take_while(|word| !word.starts_with('-'));
        let verb: Vec<&str> = verb.take(2).copied().collect();
        let advice = ADVICE.iter().find(|(mark, _)| said.contains(mark));
        let advice = advice.map_or(String::new(), |(_, advice)| format!(" ({advice})"));
        Failure::failed(format!("{name} {}: {said}{advice}", verb.join(" ")))
    }
}

fn on_this_machine() -> Result<PathBuf, Failure> {
    if let Some(named) = env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = ["docker", "podman"]
        .iter()
        .find_map(|name| on_path(name, &path));
    found.ok_or_else(|| {
        Failure::failed(format!(
            "there is no command docker or podman here: install one, or name it in {VARIABLE}"
        ))
    })
}

/// A program's stderr as one line: limited in length, without characters that a terminal would act
/// upon, and without what only repeats that it is an error.
pub fn words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(|line| {
        let line = line.trim().trim_start_matches("Error: ");
        let line = line.trim_start_matches("Error response from daemon: ");
        line.replace(char::is_control, " ")
    });
    let is_help = |line: &str| line.starts_with("See '") || line.starts_with("Run '");
    let mut lines: Vec<String> = lines
        .filter(|line| !line.is_empty() && !is_help(line))
        .collect();
    lines.dedup();
    let text = lines.join("; ");
    // The end says more than the beginning.
    let over = text.chars().count().saturating_sub(MAX_WORDS);
    text.chars().skip(over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_says_is_one_line() {
        let stderr = b"Error response from daemon: no\n\nno\nSee 'docker run --help'.\n\x1b[1m2\n";
        assert_eq!(words(stderr), "no;  [1m2");
        assert_eq!(words(b""), "");
        assert_eq!(words(&[b'x'; 9000]).len(), MAX_WORDS);
    }

    #[test]
    fn a_command_that_does_not_end_is_ended() {
        let shell = Program {
            flags: vec!["-c".to_owned()],
            ..Program::named("/bin/sh")
        };
        let failure = shell.call(Duration::from_millis(50), &["exec sleep 1000"], Vec::new());
        let failure = failure.expect_err("it takes longer");
        assert!(failure.sentence.contains("no answer"), "{failure}");
        let said = shell.call(STEP, &["cat; exit 0"], vec![b'x'; 1 << 20]);
        assert_eq!(said.map(|said| said.len()), Ok(1 << 20));
        let failure = shell.call(
            STEP,
            &["echo no space left on device >&2; exit 1"],
            Vec::new(),
        );
        let failure = failure.expect_err("it fails");
        assert!(failure.sentence.contains("make room"), "{failure}");
    }

    #[test]
    fn the_advice_for_ssh_fits_why_ssh_failed() {
        let shell = Program {
            flags: vec!["-c".to_owned()],
            ..Program::named("/bin/sh")
        };
        for (words, advice) in [
            ("Host key verification failed.", "log in there once"),
            (
                "me@far: Permission denied (publickey,password).",
                "ssh-copy-id",
            ),
            ("sh: 1: docker: not found", "needs the docker command"),
            (
                "bash: line 1: docker: command not found",
                "needs the docker command",
            ),
            ("Connection closed by remote host", ""),
        ] {
            let script = format!(
                "echo 'error during connect: command [ssh -- far docker system dial-stdio] has exited with exit \
                 status 255: stderr={words}' >&2; exit 1"
            );
            let failure = shell.call(STEP, &[&script], Vec::new());
            let sentence = failure.expect_err("it fails").sentence;
            assert!(
                sentence.contains(words) && sentence.contains(advice),
                "{sentence}"
            );
            assert_eq!(sentence.ends_with(')'), !advice.is_empty(), "{sentence}");
        }
    }
}
