//! Tests: a client that the satellite refuses.

use skypipe_protocol::Code;

use super::dialogue::write_job;
use super::sealed::{ENOUGH, dialogue, writer};
use crate::session::Input;

#[test]
fn who_is_refused_exits_at_once() {
    let refused = || Input::Refused("you are not on the list".to_owned());
    let mut dialogue = dialogue(write_job(false));
    dialogue.happen(refused());
    assert_eq!(dialogue.exit, Some(4));
    assert_eq!(dialogue.notices, ["you are not on the list"]);
    let mut dialogue = writer(ENOUGH);
    dialogue.happen(refused());
    assert_eq!(dialogue.exit, Some(1));
    let mut dialogue = writer(ENOUGH);
    dialogue.refuse(Code::Denied, None);
    assert_eq!(dialogue.exit, Some(1));
}
