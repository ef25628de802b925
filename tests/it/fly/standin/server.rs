//! The server: connections, routing, and how an answer is written.
//!
//! Owns the path of a request: authorization, route, rate limit, injected fault, handler. A
//! listener in front of the HTTP server passes connections on, because only that allows a test to
//! cut one.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tiny_http::{Header, Request, Response, Server};

use super::answer::{Answer, Refusal};
use super::call::Call;
use super::faults::How;
use super::journal::Entry;
use super::routes;
use super::shared::Shared;
use super::{access, clock, graphql, proxy};

/// How many requests can be answered at once. A request that waits for a state occupies one of
/// these threads.
const WORKERS: usize = 16;

/// The longest body, in bytes.
const MAX_BODY: u64 = 1 << 20;

/// A running server, until it is closed.
pub struct Door {
    address: SocketAddr,
    closing: Arc<AtomicBool>,
    inner: Arc<Server>,
    passing: Passing,
    threads: Vec<JoinHandle<()>>,
}

/// The connections that are passed on, by the peer address that the HTTP server sees.
type Passing = Arc<Mutex<HashMap<SocketAddr, TcpStream>>>;

impl Door {
    /// Opens a server on a free loopback port.
    pub fn open(shared: &Arc<Shared>) -> Self {
        let inner = Arc::new(Server::http("127.0.0.1:0").expect("a server starts"));
        let outer = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = outer.local_addr().expect("it has an address");
        let behind = inner.server_addr().to_ip().expect("it has an address");
        let passing = Passing::default();
        let closing = Arc::new(AtomicBool::new(false));
        let (to, ends) = (Arc::clone(&passing), Arc::clone(&closing));
        let mut threads = vec![thread::spawn(move || accept(&outer, behind, &to, &ends))];
        threads.extend((0..WORKERS).map(|_| {
            let (server, shared, passing) =
                (Arc::clone(&inner), Arc::clone(shared), Arc::clone(&passing));
            thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    answer(&shared, request, &passing);
                }
            })
        }));
        Self {
            address,
            closing,
            inner,
            passing,
            threads,
        }
    }

    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the server.
    pub fn close(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        for _ in 0..WORKERS {
            self.inner.unblock();
        }
        let passing =
            std::mem::take(&mut *self.passing.lock().unwrap_or_else(PoisonError::into_inner));
        passing.values().for_each(proxy::cut);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Passes connections on to the HTTP server.
fn accept(outer: &TcpListener, behind: SocketAddr, passing: &Passing, closing: &AtomicBool) {
    while let Ok((client, _)) = outer.accept() {
        if closing.load(Ordering::SeqCst) {
            return;
        }
        let Ok(upstream) = TcpStream::connect(behind) else {
            return;
        };
        let (Ok(known), Ok(as_peer)) = (client.try_clone(), upstream.local_addr()) else {
            return;
        };
        passing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(as_peer, known);
        let passing = Arc::clone(passing);
        thread::spawn(move || {
            proxy::join(client, upstream);
            passing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&as_peer);
        });
    }
}

/// Answers a request, or cuts its connection.
fn answer(shared: &Arc<Shared>, mut request: Request, passing: &Passing) {
    let (method, url) = (request.method().to_string(), request.url().to_owned());
    let mut body = Vec::new();
    let read = request.as_reader().take(MAX_BODY).read_to_end(&mut body);
    let call = Call::new(&method, &url, body);
    let how = shared.faults().next(&method, &url);
    let refused = |status: u16| {
        Answer::json(
            status,
            serde_json::json!({ "error": "internal server error" }),
        )
    };
    let (answer, done) = match how {
        Some(How::CutBefore) => (None, false),
        None | Some(How::After(_) | How::CutAfter) => {
            let answer = if read.is_ok() {
                decide(shared, &request, &call)
            } else {
                Answer::empty(400)
            };
            let done = answer.status < 400;
            match how {
                Some(How::After(status)) if done => (Some(refused(status)), true),
                Some(How::CutAfter) => (None, done),
                _ => (Some(answer), done),
            }
        }
    };
    let complaint = answer.as_ref().and_then(|answer| answer.complaint.clone());
    let status = answer.as_ref().map_or(0, |answer| answer.status);
    shared.journal().add(
        Entry {
            method,
            path: url,
            status,
            done,
        },
        complaint,
    );
    if let Some(answer) = answer {
        write(request, &answer);
        return;
    }
    let peer = request.remote_addr().copied();
    let passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = peer.and_then(|peer| passing.get(&peer)) {
        proxy::cut(client);
    }
}

/// The answer to a request.
fn decide(shared: &Arc<Shared>, request: &Request, call: &Call) -> Answer {
    judge(shared, request, call).unwrap_or_else(|refusal| *refusal.0)
}

fn judge(shared: &Arc<Shared>, request: &Request, call: &Call) -> Result<Answer, Refusal> {
    let authorization = header(request, "authorization");
    let expired = shared.world().expired;
    let known = access::check(authorization.as_deref(), &shared.options.token, expired);
    let route = routes::find(call)?;
    if let Err(refusal) = known {
        return Err(if route.action == "graphql" {
            graphql::unknown(refusal)
        } else {
            refusal
        });
    }
    form(request, call, &route)?;
    if route.action != "graphql" {
        let identifier = if call.parts.len() > 4 && call.parts[3] == "machines" {
            call.item()
        } else {
            call.app()
        };
        shared.limits().take(route.action, identifier)?;
    }
    if call.parts.len() > 2 && call.parts[1] == "apps" {
        shared.world().admit(call.app())?;
    }
    (route.handler)(shared, call)
}

/// Checks the query and the body of a request.
fn form(request: &Request, call: &Call, route: &routes::Route) -> Result<(), Refusal> {
    let known = |name: &String| {
        let labels = route.query.contains(&"metadata.") && name.starts_with("metadata.");
        labels || route.query.contains(&name.as_str())
    };
    if let Some((odd, _)) = call.query.iter().find(|(name, _)| !known(name)) {
        return Err(Refusal::malformed(
            400,
            format!("unknown query parameter {odd}"),
        ));
    }
    let kind = header(request, "content-type");
    let json = kind.is_some_and(|kind| kind.split(';').next() == Some("application/json"));
    match (route.takes_json, call.body.is_empty()) {
        (false, false) => Err(Refusal::malformed(400, "this request takes no body")),
        (true, true) => Err(Refusal::malformed(400, "this request takes a body")),
        (true, false) if !json => Err(Refusal::malformed(
            400,
            "Content-Type is not application/json",
        )),
        _ => Ok(()),
    }
}

fn write(request: Request, answer: &Answer) {
    let bytes = answer
        .body
        .as_ref()
        .map(|body| body.to_string().into_bytes())
        .unwrap_or_default();
    let mut response = Response::from_data(bytes).with_status_code(answer.status);
    let mut headers = vec![("fly-request-id", format!("{}-fra", clock::version()))];
    if answer.body.is_some() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    if let Some(seconds) = answer.retry_after {
        headers.push(("retry-after", seconds.to_string()));
    }
    for (name, value) in headers {
        let header = Header::from_bytes(name.as_bytes(), value.as_bytes());
        response.add_header(header.expect("these are headers"));
    }
    // The client may have gone.
    let _ = request.respond(response);
}

fn header(request: &Request, name: &'static str) -> Option<String> {
    let mut headers = request.headers().iter();
    headers
        .find(|header| header.field.equiv(name))
        .map(|header| header.value.to_string())
}
