//! A terminal that the test controls.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::stdio::stdin;
use rustix::termios::{Winsize, tcsetwinsize};

use super::gathered::Gathered;
use super::wait::PATIENCE;

/// A pseudo-terminal. Dropping it hangs up: the processes that it controls get SIGHUP.
pub struct Terminal {
    keys: File,
    /// Keeps the terminal open while no program has it open.
    side: File,
    screen: Gathered,
    /// Closing it stops the thread that reads the screen.
    _stop: PipeWriter,
}

impl Terminal {
    /// Opens a pseudo-terminal.
    pub fn open() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("there are terminals left");
        grantpt(&master).expect("the terminal is ours");
        unlockpt(&master).expect("the terminal is ours");
        let name = ptsname(&master, Vec::new()).expect("the terminal has a name");
        let path = name.to_str().expect("its name is plain").to_owned();
        let noctty = OFlags::NOCTTY.bits().cast_signed();
        let side = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(noctty)
            .open(path)
            .expect("the terminal is ours");
        let keys = File::from(master.try_clone().expect("there are descriptors left"));
        let (stop, stopper) = io::pipe().expect("there are descriptors left");
        Self {
            keys,
            side,
            screen: Gathered::from(Screen { master, stop }),
            _stop: stopper,
        }
    }

    /// The side for programs.
    pub fn side(&self) -> File {
        self.side.try_clone().expect("there are descriptors left")
    }

    /// Sets how many columns it has. It has 24 lines.
    pub fn has_columns(&self, columns: u16) {
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.side, size).expect("the terminal is ours");
    }

    /// Types a text.
    pub fn types(&self, text: &str) {
        (&self.keys)
            .write_all(text.as_bytes())
            .expect("the terminal is there");
    }

    /// Waits until `text` has appeared on the screen.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
        let is_shown = self.screen.wait(PATIENCE, shown);
        assert!(
            is_shown,
            "waited for {text:?} on the screen: {}",
            self.screen()
        );
    }

    /// What somebody sees on a terminal of this many columns: its lines, without those that are empty.
    pub fn lines(&self, columns: u16) -> Vec<String> {
        let size = |number| NonZero::new(number).expect("a terminal has a size");
        let mut seen = vt100::Parser::new(size(24), size(columns), 0);
        seen.process(&self.screen.all());
        let rows = seen.screen().rows(0, columns);
        rows.map(|row| row.trim_end().to_owned())
            .filter(|row| !row.is_empty())
            .collect()
    }

    /// Everything that has appeared on the screen.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.all()).into_owned()
    }
}

/// The terminal's output, until it is stopped. A blocking read would keep the terminal open.
struct Screen {
    master: OwnedFd,
    stop: PipeReader,
}

impl Read for Screen {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut fds = [
            PollFd::new(&self.stop, PollFlags::IN),
            PollFd::new(&self.master, PollFlags::IN),
        ];
        poll(&mut fds, None)?;
        if fds[0].revents().is_empty() {
            Ok(rustix::io::read(&self.master, buffer)?)
        } else {
            Ok(0)
        }
    }
}

/// Makes the terminal on stdin of `command` its controlling one, in a new session.
#[expect(
    unsafe_code,
    reason = "nothing safe runs code between fork and exec, and only there can a session begin"
)]
pub fn control(command: &mut Command) {
    let begin = || {
        setsid()?;
        ioctl_tiocsctty(stdin())?;
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are allowed, and these are two of them.
    unsafe { command.pre_exec(begin) };
}
