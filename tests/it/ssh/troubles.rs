//! Tests of failures on the host.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use crate::common::launch::Launch as _;
use skypipe::provision::ssh::{Ssh, Target, script};
use skypipe::provision::{Found, Host as _, Plan, State};

use crate::common::parts;
use crate::ssh::console::Notes;
use crate::ssh::host::{Host, Manner, eventually, executable};
use crate::ssh::programs::{bad, plan};
use crate::ssh::{assert_one, find, launch};

fn sentence(host: &Host, plan: &Plan) -> String {
    launch(host, plan).expect_err("it fails").sentence
}

#[test]
fn a_program_that_does_not_run_there_changes_nothing() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    launch(&host, &plan("1.0.0")).expect("it can be launched");
    let before = host.satellites();
    let said = sentence(&host, &bad(&host.file(""), "1.1.0", true));
    assert!(said.contains("the stars are wrong"), "{said}");
    assert_eq!(host.satellites(), before);
    assert_one(&host, "1.0.0", 9000);
}

#[test]
fn a_host_that_others_cannot_be_told_is_refused_before_the_program_is_sent() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    let real = host.file("ssh/ssh");
    let ssh = host.file("ssh/odd");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' -G '*) echo 'hostname a_b c'; exit;; esac\nexec {} \"$@\"\n",
        real.display()
    );
    executable(&ssh, &script);
    let target = Target::parse("ssh://here").expect("it is one");
    let mut provider = Ssh::with_program(target, ssh);
    let failure = provider.launch(&plan("1.0.0"), None, &mut Notes::default());
    let failure = failure.expect_err("nobody can use that name").sentence;
    assert!(
        failure.contains("not a host that other machines can use"),
        "{failure}"
    );
    assert!(!host.root().exists(), "nothing was sent");
}

#[test]
fn a_satellite_that_fails_is_replaced_by_the_one_before() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    let first = Plan {
        port: Some(9100),
        ..plan("1.0.0")
    };
    launch(&host, &first).expect("it can be launched");
    let worse = Plan {
        port: Some(9200),
        ..bad(&host.file(""), "1.1.0", false)
    };
    let said = sentence(&host, &worse);
    assert!(said.contains("the stars are wrong"), "{said}");
    assert!(said.contains("was put back"), "{said}");
    assert_one(&host, "1.0.0", 9100);
    launch(&host, &plan("1.2.0")).expect("a better one can be launched");
    assert_one(&host, "1.2.0", 9100);
    assert_eq!(
        fs::read_dir(host.root().join("bin"))
            .expect("it is there")
            .count(),
        1
    );
}

/// The host needs nobody for that.
#[test]
fn the_one_before_comes_back_though_the_connection_is_lost_meanwhile() {
    if !parts::are_there() {
        return;
    }
    let host = Host::with(&Manner {
        shell: Some(
            "#!/bin/sh\necho \"$PPID\" >\"$HOME/session\"\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
        ),
        ..Manner::default()
    });
    // The connection is cut as the new satellite is started.
    host.install(
        "setsid",
        "#!/bin/sh\nif [ -e \"$HOME/cut\" ]; then rm \"$HOME/cut\"; kill -9 \"$(cat \"$HOME/session\")\"; fi\n\
         exec /usr/bin/setsid \"$@\"\n",
    );
    let first = Plan {
        port: Some(9100),
        ..plan("1.0.0")
    };
    launch(&host, &first).expect("it can be launched");
    let cut = host.home().join("cut");
    fs::write(&cut, "").expect("there is room");
    let said = sentence(&host, &bad(&host.file(""), "1.1.0", false));
    assert!(said.contains("the connection was lost"), "{said}");
    assert!(!cut.exists());
    eventually("the former satellite listens", || {
        TcpStream::connect(("127.0.0.1", 9100)).is_ok()
    });
    assert_one(&host, "1.0.0", 9100);
}

