//! Tests of proxies that the environment names, as for curl.

use std::net::TcpListener;

use super::server::{Plan, Server};
use super::sky::{Sky, carries};
use crate::common::process::Run;

/// Squid, with these rules. It looks names up in its own file, in which `sky.test` is this machine.
fn squid(rules: &str) -> Option<Server> {
    Server::start(&Plan {
        program: ("squid", "squid"),
        arguments: vec!["-N", "-f", "CONFIG"],
        config: format!(
            "http_port 127.0.0.1:PORT\n{rules}\ncache deny all\npid_filename none\n\
             hosts_file HERE/hosts\naccess_log stdio:HERE/access\ncache_log HERE/log\n\
             netdb_filename none\ncoredump_dir HERE\nshutdown_lifetime 0 seconds\n"
        ),
        files: vec![
            ("hosts", b"127.0.0.1 sky.test\n".to_vec()),
            // The user `me` with the password `secret`.
            ("users", b"me:$apr1$x$12YdXEY0/hH4rDNkmZupO0\n".to_vec()),
        ],
    })
}

fn microsocks(arguments: &[&'static str]) -> Option<Server> {
    Server::start(&Plan {
        program: ("microsocks", "microsocks"),
        arguments: [&["-i", "127.0.0.1", "-p", "PORT"], arguments].concat(),
        config: String::new(),
        files: Vec::new(),
    })
}

fn through(variable: &'static str, proxy: String) -> impl Fn(Run) -> Run {
    move |run| run.var(variable, &proxy)
}

#[test]
fn squid_looks_the_name_up_and_connects() {
    let Some(squid) = squid("http_access allow all") else {
        return;
    };
    let sky = Sky::new(&[]);
    let machine = sky.machine(&format!("sky.test:{}", sky.port()));
    let proxy = format!("http://127.0.0.1:{}", squid.port());
    carries(&machine, through("HTTPS_PROXY", proxy.clone()));
    let proxied = through("all_proxy", proxy);
    carries(&machine, &proxied);
    let check = proxied(machine.skypipe(&["--check"])).done().success();
    let line = format!("proxy      127.0.0.1:{}\n", squid.port());
    assert!(String::from_utf8_lossy(&check).contains(&line));
    assert!(
        squid
            .file("access")
            .contains(&format!("CONNECT sky.test:{}", sky.port()))
    );
    // Without the proxy, the name is unknown.
    let lost = machine
        .skypipe(&["--check", "--connect-timeout", "1s"])
        .done();
    lost.told(4, "sky.test cannot be looked up");
}

#[test]
fn rule_16_a_stream_goes_on_through_a_proxy_that_was_restarted() {
    let Some(mut squid) = squid("http_access allow all") else {
        return;
    };
    let sky = Sky::new(&[]);
    let machine = sky.machine(&format!("sky.test:{}", sky.port()));
    let proxied = through("HTTPS_PROXY", format!("127.0.0.1:{}", squid.port()));
    let reader = proxied(machine.skypipe(&["-r", "door"])).start();
    let writer = proxied(machine.skypipe(&["-w", "door"])).piped().start();
    writer.say("before\n");
    reader.shows("before\n");
    squid.restart();
    writer.say("after\n");
    writer.close_stdin();
    writer.outcome().success();
    assert_eq!(reader.outcome().success(), b"before\nafter\n");
}

#[test]
fn squid_wants_a_password_which_is_never_shown() {
    let rules = "auth_param basic program /usr/lib/squid/basic_ncsa_auth HERE/users\n\
                 acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all";
    let Some(squid) = squid(rules) else {
        return;
    };
    let sky = Sky::new(&[]);
    let machine = sky.machine(&format!("sky.test:{}", sky.port()));
    let port = squid.port();
    let proxied = through("HTTPS_PROXY", format!("http://me:secret@127.0.0.1:{port}"));
    carries(&machine, proxied);
    let check = || machine.skypipe(&["--check", "--connect-timeout", "1s"]);
    let unknown = check().var("HTTPS_PROXY", format!("127.0.0.1:{port}"));
    let why = format!("the proxy at 127.0.0.1:{port} requires a user and a password");
    unknown.done().told(4, &why);
    let wrong = check().var("HTTPS_PROXY", format!("http://me:guessed@127.0.0.1:{port}"));
    let why = format!("the proxy at 127.0.0.1:{port} does not accept the user and password");
    let outcome = wrong.done();
    assert!(!outcome.stderr.contains("guessed"));
    outcome.told(4, &why);
}

#[test]
fn a_proxy_that_refuses_is_named() {
    let Some(squid) = squid("acl web port 443\nhttp_access allow web\nhttp_access deny all") else {
        return;
    };
    let sky = Sky::new(&[]);
    let machine = sky.machine(&format!("sky.test:{}", sky.port()));
    let why = format!(
        "the proxy at 127.0.0.1:{} does not allow connections to sky.test:{} (403 Forbidden)",
        squid.port(),
        sky.port()
    );
    let check = machine.skypipe(&["--check", "--connect-timeout", "1s"]);
    check
        .var("ALL_PROXY", format!("127.0.0.1:{}", squid.port()))
        .done()
        .told(4, &why);
}

#[test]
fn socks_with_and_without_a_password() {
    let (Some(open), Some(closed)) = (microsocks(&[]), microsocks(&["-u", "me", "-P", "secret"]))
    else {
        return;
    };
    let sky = Sky::new(&[]);
    let machine = sky.machine(&format!("localhost:{}", sky.port()));
    for scheme in ["socks5", "socks5h"] {
        let proxy = format!("{scheme}://127.0.0.1:{}", open.port());
        carries(&machine, through("ALL_PROXY", proxy));
    }
    let place = format!("127.0.0.1:{}", closed.port());
    carries(
        &machine,
        through("ALL_PROXY", format!("socks5h://me:secret@{place}")),
    );
    let check = |proxy: String| {
        let check = machine.skypipe(&["--check", "--connect-timeout", "1s"]);
        check.var("ALL_PROXY", proxy).done()
    };
    let why = format!("the proxy at {place} does not accept the user and password");
    check(format!("socks5h://me:guessed@{place}")).told(4, &why);
    let why = format!("the proxy at {place} requires a user and a password");
    check(format!("socks5h://{place}")).told(4, &why);
}

#[test]
fn no_proxy_and_proxies_that_are_not_there() {
    let sky = Sky::new(&[]);
    let machine = sky.machine(&format!("localhost:{}", sky.port()));
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let place = gone.local_addr().expect("it is bound").to_string();
    drop(gone);
    let check = || {
        let check = machine.skypipe(&["--check", "--connect-timeout", "1s"]);
        check.var("HTTPS_PROXY", &place)
    };
    let why = format!("the proxy at {place} cannot be reached: Connection refused");
    check().done().told(4, &why);
    for exception in ["*", "localhost", "other.test,.localhost"] {
        check().var("NO_PROXY", exception).done().success();
    }
    // A loopback address is this machine's, and the proxy's own where the proxy is.
    let direct = sky.machine(&format!("127.0.0.1:{}", sky.port()));
    let direct = direct.skypipe(&["--check"]).var("HTTPS_PROXY", &place);
    direct.done().success();
    let nonsense = check().var("HTTPS_PROXY", "gopher://me:secret@x").done();
    assert!(!nonsense.stderr.contains("secret"));
    nonsense.told(2, "HTTPS_PROXY is not a kind of proxy that skypipe knows");
}
