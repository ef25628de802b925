//! Public addresses of apps: `ip_assignments`.
//!
//! Owns the loopback addresses behind them: `fd00:5::N` for IPv6, `127.8.0.N` for a dedicated IPv4.
//! Nothing listens on a shared IPv4, because it carries no raw TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clock;
use super::shared::Shared;
use super::world::Address;

/// The one address that all apps share. Nothing listens there.
const SHARED: Ipv4Addr = Ipv4Addr::new(127, 8, 255, 1);

/// `assignIPRequest`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Assign {
    #[serde(rename = "type")]
    kind: String,
    region: Option<String>,
    org_slug: Option<String>,
    network: Option<String>,
    service_name: Option<String>,
}

/// Assigns an address to an app.
pub fn create(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: Assign = call.json()?;
    let odd = [&wanted.org_slug, &wanted.network, &wanted.service_name];
    if odd.into_iter().flatten().any(|value| !value.is_empty()) {
        return Err(Refusal::malformed(
            400,
            "private addresses are not played by the stand-in",
        ));
    }
    if wanted.kind == "v4" && shared.options.trial.is_some() {
        return Err(Refusal::new(
            422,
            "dedicated IPv4 addresses are not included in the free trial",
        ));
    }
    let region = wanted
        .region
        .filter(|region| !region.is_empty())
        .unwrap_or_else(|| "global".to_owned());
    let address = {
        let mut world = shared.world();
        let number = world.addresses + 1;
        let (low, high) = (number.to_be_bytes()[1], number.to_be_bytes()[0]);
        let ip = match wanted.kind.as_str() {
            "v6" => IpAddr::V6(Ipv6Addr::new(0xfd00, 5, 0, 0, 0, 0, 0, number)),
            "v4" => IpAddr::V4(Ipv4Addr::new(127, 8, high, low)),
            "shared_v4" => IpAddr::V4(SHARED),
            other => return Err(Refusal::malformed(400, format!("invalid ip type {other}"))),
        };
        let app = world.app(call.app())?;
        if app.addresses.iter().any(|address| address.ip == ip) {
            return Err(Refusal::new(
                409,
                "the app has a shared IPv4 address already",
            ));
        }
        let address = Address {
            ip,
            shared: wanted.kind == "shared_v4",
            region,
            created_at: clock::stamp(),
        };
        app.addresses.push(address.clone());
        world.addresses = number;
        address
    };
    if !address.shared {
        add(&address);
    }
    shared.edge.sync(shared);
    Ok(Answer::json(200, show(&address)))
}

/// The addresses of an app.
pub fn list(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut world = shared.world();
    let ips: Vec<Value> = world.app(call.app())?.addresses.iter().map(show).collect();
    Ok(Answer::json(200, json!({ "ips": ips })))
}

fn show(address: &Address) -> Value {
    json!({
        "ip": address.ip, "region": address.region, "service_name": "", "shared": address.shared,
        "created_at": address.created_at,
    })
}

fn add(address: &Address) {
    let done = ip(&["address", "add", &prefix(address), "dev", "lo"]);
    assert!(
        done,
        "an address can be added to loopback: is this a network of the test's own?"
    );
}

/// Removes an address from loopback.
pub fn release(address: &Address) {
    if !address.shared {
        ip(&["address", "del", &prefix(address), "dev", "lo"]);
    }
}

/// The addresses of this kind on loopback, including those of others.
pub fn present() -> Vec<String> {
    let output = Command::new("ip")
        .args(["-o", "address", "show", "dev", "lo"])
        .output()
        .expect("ip runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text
        .split_whitespace()
        .filter(|word| word.starts_with("fd00:5::") || word.starts_with("127.8."));
    words.map(str::to_owned).collect()
}

fn prefix(address: &Address) -> String {
    format!(
        "{}/{}",
        address.ip,
        if address.ip.is_ipv6() { 128 } else { 32 }
    )
}

fn ip(arguments: &[&str]) -> bool {
    let status = Command::new("ip")
        .args(arguments)
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
