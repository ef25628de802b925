//! Tests of the deployment to Fly.io, against a strict stand-in.

mod itself;
mod registry;
mod stage;
mod standin;
mod story;
mod troubles;
