//! Tests of the deployment to Fly.io, against a strict stand-in.

mod registry;
mod standin;
mod story;
mod troubles;
