//! A launch as a method of its platform.

use skypipe::exit::Failure;
use skypipe::provision::{Console, Found, Host, Plan, launch};

/// A platform that a test launches satellites on.
pub trait Launch: Host + Sized {
    /// Launches a satellite, as `--setup` does.
    fn launch(
        &mut self,
        plan: &Plan,
        found: Option<&Found>,
        console: &mut dyn Console,
    ) -> Result<Found, Failure> {
        launch::launch(self, plan, found, console)
    }
}

impl<T: Host> Launch for T {}
