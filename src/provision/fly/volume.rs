//! The satellite's volume, and the region that follows from it.
//!
//! Owns that there is one volume, that it is reused if it exists, and that data is never left
//! behind in another region.

use serde_json::json;

use super::account::Account;
use super::api::segment;
use super::config::guest;
use super::types::{Machine, VOLUME, Volume};
use crate::exit::Failure;
use crate::provision::Console;

impl Account {
    /// The volumes of ours in an app.
    pub fn our_volumes(&mut self, app: &str) -> Result<Vec<Volume>, Failure> {
        self.volumes(app)
            .map_err(|error| error.failure(&format!("list the volumes of {app}")))
    }

    /// Refuses another region than the machine's. A volume cannot move, and the machine has to be
    /// where its volume is.
    pub fn refuse_other_region(&self, machine: &Machine) -> Result<(), Failure> {
        match (&self.options.region, &machine.region) {
            (Some(named), Some(there)) if named != there => Err(Failure::usage(format!(
                "the satellite is in {there} with its data, and cannot move to {named}"
            ))),
            _ => Ok(()),
        }
    }

    /// The volume in this region. It is created if there is none.
    pub fn volume(
        &mut self,
        app: &str,
        region: &str,
        volumes: &[Volume],
        console: &mut dyn Console,
    ) -> Result<Volume, Failure> {
        let there = volumes
            .iter()
            .find(|volume| volume.region.as_deref() == Some(region));
        if let Some(volume) = there {
            return Ok(volume.clone());
        }
        console.begin(&format!("create a volume in {region}"));
        let path = format!("/apps/{}/volumes", segment(app));
        // The request names the size of the machine, so that the platform puts the volume on a host
        // that has capacity for it.
        let body = json!({
            "name": VOLUME, "region": region, "size_gb": 1, "encrypted": true, "compute": guest(),
        });
        let look = |account: &mut Self| {
            let volumes = account.volumes(app)?;
            Ok(volumes
                .into_iter()
                .find(|volume| volume.region.as_deref() == Some(region)))
        };
        let created = self.create(&path, &body, &look);
        let volume =
            created.map_err(|error| error.failure(&format!("create a volume in {region}")))?;
        console.done("1 GB");
        Ok(volume)
    }

    /// The region in which to continue a launch: that of its volume, which cannot move. If another
    /// region is named, for example because this one has no capacity, a new volume there is used
    /// instead. That requires that no machine can have written to the old volume.
    pub fn region_for(
        &mut self,
        app: Option<&str>,
        volumes: &[Volume],
        console: &mut dyn Console,
    ) -> Result<String, Failure> {
        let newest = volumes.iter().max_by_key(|volume| &volume.created_at);
        let (Some(app), Some(newest)) = (app, newest) else {
            return self.region(console);
        };
        let there = newest.region.clone().unwrap_or_default();
        let Some(said) = self.named_region().map(str::to_owned) else {
            return Ok(there);
        };
        if volumes
            .iter()
            .any(|volume| volume.region.as_ref() == Some(&said))
        {
            return Ok(said);
        }
        let machines: Result<Vec<Machine>, _> = self.list(app, "machines?include_deleted=true");
        let machines =
            machines.map_err(|error| error.failure(&format!("list the machines of {app}")))?;
        if machines.iter().any(Machine::may_have_run) {
            return Err(Failure::failed(format!(
                "the satellite's data is on a volume in {there}, which cannot move to {said}: use --region \
                 {there}"
            )));
        }
        let id = &newest.id;
        console.say(&format!(
            "the volume {id} in {there} is empty and stays until the satellite is destroyed"
        ));
        Ok(said)
    }
}
