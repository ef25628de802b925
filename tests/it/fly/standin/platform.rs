//! Regions.
//!
//! Owns the few regions of this platform.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::shared::Shared;

/// A region: its code, its name, its location, and whether it requires a paid plan or is
/// deprecated.
pub struct Region {
    pub code: &'static str,
    pub name: &'static str,
    pub latitude: f64,
    pub longitude: f64,
    pub paid: bool,
    pub deprecated: bool,
}

/// All regions. The first one is the nearest.
pub const REGIONS: [Region; 5] = [
    at("fra", "Frankfurt, Germany", (50.11, 8.68), false, false),
    at("ams", "Amsterdam, Netherlands", (52.37, 4.89), false, false),
    at(
        "iad",
        "Ashburn, Virginia (US)",
        (39.02, -77.46),
        false,
        false,
    ),
    at("bom", "Mumbai, India", (19.09, 72.87), true, false),
    at("mad", "Madrid, Spain", (40.42, -3.70), false, true),
];

const fn at(
    code: &'static str,
    name: &'static str,
    (latitude, longitude): (f64, f64),
    paid: bool,
    deprecated: bool,
) -> Region {
    Region {
        code,
        name,
        latitude,
        longitude,
        paid,
        deprecated,
    }
}

/// The requested region, or the nearest one.
pub fn region(wanted: Option<&str>) -> Result<&'static str, Refusal> {
    let Some(wanted) = wanted.filter(|code| !code.is_empty()) else {
        return Ok(REGIONS[0].code);
    };
    let known = REGIONS
        .iter()
        .find(|region| region.code == wanted && !region.deprecated);
    known
        .map(|region| region.code)
        .ok_or_else(|| Refusal::new(400, format!("invalid_argument: unknown region {wanted}")))
}

/// All regions, with their capacity.
#[expect(clippy::unnecessary_wraps, reason = "all handlers have the same type")]
pub fn regions(shared: &Arc<Shared>, _call: &Call) -> Outcome {
    let world = shared.world();
    let regions: Vec<Value> = REGIONS
        .iter()
        .map(|region| {
            let full = world.full_for_machines.contains(region.code);
            json!({
                "code": region.code, "name": region.name, "latitude": region.latitude,
                "longitude": region.longitude, "gateway_available": true,
                "requires_paid_plan": region.paid, "deprecated": region.deprecated,
                "capacity": if full { 0 } else { 1000 }, "geo_region": "unspecified",
            })
        })
        .collect();
    Ok(Answer::json(
        200,
        json!({ "regions": regions, "nearest": REGIONS[0].code }),
    ))
}
