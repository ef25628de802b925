//! Volumes: "Volumes resource" of the Machines API.
//!
//! Owns the directories behind them. A volume belongs to a region, and to at most one machine.

use std::fs;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::config::Guest;
use super::shared::Shared;
use super::world::Volume;
use super::{clock, platform};

/// How many lists show a deleted volume as `pending_destroy`.
const SHOWN: u32 = 2;

/// `CreateVolumeRequest`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    region: Option<String>,
    size_gb: Option<u64>,
    encrypted: Option<bool>,
    fstype: Option<String>,
    snapshot_retention: Option<u64>,
    auto_backup_enabled: Option<bool>,
    #[serde(rename = "require_unique_zone")]
    _require_unique_zone: Option<bool>,
    #[serde(rename = "unique_zone_app_wide")]
    _unique_zone_app_wide: Option<bool>,
    #[serde(rename = "compute")]
    _compute: Option<Guest>,
    #[serde(rename = "compute_image")]
    _compute_image: Option<String>,
    snapshot_id: Option<IgnoredAny>,
    source_volume_id: Option<IgnoredAny>,
}

impl Create {
    fn fault(&self) -> Option<&'static str> {
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !self.name.bytes().all(letters) || !(1..=30).contains(&self.name.len()) {
            return Some("the name of a volume is at most 30 of a to z, 0 to 9 and _");
        }
        if !(1..=500).contains(&self.size_gb.unwrap_or(3)) {
            return Some("size_gb must be 1 to 500");
        }
        if !(1..=60).contains(&self.snapshot_retention.unwrap_or(5)) {
            return Some("snapshot_retention must be 1 to 60");
        }
        if !matches!(self.fstype.as_deref(), None | Some("ext4")) {
            return Some("fstype other than ext4 is not played by the stand-in");
        }
        let from = self.snapshot_id.is_some() || self.source_volume_id.is_some();
        from.then_some("snapshots and forks are not played by the stand-in")
    }
}

/// Creates a volume.
pub fn create(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let wanted: Create = call.json()?;
    if let Some(what) = wanted.fault() {
        return Err(Refusal::malformed(400, format!("invalid_argument: {what}")));
    }
    let region = platform::region(wanted.region.as_deref())?;
    let mut world = shared.world();
    if world.full_for_volumes.contains(region) {
        return Err(Refusal::new(400, "no capacity").code("insufficient_capacity"));
    }
    let app = world.app(call.app())?;
    let size_gb = wanted.size_gb.unwrap_or(3);
    let sizes: u64 = app
        .volumes
        .values()
        .filter(|other| other.shown_for.is_none())
        .map(|other| other.size_gb)
        .sum();
    if shared.options.trial.is_some() && sizes + size_gb > 20 {
        return Err(Refusal::new(
            422,
            "the free trial includes 20GB of volume storage",
        ));
    }
    let id = format!("vol_{}", clock::unique(16));
    let volume = Volume {
        name: wanted.name,
        region: region.to_owned(),
        size_gb,
        encrypted: wanted.encrypted.unwrap_or(true),
        fstype: wanted.fstype.unwrap_or_else(|| "ext4".to_owned()),
        snapshot_retention: wanted.snapshot_retention.unwrap_or(5),
        auto_backup_enabled: wanted.auto_backup_enabled.unwrap_or(true),
        attached_to: None,
        created_at: clock::stamp(),
        shown_for: None,
    };
    // A real volume is a file system of its own, which is never quite empty.
    fs::create_dir_all(shared.volume_directory(&id).join("lost+found"))
        .expect("the volume's directory is made");
    let body = show(&id, &volume);
    app.volumes.insert(id, volume);
    Ok(Answer::json(200, body))
}

/// The volumes of an app, including those that were just deleted.
pub fn list(shared: &Arc<Shared>, call: &Call) -> Outcome {
    call.flag("summary")?;
    let mut world = shared.world();
    let app = world.app(call.app())?;
    let shown: Vec<Value> = app
        .volumes
        .iter()
        .map(|(id, volume)| show(id, volume))
        .collect();
    for volume in app.volumes.values_mut() {
        volume.shown_for = volume.shown_for.map(|left| left.saturating_sub(1));
    }
    app.volumes.retain(|_, volume| volume.shown_for != Some(0));
    Ok(Answer::json(200, Value::Array(shown)))
}

/// One volume.
pub fn get(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut world = shared.world();
    let volume = world
        .app(call.app())?
        .volumes
        .get(call.item())
        .ok_or_else(missing)?;
    Ok(Answer::json(200, show(call.item(), volume)))
}

/// Deletes a volume that no machine uses.
pub fn delete(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut world = shared.world();
    let volumes = &mut world.app(call.app())?.volumes;
    let volume = volumes
        .get_mut(call.item())
        .filter(|volume| volume.shown_for.is_none())
        .ok_or_else(missing)?;
    if let Some(machine) = &volume.attached_to {
        let what = format!("failed_precondition: volume is attached to machine {machine}");
        return Err(Refusal::new(409, what));
    }
    volume.shown_for = Some(SHOWN);
    let _ = fs::remove_dir_all(shared.volume_directory(call.item()));
    Ok(Answer::json(200, show(call.item(), volume)))
}

fn missing() -> Refusal {
    Refusal::new(404, "volume not found")
}

fn show(id: &str, volume: &Volume) -> Value {
    let state = if volume.shown_for.is_some() {
        "pending_destroy"
    } else {
        "created"
    };
    json!({
        "id": id, "name": volume.name, "state": state, "size_gb": volume.size_gb,
        "region": volume.region, "zone": "4d3a", "encrypted": volume.encrypted,
        "attached_machine_id": volume.attached_to, "attached_alloc_id": null,
        "created_at": volume.created_at, "blocks": 0, "block_size": 0, "blocks_free": 0,
        "blocks_avail": 0, "bytes_used": 0, "bytes_total": 0, "fstype": volume.fstype,
        "snapshot_retention": volume.snapshot_retention,
        "auto_backup_enabled": volume.auto_backup_enabled, "host_status": "ok",
        "host_dedication_key": "",
    })
}