#[test]
fn a_first_launch_that_fails_is_unfinished() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    let said = sentence(&host, &bad(&host.file(""), "1.0.0", false));
    assert!(said.contains("the stars are wrong"), "{said}");
    assert_eq!(host.processes(), []);
    let found = find(&host).expect("its beginnings are there");
    assert_eq!(found.state, State::Unfinished);
    assert_eq!(found.version.as_deref(), Some("1.0.0"));
    launch(&host, &plan("1.0.1")).expect("it can be gone on with");
    assert_one(&host, "1.0.1", 9000);
}

#[test]
fn a_port_that_is_taken_is_told() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    let taken = TcpListener::bind("127.0.0.1:9000").expect("the network is the test's own");
    let said = sentence(&host, &plan("1.0.0"));
    assert!(said.contains("9000") && said.contains("--port"), "{said}");
    assert_eq!(host.processes(), []);
    assert_eq!(
        find(&host).map(|found| found.state),
        Some(State::Unfinished)
    );
    let elsewhere = Plan {
        port: Some(9001),
        ..plan("1.0.0")
    };
    launch(&host, &elsewhere).expect("another port is free");
    assert_one(&host, "1.0.0", 9001);
    let back = Plan {
        port: Some(taken.local_addr().expect("it is bound").port()),
        ..plan("1.0.0")
    };
    let said = sentence(&host, &back);
    assert!(said.contains("9000") && said.contains("--port"), "{said}");
    let renamed = Plan {
        public: Some("sky.example".to_owned()),
        ..plan("1.0.0")
    };
    launch(&host, &renamed).expect("without a port it keeps the one there is");
    assert_one(&host, "1.0.0", 9001);
    drop(taken);
    launch(&host, &back).expect("the port is free now");
    assert_one(&host, "1.0.0", 9000);
}

#[test]
fn a_launch_that_was_killed_is_gone_on_with() {
    if !parts::are_there() {
        return;
    }
    // Each file is written under another name and then moved: `mv` is where a step takes effect.
    for upgrade in [false, true] {
        for step in 1..=if upgrade { 3 } else { 4 } {
            let host = Host::up();
            if upgrade {
                launch(&host, &plan("1.0.0")).expect("it can be launched");
            }
            deadly_mv(&host, step);
            let said = sentence(&host, &plan("1.1.0"));
            assert!(said.starts_with("ssh://here: "), "{said}");
            let found = find(&host).expect("it has begun");
            assert!(
                upgrade || found.state == State::Unfinished,
                "{step}: {found:?}"
            );
            fs::remove_file(host.bin().join("mv")).expect("it is there");
            launch(&host, &plan("1.1.0")).expect("it can be gone on with");
            assert_one(&host, "1.1.0", 9000);
            let left = fs::read_dir(host.root().join("bin"))
                .expect("it is there")
                .count();
            assert_eq!(left, 1, "step {step}");
        }
    }
}

/// Kills the shell that moves the `step`th file. The supervisor's files do not count.
fn deadly_mv(host: &Host, step: u32) {
    let count = host.file("count");
    fs::write(&count, "").expect("there is room");
    let count = count.display();
    let text = format!(
        "#!/bin/sh\ncase $* in *run.pid*) exec /bin/mv \"$@\" ;; esac\necho >>{count}\n\
         [ \"$(wc -l <{count})\" -eq {step} ] && {{ kill -9 $PPID; exit 1; }}\nexec /bin/mv \"$@\"\n"
    );
    host.install("mv", &text);
}

