//! Tests of a satellite on a host that is reached by ssh, with a real sshd, real shells and the
//! real program.
//!
//! Each test has its own host and network, which only root can make.

mod booted;
mod console;
mod host;
mod machine;
mod network;
mod programs;
mod story;
mod systemd;
mod troubles;

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::common::launch::Launch as _;
use skypipe::cli::Deploy;
use skypipe::exit::{Failure, USAGE};
use skypipe::provision::target::Target;
use skypipe::provision::{Found, Host as _, Plan, State};

use crate::common::parts;
use console::Notes;
use host::{Host, Manner, eventually, kill};
use programs::{OWNER, plan};

/// Launches the plan with a new provider, as another run of the program would.
fn launch(host: &Host, plan: &Plan) -> Result<(Found, Notes), Failure> {
    let mut provider = host.provider();
    let mut notes = Notes::default();
    let found = provider.find(&mut notes)?;
    let launched = provider.launch(plan, found.as_ref(), &mut notes)?;
    Ok((launched, notes))
}

/// What a new provider finds.
fn find(host: &Host) -> Option<Found> {
    let found = host.provider().find(&mut Notes::default());
    found.expect("the host can be asked")
}

/// Asserts that one satellite runs under one supervisor, is found, and accepts connections.
fn assert_one(host: &Host, version: &str, port: u16) {
    let found = find(host).expect("it is there");
    assert_eq!(found.state, State::Running);
    assert_eq!(found.version.as_deref(), Some(version));
    assert_eq!(host.satellites().len(), 1, "{:?}", host.processes());
    assert_eq!(host.supervisors().len(), 1, "{:?}", host.processes());
    TcpStream::connect(("127.0.0.1", port)).expect("it takes connections");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o777
}

#[test]
fn a_satellite_is_launched_found_and_ended() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    assert_eq!(find(&host), None);
    let (launched, notes) = launch(&host, &plan("1.0.0")).expect("it can be launched");
    assert!(notes.steps.iter().any(|step| step == "send the program"));
    assert!(notes.mention("@reboot '"), "{:?}", notes.said);
    assert_one(&host, "1.0.0", 9000);
    // Nothing from the environment of the login is left in them.
    for pid in [host.satellites(), host.supervisors()].concat() {
        let environment = fs::read(format!("/proc/{pid}/environ")).expect("it is ours");
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let names: Vec<_> = environment
            .split('\0')
            .map(|one| one.split('=').next())
            .collect();
        assert!(!environment.contains("SSH_"), "{names:?}");
    }
    let found = find(&host).expect("it is there");
    assert_eq!(found, launched);
    assert_eq!(found.owner.as_deref(), Some(OWNER));
    assert_eq!(found.name, host.root().to_str().expect("it is text"));
    let mut provider = host.provider();
    assert_eq!(provider.endpoint(&found), Ok("127.0.0.1:9000".to_owned()));
    for name in ["", "bin", "data"] {
        assert_eq!(mode(&host.root().join(name)), 0o700, "{name}");
    }
    assert_eq!(mode(&host.root().join("log")), 0o600);
    assert_eq!(mode(&host.root().join("settings")), 0o600);
    let mut notes = Notes::default();
    host.install(
        "crontab",
        "#!/bin/sh\nprintf '@reboot %s\\n' \"$HOME/.local/share/skypipe-satellite/run\"\n",
    );
    provider
        .remove(&found, &mut notes)
        .expect("it can be ended");
    assert!(notes.mention("crontab"), "{:?}", notes.said);
    assert!(!host.root().exists());
    assert_eq!(host.processes(), []);
    assert_eq!(find(&host), None);
    provider
        .remove(&found, &mut notes)
        .expect("what is gone is no failure");
}

#[test]
fn what_is_there_already_is_left_as_it_is() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    launch(&host, &plan("1.0.0")).expect("it can be launched");
    let before = (host.satellites(), host.supervisors());
    let (_, notes) = launch(&host, &plan("1.0.0")).expect("it is there");
    assert!(!notes.steps.iter().any(|step| step == "send the program"));
    assert_eq!((host.satellites(), host.supervisors()), before);
}

#[test]
fn something_is_run_beside_it() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    let (found, _) = launch(&host, &plan("1.0.0")).expect("it can be launched");
    let mut provider = host.provider();
    let text = provider.exec(&found, &["--check"]).expect("it is up");
    assert!(
        text.starts_with("satellite  tcp://") && text.ends_with('\n'),
        "{text:?}"
    );
    let failure = provider
        .exec(&found, &["--it's", "$HOME"])
        .expect_err("no such flag");
    assert!(failure.sentence.contains("--it's"), "{failure}");
}

#[test]
fn it_comes_back_when_it_is_killed() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    launch(&host, &plan("1.0.0")).expect("it can be launched");
    let [satellite] = host.satellites()[..] else {
        panic!("there is one satellite");
    };
    kill(satellite);
    eventually(
        "another one runs",
        || matches!(host.satellites()[..], [another] if another != satellite),
    );
    eventually("it takes connections", || {
        TcpStream::connect(("127.0.0.1", 9000)).is_ok()
    });
    assert_one(&host, "1.0.0", 9000);
}

#[test]
fn a_launch_puts_right_what_was_killed() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    launch(&host, &plan("1.0.0")).expect("it can be launched");
    for pid in [host.supervisors(), host.satellites()].concat() {
        kill(pid);
    }
    eventually("nothing runs", || host.satellites().is_empty());
    assert_eq!(find(&host).map(|found| found.state), Some(State::Stopped));
    launch(&host, &plan("1.0.0")).expect("it can be started again");
    assert_one(&host, "1.0.0", 9000);
    // A satellite that lost its supervisor would not be restarted, so it does not count as running.
    kill(host.supervisors()[0]);
    eventually("there is no supervisor", || host.supervisors().is_empty());
    assert_eq!(host.satellites().len(), 1);
    assert_eq!(find(&host).map(|found| found.state), Some(State::Stopped));
    launch(&host, &plan("1.0.0")).expect("it can be put right");
    assert_one(&host, "1.0.0", 9000);
}

