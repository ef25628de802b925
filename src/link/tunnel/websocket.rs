//! The client's side of a WebSocket handshake.
//!
//! This module owns the request. Afterwards the WebSocket carries a stream of bytes ([`Messages`]).

use skypipe_satellite::relay::Outer;
use skypipe_satellite::websocket::{Messages, PROTOCOL, limits};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::{Error, HandshakeError};

/// Performs the handshake over `stream` for a WebSocket at this path.
pub(super) fn shake(
    stream: Box<dyn Outer>,
    host: &str,
    port: u16,
    path: &str,
) -> Result<Box<dyn Outer>, String> {
    let request = format!("wss://{host}:{port}{path}").into_client_request();
    let mut request = request.map_err(|error| error.to_string())?;
    let name = HeaderValue::from_static(PROTOCOL);
    request.headers_mut().insert("Sec-WebSocket-Protocol", name);
    match tungstenite::client::client_with_config(request, stream, Some(limits())) {
        Ok((socket, _)) => Ok(Box::new(Messages::new(socket))),
        Err(HandshakeError::Failure(Error::Http(answer))) => Err(format!(
            "the server in front of it answers {} at {path} instead of a WebSocket",
            answer.status()
        )),
        Err(HandshakeError::Failure(error)) => {
            Err(format!("there is no WebSocket at {path}: {error}"))
        }
        Err(HandshakeError::Interrupted(_)) => {
            Err("the server in front of it did not answer in time".to_owned())
        }
    }
}
