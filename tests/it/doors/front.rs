//! Tests of a front that terminates TLS: nginx and `HAProxy`, with a certificate that nobody
//! trusts.

use super::server::{Plan, Server, certificate};
use super::sky::{Sky, carries};

/// Nginx, with this text in its configuration.
fn nginx(config: &str) -> Option<Server> {
    let (certificate, key) = certificate()?;
    Server::start(&Plan {
        program: ("nginx", "nginx-light and libnginx-mod-stream"),
        arguments: vec!["-c", "CONFIG", "-g", "daemon off;"],
        config: format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
             error_log HERE/errors;\npid HERE/pid;\nworker_processes 1;\nevents {{}}\n{config}\n"
        ),
        files: vec![("certificate", certificate), ("key", key)],
    })
}

const TLS: &str = "listen 127.0.0.1:PORT ssl;\nssl_certificate HERE/certificate;\n\
                   ssl_certificate_key HERE/key;\n";

#[test]
fn nginx_ends_tls() {
    let sky = Sky::new(&[]);
    let to = format!("proxy_pass 127.0.0.1:{};", sky.port());
    let Some(nginx) = nginx(&format!("stream {{ server {{ {TLS} {to} }} }}")) else {
        return;
    };
    let machine = sky.machine(&format!("skypipe+tls://localhost:{}", nginx.port()));
    carries(&machine, |run| run);
}

#[test]
fn haproxy_ends_tls() {
    let sky = Sky::new(&[]);
    let Some((certificate, key)) = certificate() else {
        return;
    };
    let haproxy = Server::start(&Plan {
        program: ("haproxy", "haproxy"),
        arguments: vec!["-db", "-f", "CONFIG"],
        config: format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             frontend tls\n bind 127.0.0.1:PORT ssl crt HERE/pem\n default_backend sky\n\
             backend sky\n server sky 127.0.0.1:{}\n",
            sky.port()
        ),
        files: vec![("pem", [certificate, key].concat())],
    });
    let Some(haproxy) = haproxy else {
        return;
    };
    let machine = sky.machine(&format!("skypipe+tls://127.0.0.1:{}", haproxy.port()));
    carries(&machine, |run| run);
}

/// The configuration with which nginx passes on WebSockets below `/pipes`.
fn websockets(port: u16) -> String {
    format!(
        "http {{ access_log off; client_body_temp_path HERE; proxy_temp_path HERE;\n\
         fastcgi_temp_path HERE; uwsgi_temp_path HERE; scgi_temp_path HERE;\n\
         server {{ {TLS} location /pipes {{ proxy_pass http://127.0.0.1:{port};\n\
         proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection upgrade; proxy_read_timeout 1d; }} }} }}"
    )
}

#[test]
fn nginx_passes_websockets_on() {
    let sky = Sky::new(&["--listen", "ws://0"]);
    let Some(mut nginx) = nginx(&websockets(sky.ports("ws://")[0])) else {
        return;
    };
    let port = nginx.port();
    let machine = sky.machine(&format!("skypipe+wss://localhost:{port}/pipes/ours"));
    carries(&machine, |run| run);
    // A broadcast, with a restart of the front in the middle.
    let readers = [0, 1].map(|_| machine.skypipe(&["-r", "many"]).start());
    machine.until_listeners("many", 2);
    let writer = machine.skypipe(&["-w", "many"]).piped().start();
    writer.say("before\n");
    for reader in &readers {
        reader.shows("before\n");
    }
    nginx.restart();
    writer.say("after\n");
    writer.close_stdin();
    writer.outcome().success();
    for reader in readers {
        assert_eq!(reader.outcome().success(), b"before\nafter\n");
    }
    let elsewhere = sky.machine(&format!("skypipe+wss://localhost:{port}/other"));
    let check = elsewhere.skypipe(&["--check", "--connect-timeout", "1s"]);
    check
        .done()
        .told(4, "answers 404 Not Found at /other instead of a WebSocket");
}

#[test]
fn what_is_in_front_does_not_speak_tls() {
    let sky = Sky::new(&[]);
    let machine = sky.machine(&format!("skypipe+tls://127.0.0.1:{}", sky.port()));
    let check = machine.skypipe(&["--check", "--connect-timeout", "1s"]);
    check
        .done()
        .told(4, "TLS with the server in front of it failed");
}

#[test]
fn an_impostor_in_front_is_told_as_one() {
    let (sky, other) = (Sky::new(&[]), Sky::new(&[]));
    let to = format!("proxy_pass 127.0.0.1:{};", other.port());
    let Some(nginx) = nginx(&format!("stream {{ server {{ {TLS} {to} }} }}")) else {
        return;
    };
    let machine = sky.machine(&format!("skypipe+tls://localhost:{}", nginx.port()));
    let check = machine.skypipe(&["--check", "--connect-timeout", "5s"]);
    check.done().told(4, "is not the one in your invitation");
}
