//! Volumes: "Volumes resource" of the Machines API.
//!
//! Owns the directories behind them. A volume belongs to a region, and to at most one machine.

use std::fs;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::config::Guest;
use super::shared::Shared;
use super::world::Volume;
use super::{clock, platform};

/// `CreateVolumeRequest`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    region: Option<String>,
    size_gb: Option<u64>,
    encrypted: Option<bool>,
    #[serde(rename = "compute")]
    _compute: Option<Guest>,
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
        None
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
    let sizes: u64 = app.volumes.values().map(|other| other.size_gb).sum();
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
        attached_to: None,
        created_at: clock::stamp(),
    };
    // A real volume is a file system of its own, which is never quite empty.
    fs::create_dir_all(shared.volume_directory(&id).join("lost+found"))
        .expect("the volume's directory is made");
    let body = show(&id, &volume);
    app.volumes.insert(id, volume);
    Ok(Answer::json(200, body))
}

/// The volumes of an app.
pub fn list(shared: &Arc<Shared>, call: &Call) -> Outcome {
    let mut world = shared.world();
    let app = world.app(call.app())?;
    let shown: Vec<Value> = app
        .volumes
        .iter()
        .map(|(id, volume)| show(id, volume))
        .collect();
    Ok(Answer::json(200, Value::Array(shown)))
}

fn show(id: &str, volume: &Volume) -> Value {
    json!({
        "id": id, "name": volume.name, "state": "created", "size_gb": volume.size_gb,
        "region": volume.region, "zone": "4d3a", "encrypted": volume.encrypted,
        "attached_machine_id": volume.attached_to, "attached_alloc_id": null,
        "created_at": volume.created_at, "blocks": 0, "block_size": 0, "blocks_free": 0,
        "blocks_avail": 0, "bytes_used": 0, "bytes_total": 0, "fstype": "ext4",
        "snapshot_retention": 5, "auto_backup_enabled": true, "host_status": "ok",
        "host_dedication_key": "",
    })
}
