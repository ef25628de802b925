//! The organisation and the region for a satellite at Fly.io.
//!
//! Owns the questions about them. Never asks what a flag or the environment already says.

use serde_json::Value;

use super::account::Account;
use super::api::Ask;
use super::things::{Region, Regions};
use crate::exit::Failure;
use crate::provision::{Choice, Talk};

/// The query for the organisations, as in fly-go (`resource_organizations.go`).
const ORGANISATIONS: &str = "query { organizations { nodes { slug name } } }";

impl Account<'_> {
    /// The organisations to look at: the one that was named, else all that the token can see.
    ///
    /// # Errors
    ///
    /// When the organisations cannot be listed.
    pub fn organisations(&mut self) -> Result<Vec<Choice>, Failure> {
        if let Some(org) = self.options.org.as_ref().or(self.settings.org.as_ref()) {
            return Ok(vec![Choice {
                name: org.clone(),
                about: String::new(),
            }]);
        }
        let data = self.api.graphql(ORGANISATIONS, self.around);
        let data = data.map_err(|fault| {
            let failure = fault.failure("list the organisations");
            Failure {
                sentence: format!("{}. --org names one without that", failure.sentence),
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
    ///
    /// # Errors
    ///
    /// When there is none, or none was chosen.
    pub fn organisation(&mut self, talk: &mut dyn Talk) -> Result<String, Failure> {
        let mut organisations = self.organisations()?;
        let at = match organisations.len() {
            0 => {
                return Err(Failure::failed(
                    "the token sees no organisation at Fly.io: --org names one",
                ));
            }
            1 => 0,
            _ => talk.choose("Which organisation at Fly.io?", &organisations, "--org")?,
        };
        Ok(organisations.swap_remove(at).name)
    }

    /// The region that the flag or the environment names.
    #[must_use]
    pub fn said_region(&self) -> Option<&str> {
        self.options
            .region
            .as_deref()
            .or(self.settings.region.as_deref())
    }

    /// The region for a new volume. Everything else follows the volume.
    ///
    /// # Errors
    ///
    /// When the regions cannot be listed, or none was chosen.
    pub fn region(&mut self, talk: &mut dyn Talk) -> Result<String, Failure> {
        if let Some(region) = self.said_region() {
            return Ok(region.to_owned());
        }
        let regions: Regions = self.ask(&Ask::get("/platform/regions")).map_err(|fault| {
            let failure = fault.failure("list the regions");
            Failure {
                sentence: format!("{}. --region names one without that", failure.sentence),
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
                "Fly.io names no region: --region names one",
            ));
        }
        let at = talk.choose("Which region of Fly.io?", &choices, "--region")?;
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
