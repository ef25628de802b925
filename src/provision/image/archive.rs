//! The image as a docker-archive, which `docker load` and `POST /images/load` accept.
//!
//! Owns that format (`image-spec-v1.2.md` of Docker's moby: "Combined Image JSON + Filesystem
//! Changeset Format").

use serde_json::json;
use tar::Builder;

use super::{digest, layer};

/// Packs a configuration and its only layer, under a name with a tag.
pub fn pack(config: &[u8], layer: &[u8], name: &str) -> Vec<u8> {
    let id = |bytes| digest(bytes).trim_start_matches("sha256:").to_owned();
    let config_path = format!("{}.json", id(config));
    let layer_path = format!("{}/layer.tar", id(layer));
    let manifest = json!([{ "Config": config_path, "RepoTags": [name], "Layers": [layer_path] }]);
    let mut builder = Builder::new(Vec::with_capacity(layer.len() + (16 << 10)));
    // The file that names the others comes first, so that a reader of a stream knows their names in
    // time.
    layer::append(
        &mut builder,
        "manifest.json",
        0o644,
        manifest.to_string().as_bytes(),
    );
    layer::append(&mut builder, &config_path, 0o644, config);
    layer::append(&mut builder, &layer_path, 0o644, layer);
    layer::finish(builder)
}
