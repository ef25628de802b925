//! The complete use, with the real program: from `--setup` to `--reset`.

use crate::common::deployed::{Platform, Sky};
use crate::common::network::Network;
use crate::common::parts;
use crate::fly::registry::Registry;
use crate::fly::standin::{Leftovers, Options, Standin};

/// A text that has the form of a macaroon.
pub const TOKEN: &str = "fm2_token-of-a-test";

impl Platform for Standin {
    fn asked(&self) -> Option<usize> {
        Some(self.requests().len())
    }

    fn has_one(&self) {
        let machines = self.machines();
        assert_eq!(machines.len(), 1, "{machines:?}");
        assert_eq!(machines[0].state, "started");
        let left = self.leftovers();
        assert_eq!((left.apps.len(), left.volumes.len()), (1, 1), "{left:?}");
        assert_eq!(left.addresses.len(), 1, "{left:?}");
        assert_eq!(self.complaints(), Vec::<String>::new());
    }

    fn has_none(&self) {
        assert_eq!(self.leftovers(), Leftovers::default());
        assert_eq!(self.complaints(), Vec::<String>::new());
    }
}

#[test]
fn an_account_from_setup_to_reset() {
    if !parts::are_there() {
        return;
    }
    let _network = Network::enter();
    let registry = Registry::start(TOKEN);
    let standin = Standin::start(Options::new(TOKEN, registry.address()).quick());
    let sky = sky(&standin, &registry);
    sky.whole_story(&standin);
}

/// The account's environment, as its user sets it.
pub fn sky(standin: &Standin, registry: &Registry) -> Sky {
    Sky {
        target: "fly".to_owned(),
        vars: vec![
            ("FLY_FLAPS_BASE_URL", standin.url()),
            ("FLY_API_BASE_URL", standin.url()),
            (
                "FLY_REGISTRY_HOST",
                format!("http://{}", registry.address()),
            ),
            ("FLY_API_TOKEN", TOKEN.to_owned()),
            ("FLY_REGION", "fra".to_owned()),
        ],
        endpoint: "tcp://[fd00:5::1]:9000".to_owned(),
    }
}