#[test]
fn a_connection_that_is_lost_is_told_and_made_again() {
    if !parts::are_there() {
        return;
    }
    let host = Host::with(&Manner {
        shell: Some(
            "#!/bin/sh\nif [ -e \"$HOME/cut\" ]; then head -c 20000 >/dev/null; kill -9 \"$PPID\"; fi\n\
             exec sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
        ),
        ..Manner::default()
    });
    let mut provider = host.provider();
    let mut notes = Notes::default();
    let found = provider.find(&mut notes).expect("the host can be asked");
    fs::write(host.home().join("cut"), "").expect("there is room");
    let failure = provider.launch(&plan("1.0.0"), found.as_ref(), &mut notes);
    let said = failure.expect_err("the connection is cut").sentence;
    assert_eq!(said, "ssh://here: the connection was lost");
    fs::remove_file(host.home().join("cut")).expect("it is there");
    let found = provider.find(&mut notes).expect("a new connection is made");
    provider
        .launch(&plan("1.0.0"), found.as_ref(), &mut notes)
        .expect("nothing is cut now");
    assert_one(&host, "1.0.0", 9000);
}

#[test]
fn a_host_that_is_not_to_be_trusted_or_does_not_trust_is_told() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    for (target, words) in [
        ("ssh://changed", "Host key verification failed"),
        ("ssh://closed", "Permission denied"),
        ("ssh://here:23", "Connection refused"),
    ] {
        let mut provider = host.provider_for(target);
        let failure = provider.find(&mut Notes::default()).expect_err(target);
        assert!(failure.sentence.contains(words), "{failure}");
        assert!(failure.sentence.starts_with(target), "{failure}");
    }
}

#[test]
fn a_host_without_a_shell_or_without_linux_is_told() {
    if !parts::are_there() {
        return;
    }
    let host = Host::with(&Manner {
        shell: Some("#!/bin/sh\necho This account is not available\nexit 1\n"),
        ..Manner::default()
    });
    let failure = host
        .provider()
        .find(&mut Notes::default())
        .expect_err("nobody can log in");
    assert!(
        failure.sentence.contains("This account is not available"),
        "{failure}"
    );
    drop(host);
    let host = Host::up();
    host.install(
        "uname",
        "#!/bin/sh\ncase $1 in -sm) echo Darwin arm64 ;; *) echo Darwin ;; esac\n",
    );
    let failure = host
        .provider()
        .find(&mut Notes::default())
        .expect_err("it is no Linux");
    assert!(failure.sentence.contains("Darwin"), "{failure}");
    host.install(
        "uname",
        "#!/bin/sh\ncase $1 in -sm) echo Linux riscv64 ;; *) echo Linux ;; esac\n",
    );
    let said = sentence(&host, &plan("1.0.0"));
    assert!(said.contains("riscv64"), "{said}");
    assert_eq!(find(&host), None);
}

#[test]
fn a_firewall_is_named_where_there_seems_to_be_one() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    let rule = "-A INPUT -p tcp --dport 9000 -j REJECT";
    let ran = Command::new("iptables").args(rule.split(' ')).status();
    assert!(ran.expect("iptables is installed").success());
    let (_, notes) = launch(&host, &plan("1.0.0")).expect("it listens");
    assert!(notes.mention("open TCP port 9000"), "{:?}", notes.said);
}

#[test]
fn somebody_else_s_satellite_is_not_taken_over() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    launch(&host, &plan("1.0.0")).expect("it can be launched");
    let another = Plan {
        owner: "b".repeat(86),
        ..plan("1.0.0")
    };
    let refused = host
        .provider()
        .launch(&another, None, &mut Notes::default());
    assert!(
        refused
            .expect_err("it is another's")
            .sentence
            .contains("another machine has just")
    );
}

#[test]
fn two_launches_at_once_make_one_satellite() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    let mut providers = [host.provider(), host.provider()];
    let launched: Vec<bool> = std::thread::scope(|scope| {
        let launches = providers.each_mut().map(|provider| {
            scope.spawn(|| {
                provider
                    .launch(&plan("1.0.0"), None, &mut Notes::default())
                    .is_ok()
            })
        });
        launches
            .map(|launch| launch.join().expect("it does not panic"))
            .to_vec()
    });
    assert!(launched.contains(&true), "{launched:?}");
    assert_one(&host, "1.0.0", 9000);
}

