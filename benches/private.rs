//! The cost of privacy: `cargo bench --bench private`.
//!
//! Bulk data, in turn, several times, medians. First, through a satellite without keys. Second,
//! through a satellite with keys, by clients that do not seal (TLS alone: only this benchmark has
//! such clients). Third, through a satellite with keys, by normal clients, which seal. Fourth,
//! through a relay of three socat processes that speak TLS on both hops, with blocks of 256 KiB.
//! Needs socat and openssl. Everything is on loopback.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "sizes and times on their way to two digits"
)]

mod common;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{Satellite, end, free_port, median, pump, setting, socat_process};
use skypipe::config::{Place, place};
use skypipe::link::route::{Keys, Tcp};
use skypipe::session::{Compression, Config, Job};
use skypipe_protocol::Mode;
use uuid::Uuid;

/// Tells this program to be a client that does not seal, and which one.
const CLIENT: &str = "SKYPIPE_BENCH_CLIENT";

fn main() -> ExitCode {
    if let Ok(what) = env::var(CLIENT) {
        return client(&what);
    }
    let gigabytes = setting("GB", 1.0);
    let rounds = setting("ROUNDS", 5.0) as usize;
    let bytes = (gigabytes * 1e9) as u64;
    let directory = tempfile::tempdir().expect("a directory");
    let certificate = certificate(directory.path());
    let open = Satellite::start(&[]);
    let private = Satellite::private(&directory.path().join("data"), &[]);
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        let round = [
            open.bulk(bytes),
            unsealed(&private, bytes),
            private.bulk(bytes),
            socat(bytes, &certificate),
        ];
        for (all, time) in times.iter_mut().zip(round) {
            all.push(time.as_secs_f64());
        }
    }
    let [open, tls, sealed, socat] = times.map(median);
    let rate = |seconds: f64| bytes as f64 / 1e6 / seconds;
    println!(
        "bulk: open {:.0} MB/s, TLS {:.0}, TLS and sealed {:.0}, socat with TLS {:.0}",
        rate(open),
        rate(tls),
        rate(sealed),
        rate(socat)
    );
    println!(
        "TLS against socat with TLS: {:.2} times as fast; sealing takes {:.0} % more time",
        socat / tls,
        (sealed / tls - 1.0) * 100.0
    );
    ExitCode::SUCCESS
}

/// Sends bytes through a private satellite by clients that do not seal.
fn unsealed(satellite: &Satellite, bytes: u64) -> Duration {
    let start = |what: &str| {
        Command::new(env::current_exe().expect("this program"))
            .env(CLIENT, what)
            .env("SATELLITE", satellite.endpoint())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a client starts")
    };
    let listener = start("read");
    satellite.until_listed(|row| row.starts_with("unsealed"));
    pump(bytes, start("write"), listener)
}

/// A client that speaks TLS and does not seal.
fn client(what: &str) -> ExitCode {
    let Ok(Place::Invited(endpoint, token)) = place() else {
        panic!("SATELLITE is an invitation");
    };
    let pipe = "unsealed".to_owned();
    let job = match what {
        "read" => Job::Listen {
            pipe,
            mode: Mode::Default,
        },
        _ => Job::Write {
            pipe,
            wait: false,
            whole: false,
            compress: Compression::Off,
            inferred: false,
            label: String::new(),
        },
    };
    let config = Config {
        client: Uuid::new_v4(),
        id: Uuid::new_v4(),
        job,
        timeout: None,
        connect_timeout: None,
        program: "skypipe 1.0.0".to_owned(),
        endpoint: endpoint.to_string(),
        identity: None,
        unix_time: 0,
    };
    let keys = Keys {
        satellite: token.satellite,
        identity: token.seed.identity(),
    };
    let route = Arc::new(Tcp::new(endpoint, None, Some(keys)));
    let code = skypipe::link::run(config, route, None, &mut |told| eprintln!("{told:?}"));
    ExitCode::from(code.expect("it runs"))
}

/// Two hops: a sender, a relay, a receiver.
fn socat(bytes: u64, certificate: &Path) -> Duration {
    let (left, right) = (free_port(), free_port());
    let certificate = certificate.display();
    let listen = |port| format!("OPENSSL-LISTEN:{port},bind=127.0.0.1,cert={certificate},verify=0");
    let connect = |port| format!("OPENSSL:127.0.0.1:{port},verify=0,retry=100,interval=0.01");
    let relay = socat_process(&[&listen(left), &listen(right)]);
    let sender = socat_process(&["STDIN", &connect(left)]);
    let receiver = socat_process(&[&connect(right), "STDOUT"]);
    let time = pump(bytes, sender, receiver);
    end(relay);
    time
}

/// A certificate and its key, in one file.
fn certificate(directory: &Path) -> std::path::PathBuf {
    let (key, both) = (directory.join("key.pem"), directory.join("both.pem"));
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
        ])
        .args(["-subj", "/CN=localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&both)
        .stderr(Stdio::null())
        .status()
        .expect("openssl is installed");
    assert!(made.success(), "openssl makes a certificate");
    let mut text = std::fs::read(&both).expect("a certificate");
    text.extend(std::fs::read(&key).expect("a key"));
    std::fs::write(&both, text).expect("there is room");
    both
}
