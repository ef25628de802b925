//! `--completions` and `--man`: what a shell and `man` know of the command line. All of it comes from the same
//! description as `--help`.

use std::io;
use std::time::Duration;

use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};
use clap_mangen::Man;

use crate::cli::{self, Shell};
use crate::conversation::ask_about_pipes;
use crate::exit::{DONE, Failure};
use crate::output::show;
use crate::report::words;
use crate::session::{Question, Timeouts};

/// How long somebody who presses Tab waits for names.
const PROMPT: Duration = Duration::from_secs(1);

/// Completes the names of pipes in Bash, besides the options.
const BASH_NAMES: &str = r#"
_skypipe_or_name() {
    _skypipe "$@"
    local current="${COMP_WORDS[COMP_CWORD]}"
    if [[ "$current" != -* ]]; then
        COMPREPLY+=($(compgen -W "$(skypipe --pipe-names 2>/dev/null)" -- "$current"))
    fi
}
complete -F _skypipe_or_name -o nosort -o bashdefault -o default skypipe
"#;

/// The same in fish.
const FISH_NAMES: &str = "\
complete -c skypipe -f -n 'not string match -q -- \"-*\" (commandline -ct)' \
-a '(skypipe --pipe-names 2>/dev/null)'
";

/// The same in zsh: a function that the arguments' description names.
const ZSH_NAMES: &str = r#"
_skypipe_pipes() {
    local -a names
    names=(${(f)"$(skypipe --pipe-names 2>/dev/null)"})
    compadd -a names
}
"#;

/// Prints a script that completes options and names of pipes.
///
/// # Errors
///
/// When stdout cannot be written.
pub fn completions(shell: Shell) -> Result<u8, Failure> {
    let mut command = cli::command();
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(Bash, &mut command, "skypipe", &mut script),
        Shell::Zsh => generate(Zsh, &mut command, "skypipe", &mut script),
        Shell::Fish => generate(Fish, &mut command, "skypipe", &mut script),
    }
    let script = String::from_utf8_lossy(&script);
    show(&match shell {
        Shell::Bash => format!("{script}{BASH_NAMES}"),
        Shell::Fish => format!("{script}{FISH_NAMES}"),
        Shell::Zsh => zsh(&script),
    })
}

/// The script for zsh, in which a pipe's name is completed by our function.
fn zsh(script: &str) -> String {
    let script = script.replace(":_default' \\\n", ":_skypipe_pipes' \\\n");
    // The first line says what the file is for.
    match script.split_once('\n') {
        Some((first, rest)) => format!("{first}\n{ZSH_NAMES}{rest}"),
        None => script,
    }
}

/// Prints the manual page, as `man` reads it.
///
/// # Errors
///
/// When stdout cannot be written.
pub fn manual() -> Result<u8, Failure> {
    let mut page = Vec::new();
    Man::new(cli::command())
        .render(&mut page)
        .map_err(|error: io::Error| Failure::failed(words(&error)))?;
    show(&String::from_utf8_lossy(&page))
}

/// Prints the names of pipes that a shell can complete, one on each line. Like `--list`, this starts this machine's
/// satellite if it has left unread data on disk.
///
/// # Errors
///
/// When stdout cannot be written.
pub fn pipe_names() -> Result<u8, Failure> {
    let timeouts = Timeouts {
        idle: Some(PROMPT),
        connect: Some(PROMPT),
    };
    let Ok(inquiry) = ask_about_pipes(Question::List, timeouts, None) else {
        return Ok(DONE);
    };
    let names = inquiry.pipes().map(|pipe| pipe.name.as_str());
    let names = names.filter(|name| is_plain(name));
    let lines: Vec<_> = names.map(|name| format!("{name}\n")).collect();
    show(&lines.concat())
}

/// Whether a shell takes the name as one word as it is.
fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/@+-".contains(c);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(is_plain)
}
