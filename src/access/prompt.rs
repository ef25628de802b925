//! Questions at the terminal: for secrets, and for confirmation.
//!
//! This module owns the time in which the terminal does not echo. It begins before the question is printed,
//! because the user may paste as soon as the question is visible. It ends however the question ends.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use signal_hook::consts::SIGINT;
use signal_hook::{SigId, flag, low_level};
use skypipe_protocol::text::printable;
use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::report::words;

/// Asks at the terminal, without echo.
pub(crate) fn prompt(question: &str) -> Result<Zeroizing<String>, Failure> {
    let asked = Hidden::begin().and_then(|hidden| {
        let answer = rpassword::prompt_password(&*printable(question)).map(Zeroizing::new);
        drop(hidden);
        answer
    });
    if let Err(error) = &asked
        && error.kind() == ErrorKind::Interrupted
    {
        // Only now, with the terminal restored, does the signal take effect.
        let _ = low_level::emulate_default_handler(SIGINT);
    }
    asked.map_err(|error| Failure::failed(format!("cannot ask at the terminal: {}", words(&error))))
}

/// Asks for a yes or no. `None` if there is no terminal to ask at.
pub(crate) fn confirm(question: &str) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let _ = write!(io::stderr(), "skypipe: {} [y/N] ", printable(question));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    Some(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The terminal without echo, and its previous settings.
struct Hidden {
    terminal: File,
    before: Termios,
    interrupt: SigId,
}

impl Hidden {
    fn begin() -> io::Result<Self> {
        let terminal = File::open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        // Ctrl-C must not end the program before the terminal is restored.
        let interrupt = flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
        let hidden = Self {
            terminal,
            before,
            interrupt,
        };
        // The same settings as while the answer is read: anything typed before that is kept, a Ctrl-C
        // included.
        let mut silent = hidden.before.clone();
        silent
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&hidden.terminal, OptionalActions::Now, &silent)?;
        Ok(hidden)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        low_level::unregister(self.interrupt);
    }
}
