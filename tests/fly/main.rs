//! Tests of the deployment to Fly.io, against a strict stand-in.

#[path = "../common/mod.rs"]
mod common;

mod registry;
mod standin;
mod story;
mod troubles;
