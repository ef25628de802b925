//! The complete use, with the real program: from `--setup` to `--reset`.

use crate::common::deployed::{Platform, Sky};
use crate::ssh::host::Host;
use crate::ssh::parts;

impl Platform for Host {
    fn has_one(&self) {
        assert_eq!(self.satellites().len(), 1, "{:?}", self.processes());
        assert_eq!(self.supervisors().len(), 1, "{:?}", self.processes());
    }

    fn has_none(&self) {
        assert_eq!(self.processes(), []);
        assert!(!self.root().exists());
    }
}

#[test]
fn a_host_from_setup_to_reset() {
    if !parts::are_there() {
        return;
    }
    let host = Host::up();
    let sky = Sky {
        target: "ssh://here".to_owned(),
        vars: vec![("SKYPIPE_SSH", host.file("ssh/ssh").display().to_string())],
        endpoint: "tcp://127.0.0.1:9000".to_owned(),
    };
    sky.whole_story(&host);
}