#[test]
fn an_upgrade_keeps_data_owner_and_address() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    let first = Plan {
        port: Some(9100),
        public: Some("sky.example".to_owned()),
        ..plan("1.0.0")
    };
    launch(&host, &first).expect("it can be launched");
    let keys = host.root().join("data/keys/satellite");
    let before = fs::read(&keys).expect("it has keys");
    let another = Plan {
        owner: OWNER.replace('A', "B"),
        ..plan("1.1.0")
    };
    let (found, _) = launch(&host, &another).expect("it can be upgraded");
    assert_eq!(found.owner.as_deref(), Some(OWNER));
    assert_one(&host, "1.1.0", 9100);
    assert_eq!(fs::read(&keys).expect("they are kept"), before);
    let words = &host
        .processes()
        .into_iter()
        .find(|(_, words)| words[1] == "--satellite");
    let words = &words.as_ref().expect("it runs").1;
    assert!(words.contains(&"sky.example:9100".to_owned()), "{words:?}");
    let programs: Vec<_> = fs::read_dir(host.root().join("bin"))
        .expect("it is there")
        .collect();
    assert_eq!(programs.len(), 1, "{programs:?}");
    let moved = Plan {
        port: Some(9200),
        public: Some("::1".to_owned()),
        ..plan("1.1.0")
    };
    launch(&host, &moved).expect("it can be moved");
    assert_one(&host, "1.1.0", 9200);
    TcpStream::connect("127.0.0.1:9100").expect_err("it left its port");
    assert!(
        host.processes()
            .iter()
            .any(|(_, words)| words.contains(&"[::1]:9200".to_owned()))
    );
}

#[test]
fn any_login_shell_and_its_noise_will_do() {
    if !parts::are_there() {
        return;
    }
    for shell in [
        "#!/bin/sh\necho 'Welcome!'; echo tricks >&2; sh -c \"$SSH_ORIGINAL_COMMAND\"\ncode=$?\n\
         echo 'Bye!'; echo more tricks >&2\nexit \"$code\"\n",
        "#!/bin/sh\nexec fish -c \"$SSH_ORIGINAL_COMMAND\"\n",
        "#!/bin/sh\nexec csh -c \"$SSH_ORIGINAL_COMMAND\"\n",
    ] {
        let host = Host::with(&Manner {
            shell: Some(shell),
            ..Manner::default()
        });
        let (found, _) = launch(&host, &plan("1.0.0")).expect(shell);
        assert_one(&host, "1.0.0", 9000);
        let mut provider = host.provider();
        let version = provider.exec(&found, &["--version"]).expect(shell);
        assert_eq!(version, "skypipe 1.0.0\n");
        let failure = provider
            .exec(&found, &["--bogus"])
            .expect_err("no such flag");
        assert!(!failure.sentence.contains("tricks; error"), "{failure}");
        provider.remove(&found, &mut Notes::default()).expect(shell);
        assert_eq!(host.processes(), []);
    }
}

/// The programs that the scripts need on a host.
const NEEDED: [&str; 29] = [
    "cat", "chmod", "cut", "date", "dd", "dirname", "env", "grep", "head", "id", "ln", "ls",
    "mkdir", "mkfifo", "mv", "nohup", "printf", "readlink", "rm", "sed", "sleep", "sort", "tail",
    "test", "tr", "true", "uname", "uniq", "wc",
];

#[test]
fn a_host_needs_few_programs() {
    if !parts::are_there() {
        return;
    }
    let programs = [&NEEDED[..], &["sh"]].concat();
    let host = Host::with(&Manner {
        programs: Some(&programs),
        ..Manner::default()
    });
    assert_lives(&host);
}

#[test]
fn busybox_will_do() {
    if !parts::are_there() {
        return;
    }
    let host = Host::with(&Manner {
        programs: Some(&["busybox"]),
        shell: Some("#!/bin/sh\nexec busybox sh -c \"$SSH_ORIGINAL_COMMAND\"\n"),
        ..Manner::default()
    });
    for applet in [&NEEDED[..], &["sh", "setsid", "sha256sum"]].concat() {
        std::os::unix::fs::symlink("busybox", host.bin().join(applet)).expect("there is room");
    }
    assert_lives(&host);
}

fn assert_lives(host: &Host) {
    launch(host, &plan("1.0.0")).expect("it can be launched");
    assert_one(host, "1.0.0", 9000);
    kill(host.supervisors()[0]);
    launch(host, &plan("1.1.0")).expect("it can be upgraded");
    assert_one(host, "1.1.0", 9000);
    let satellite = host.satellites()[0];
    kill(satellite);
    eventually(
        "another one runs",
        || matches!(host.satellites()[..], [another] if another != satellite),
    );
    let found = find(host).expect("it is there");
    host.provider()
        .remove(&found, &mut Notes::default())
        .expect("it can be ended");
    assert!(!host.root().exists());
    assert_eq!(host.processes(), []);
}

#[test]
fn an_image_makes_no_sense() {
    let target = Target::parse("ssh://nobody.invalid").expect("it is one");
    let deploy = Deploy {
        image: Some("skypipe".to_owned()),
        ..Deploy::default()
    };
    let refused = target.host(&deploy, None).err().expect("it is refused");
    assert_eq!(refused.code, USAGE);
}
