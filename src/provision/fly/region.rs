//! The organisation and the region for a satellite at Fly.io.
//!
//! Owns the questions about them. Never asks what a flag or the environment already says.

use serde_json::Value;

use super::account::Account;
use super::api::Call;
use super::types::{Region, Regions};
use crate::exit::Failure;
use crate::provision::{Choice, Console};

/// The query for the organisations, as in fly-go (`resource_organizations.go`).
const ORGANISATIONS: &str = "query { organizations { nodes { slug name } } }";

impl Account {
    /// The organisations to look at: the one that was named, else all that the token can see.
    pub fn organisations(&mut self) -> Result<Vec<Choice>, Failure> {
        if let Some(org) = self.options.org.as_ref().or(self.profile.org.as_ref()) {
            return Ok(vec![Choice {
                name: org.clone(),
                about: String::new(),
            }]);
        }
        let data = self.api.graphql(ORGANISATIONS);
        let data = data.map_err(|error| {
            let failure = error.failure("list the organisations");
            Failure {
                sentence: format!("{}. To skip this, name one with --org", failure.sentence),
                ..failure
            }
        })?;
        let nodes = data["organizations"]["nodes"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let text = |node: &Value, key: &str| node[key].as_str().map(str::to_owned);
        let organisation = |node: &Value| {
            Some(Choice {
                name: text(node, "slug")?,
                about: text(node, "name").unwrap_or_default(),
            })
        };
        Ok(nodes.iter().filter_map(organisation).collect())
    }

    /// The organisation for a new app.
    pub fn organisation(&mut self, console: &mut dyn Console) -> Result<String, Failure> {
        let mut organisations = self.organisations()?;
        let at = match organisations.len() {
            0 => {
                return Err(Failure::failed(
                    "the token gives access to no organisation at Fly.io: name one with --org",
                ));
            }
            1 => 0,
            _ => console.choose("Which organisation at Fly.io?", &organisations, "--org")?,
        };
        Ok(organisations.swap_remove(at).name)
    }

    /// The region that the flag or the environment names.
    pub fn named_region(&self) -> Option<&str> {
        self.options
            .region
            .as_deref()
            .or(self.profile.region.as_deref())
    }

    /// The region for a new volume. Everything else follows the volume.
    pub fn region(&mut self, console: &mut dyn Console) -> Result<String, Failure> {
        if let Some(region) = self.named_region() {
            return Ok(region.to_owned());
        }
        let regions: Regions = self
            .api
            .send(&Call::get("/platform/regions"))
            .map_err(|error| {
                let failure = error.failure("list the regions");
                Failure {
                    sentence: format!("{}. To skip this, name one with --region", failure.sentence),
                    ..failure
                }
            })?;
        let nearest = regions.nearest.unwrap_or_default();
        let mut open: Vec<Region> = regions.regions.unwrap_or_default();
        open.retain(|region| region.deprecated != Some(true));
        open.sort_by_key(|region| region.code != nearest);
        let mut choices: Vec<Choice> = open.iter().map(|region| choice(region, &nearest)).collect();
        if choices.is_empty() {
            return Err(Failure::failed(
                "Fly.io lists no region: name one with --region",
            ));
        }
        let at = console.choose("Which region of Fly.io?", &choices, "--region")?;
        Ok(choices.swap_remove(at).name)
    }
}

fn choice(region: &Region, nearest: &str) -> Choice {
    let mut about = region.name.clone().unwrap_or_default();
    if region.code == nearest {
        about.push_str(" (the nearest)");
    }
    if region.requires_paid_plan == Some(true) {
        about.push_str(" (for paid plans)");
    }
    Choice {
        name: region.code.clone(),
        about,
    }
}
