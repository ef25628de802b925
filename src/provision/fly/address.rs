//! The public addresses of the satellite's app.
//!
//! Owns that each address is assigned once, and that nobody pays for one unasked.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::json;

use super::account::Account;
use super::api::segment;
use super::error::ApiError;
use super::types::Address;
use crate::exit::Failure;
use crate::provision::Console;

/// Some global address, to check whether this machine has a route to such addresses.
const GLOBAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1));

const PRICE: &str = "an IPv4 address at Fly.io costs about $2 a month; without one, only machines that have IPv6 \
                     reach the satellite";

impl Account {
    /// Whether to assign an IPv4 address in addition to the IPv6 address.
    pub fn wants_ipv4(
        &self,
        addresses: &[IpAddr],
        console: &mut dyn Console,
    ) -> Result<bool, Failure> {
        if self.options.ipv4 || addresses.iter().any(IpAddr::is_ipv4) {
            return Ok(self.options.ipv4);
        }
        let here = if self.env().has_route(GLOBAL) {
            ""
        } else {
            ", which this machine does not have"
        };
        let answer = console.confirm(&format!("{PRICE}{here}. Take an IPv4 address?"))?;
        Ok(answer.unwrap_or(false))
    }

    /// The app's addresses. Missing ones are assigned.
    pub fn assign(
        &mut self,
        app: &str,
        mut addresses: Vec<IpAddr>,
        ipv4: bool,
        console: &mut dyn Console,
    ) -> Result<Vec<IpAddr>, Failure> {
        if !addresses.iter().any(IpAddr::is_ipv6) {
            addresses.push(self.address(app, "v6", IpAddr::is_ipv6, console)?);
        }
        if ipv4 && !addresses.iter().any(IpAddr::is_ipv4) {
            addresses.push(self.address(app, "v4", IpAddr::is_ipv4, console)?);
        }
        Ok(addresses)
    }

    fn address(
        &mut self,
        app: &str,
        kind: &str,
        is_kind: fn(&IpAddr) -> bool,
        console: &mut dyn Console,
    ) -> Result<IpAddr, Failure> {
        console.begin(&format!("get an address of IP{kind}"));
        let path = format!("/apps/{}/ip_assignments", segment(app));
        let look = |account: &mut Self| {
            let mut assignments = account.assignments(app)?;
            assignments.retain(|address| address.public().is_some_and(|ip| is_kind(&ip)));
            Ok(assignments.into_iter().next())
        };
        let created = self.create::<Address>(&path, &json!({ "type": kind }), &look);
        let doing = format!("assign an address of IP{kind}");
        let address = created.map_err(|error| error.failure(&doing))?;
        let address = address.public().filter(is_kind);
        let address = address.ok_or_else(|| {
            ApiError::Invalid("it is another kind of address".to_owned()).failure(&doing)
        })?;
        console.done(&address.to_string());
        Ok(address)
    }
}
