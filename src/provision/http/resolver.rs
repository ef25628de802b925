//! Looks up host names for ureq with [`names`], as the rest of the program does.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Timeout};

use crate::names;

/// The most addresses that ureq accepts.
const MAX_ADDRESSES: usize = 16;

/// A resolver that loads none of the host's libraries.
#[derive(Debug)]
pub struct HostNames;

impl Resolver for HostNames {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let usual = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let found = look_up(host, uri.port_u16().unwrap_or(usual), &timeout)?;
        let mut addresses = self.empty();
        for address in found.into_iter().take(MAX_ADDRESSES) {
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(Error::HostNotFound);
        }
        Ok(addresses)
    }
}

/// Looks a host up. A look-up has no time-out of its own, so another thread waits for it.
fn look_up(host: &str, port: u16, timeout: &NextTimeout) -> Result<Vec<SocketAddr>, Error> {
    // A URI has an IPv6 address in brackets.
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let (sender, receiver) = mpsc::channel();
    let look_up = move || {
        let found = names::addresses(&host, port);
        let found = found.map_err(|why| format!("{host} cannot be looked up: {why}"));
        // If the result comes too late, nobody receives it any more.
        let _ = sender.send(found);
    };
    thread::Builder::new()
        .name("names".to_owned())
        .spawn(look_up)?;
    let found = match timeout.not_zero() {
        Some(timeout) => receiver
            .recv_timeout(*timeout)
            .map_err(|_| Error::Timeout(Timeout::Resolve))?,
        None => receiver.recv().map_err(|_| Error::HostNotFound)?,
    };
    found.map_err(|why| Error::Io(io::Error::new(ErrorKind::NotFound, why)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use crate::provision::http::{Body, Http};

    #[test]
    fn a_server_is_found_by_its_name() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
        });
        let http = Http::new(&format!("http://localhost:{port}"));
        let answer = http.send("GET", "/", &[], Body::Empty);
        assert_eq!(answer.expect("it answers").status, 204);
    }

    #[test]
    fn a_server_without_an_address_is_named() {
        let http = Http::new("http://-.invalid:80");
        let error = http.send("GET", "/", &[], Body::Empty);
        let error = error.expect_err("there is none");
        assert!(error.contains("-.invalid cannot be looked up"), "{error}");
    }
}