#[test]
fn what_is_left_is_told() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    let (found, _): (Found, _) = launch(&host, &plan("1.0.0")).expect("it can be launched");
    host.install(
        "rm",
        "#!/bin/sh\ncase $1 in -rf) echo rm: I will not >&2; exit 1 ;; esac\nexec /bin/rm \"$@\"\n",
    );
    let failure = host.provider().remove(&found, &mut Notes::default());
    let said = failure.expect_err("something is left").sentence;
    assert!(said.contains("I will not"), "{said}");
    assert!(said.contains(&found.name), "{said}");
    assert_eq!(host.processes(), []);
}

#[test]
fn the_log_stays_small() {
    if !parts::are_there() {
        return;
    }
    let scratch = tempfile::tempdir().expect("there is room");
    let root = scratch.path();
    let text = script::supervisor(root.to_str().expect("it is text"), &["false"]);
    fs::write(root.join("run"), text).expect("there is room");
    let lines: Vec<String> = (0..30_000)
        .map(|number| format!("this is line {number}"))
        .collect();
    fs::write(root.join("said"), lines.join("\n")).expect("there is room");
    let said = fs::File::open(root.join("said")).expect("it is there");
    let wrote = Command::new("sh")
        .arg(root.join("run"))
        .arg("log")
        .stdin(Stdio::from(said))
        .status();
    assert!(wrote.expect("there is a shell").success());
    let log = fs::read_to_string(root.join("log")).expect("it is there");
    let old = fs::read_to_string(root.join("log.old")).expect("it is there");
    assert!(log.len() <= 262_144 && old.len() <= 262_144);
    assert!((old + &log).ends_with("this is line 29998\nthis is line 29999\n"));
}

/// Where there is no `flock`, a lock is valid for as long as its holder lives. It is not valid for
/// as long as the holder's number is in the table of processes: a process that nobody reaps stays
/// there for ever.
#[test]
fn a_lock_whose_holder_is_dead_and_not_reaped_is_free() {
    let scratch = tempfile::tempdir().expect("there is room");
    let script = format!(
        "command() {{ return 1; }}\n{}\ntake \"$1\" || exit 3\n[ -z \"$2\" ] || exec cat\n",
        include_str!("../../../src/provision/ssh/lock.sh")
    );
    let [file, lock] = ["take.sh", "lock"].map(|name| scratch.path().join(name));
    fs::write(&file, script).expect("there is room");
    let run = |wrapped: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", wrapped, "sh"]).arg(&file).arg(&lock);
        shell
            .stdin(Stdio::piped())
            .spawn()
            .expect("there is a shell")
    };
    let take = || {
        run("exec sh \"$1\" \"$2\" ''")
            .wait()
            .expect("it ends")
            .code()
    };
    let held = lock.with_extension("held");

    // The child takes the lock and dies. Its parent has become `cat`, which never reaps the child.
    let mut parent = run("sh \"$1\" \"$2\" '' & exec cat");
    eventually("the lock is taken", || held.exists());
    let holder = fs::read_to_string(&held).expect("it can be read");
    let holder = holder.split(' ').next().unwrap_or_default().to_owned();
    eventually("its holder is a zombie", || {
        let status = fs::read_to_string(format!("/proc/{holder}/stat"));
        status.is_ok_and(|status| status.contains(") Z "))
    });
    assert_eq!(take(), Some(0), "the lock is free");
    drop(parent.stdin.take());
    assert!(parent.wait().expect("it ends").success());

    // A living holder keeps the lock.
    fs::remove_file(&held).expect("it was left behind");
    let mut alive = run("exec sh \"$1\" \"$2\" stay");
    eventually("the lock is taken", || held.exists());
    assert_eq!(take(), Some(3), "the lock is held");
    drop(alive.stdin.take());
    assert!(alive.wait().expect("it ends").success());
}
