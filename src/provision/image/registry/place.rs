//! Where requests to a registry go.
//!
//! Owns that credentials go only to the registry and to the token service that it names, and
//! unencrypted only within this machine. The errors are texts that follow "the registry HOST".

use ureq::http::Uri;

use crate::provision::http::is_loopback;

/// The longest URL that is accepted, in bytes.
const MAX_URL: usize = 8 << 10;

/// A server, and a path there, which may have a query.
#[derive(Debug, PartialEq, Eq)]
pub struct Realm {
    /// `https://HOST`.
    pub origin: String,
    /// The path, such as `/token`.
    pub path: String,
}

/// The registry's own URL, if a password may be sent there. The error is a whole sentence.
pub fn origin(base: &str) -> Result<Uri, String> {
    let refuse = |what| Err(format!("{base:?} is no registry to push to: {what}"));
    let Ok(uri) = base.parse::<Uri>() else {
        return refuse("it is no URL");
    };
    let Some(host) = uri.host() else {
        return refuse("it is no URL with a host");
    };
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    match uri.scheme_str() {
        _ if !is_bare => refuse("it has more than a host and a port"),
        _ if has_user(&uri) => refuse("it has a user"),
        Some("https") => Ok(uri),
        Some("http") if is_loopback(host) => Ok(uri),
        Some("http") => refuse("the password would be sent unencrypted"),
        _ => refuse("it is no URL of https"),
    }
}

/// The path at the registry, with its query, that a `Location` header names. `here` is the path of
/// the request. Only the path of the location is used: a registry behind a proxy says `http`
/// although it is reached by `https`.
pub fn within(base: &Uri, here: &str, location: &str) -> Result<String, String> {
    let location = location.split('#').next().unwrap_or_default();
    if location.len() > MAX_URL || !location.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("names a place that is no URL".to_owned());
    }
    if location.starts_with('/') {
        return Ok(location.to_owned());
    }
    if !location.contains("://") {
        return Ok(format!("{here}{location}"));
    }
    let no_url = |_| "names a place that is no URL".to_owned();
    let uri: Uri = location.parse().map_err(no_url)?;
    let usual = if base.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    let port = |uri: &Uri| uri.port_u16().unwrap_or(usual);
    let name = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    if (name(&uri), port(&uri)) != (name(base), port(base)) {
        let host = uri
            .authority()
            .map_or("another host", |authority| authority.as_str());
        return Err(format!(
            "wants the upload to go to {host}, which would get the password: that is refused"
        ));
    }
    Ok(uri
        .path_and_query()
        .map_or_else(|| "/".to_owned(), ToString::to_string))
}

/// The token service that a registry names.
pub fn realm(base: &Uri, realm: &str) -> Result<Realm, String> {
    let no_url = || "names a token service that is no URL".to_owned();
    if realm.len() > MAX_URL {
        return Err(no_url());
    }
    let uri: Uri = realm.parse().map_err(|_| no_url())?;
    let (Some(scheme), Some(host), Some(authority)) =
        (uri.scheme_str(), uri.host(), uri.authority())
    else {
        return Err(no_url());
    };
    // Only a registry on this machine may be reached by `http`, and only such a registry may name a token
    // service on this machine. A remote registry must not send the password to whatever listens here.
    let is_here = is_loopback(host);
    let is_local = base.scheme_str() == Some("http") && is_here;
    if is_here && !base.host().is_some_and(is_loopback) {
        return Err(format!(
            "wants the password to be sent to {host}, which is this machine: that is refused"
        ));
    }
    match scheme {
        "https" | "http" if has_user(&uri) => Err(no_url()),
        "http" if !is_local => Err(format!(
            "wants the password to be sent to {host} unencrypted: that is refused"
        )),
        "https" | "http" => Ok(Realm {
            origin: format!("{scheme}://{authority}"),
            path: uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
        }),
        _ => Err(no_url()),
    }
}

fn has_user(uri: &Uri) -> bool {
    uri.authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
}
