//! One question and its answer. A question is never sent twice, because its action must not be repeated.

use bytes::Bytes;
use skypipe_protocol::{MAX_KEYS_PAGE, MAX_NAME, MAX_PAGE, Reply, Request};

use crate::crypto::seal::Order;

use super::{Common, Output, Question, Stage};

/// The maximum number of pages in an answer. A satellite with a hundred thousand pipes sends a thousand.
const MOST_PAGES: u32 = 2_000;

#[derive(Debug)]
pub(super) struct Asker {
    question: Question,
    is_asked: bool,
    pages: u32,
    /// The last name on the previous page. The next page must begin after it.
    last: Option<String>,
}

impl Asker {
    pub fn new(question: Question) -> Self {
        Self {
            question,
            is_asked: false,
            pages: 0,
            last: None,
        }
    }

    /// Sends the question once the connection stands, unless `Welcome` itself is the answer.
    pub fn welcomed(&mut self, common: &mut Common, welcome: Reply) {
        if common.stage != Stage::Over && !self.is_asked {
            self.is_asked = true;
            if self.question == Question::Own {
                return self.answered(common, welcome);
            }
            self.ask(common);
        }
    }

    fn ask(&mut self, common: &mut Common) {
        let request = match self.question.clone() {
            Question::Eof(pipe) => {
                let order = Self::order(common, &pipe);
                Request::Eof { pipe, order }
            }
            Question::List => Request::List { after: None },
            Question::Discard(pipe) => Request::Discard { pipe },
            Question::Status => Request::Status,
            Question::Stop(force) => Request::Stop { force },
            // `Welcome` has carried the answer already.
            Question::Own => Request::Ping,
            Question::Invite(new) => Request::Invite(new),
            Question::Keys => Request::Keys { after: None },
            Question::Revoke(name, discard) => Request::Revoke { name, discard },
            Question::Keyring(new) => Request::Keyring(new),
            Question::Phrase => Request::Phrase,
            Question::SetPhrase(epoch, phrase) => Request::SetPhrase { epoch, phrase },
        };
        common.send(&request, None);
    }

    /// The sealed attestation of an `--eof` at a satellite with keys: who ended the listeners, and when.
    fn order(common: &Common, pipe: &str) -> Bytes {
        let order = Order {
            by: common.name.clone(),
            at: common.config.unix_time.saturating_add(common.now.as_secs()),
        };
        let keyring = common.keyring.as_ref();
        let sealed = keyring.and_then(|keyring| order.seal(keyring.newest(), pipe));
        // A key without the right to read cannot seal one. The satellite refuses its `--eof` anyway.
        sealed.unwrap_or_default()
    }

    pub fn detach(&mut self, common: &mut Common) {
        if !self.is_asked {
            return;
        }
        if matches!(self.question, Question::Stop(_)) {
            // A stopping satellite may be gone before its answer arrives.
            common.out.push_back(Output::Answer(Reply::Stopping));
            common.exit(0);
        } else {
            common.fail(1, "the connection broke before the satellite answered");
        }
    }

    pub fn received(&mut self, common: &mut Common, reply: Reply) {
        common.progress();
        if let Reply::Error { message, .. } = reply {
            return common.fail(1, &message);
        }
        if !self.is_asked {
            return;
        }
        self.answered(common, reply);
    }

    fn answered(&mut self, common: &mut Common, reply: Reply) {
        if !self.question.is_answered_by(&reply) {
            let message = "the satellite's answer does not match the question";
            return common.fail(1, message);
        }
        self.pages += 1;
        let next = next_page(&reply);
        // Pages are ordered by name, so each must begin after the previous one.
        let goes_on = next.is_none() || next > self.last;
        if self.pages > MOST_PAGES || !goes_on {
            return common.fail(1, "the satellite's answer has no end");
        }
        self.last.clone_from(&next);
        let is_list = matches!(reply, Reply::Pipes { .. });
        common.out.push_back(Output::Answer(reply));
        if next.is_some() {
            let after = next;
            let request = if is_list {
                Request::List { after }
            } else {
                Request::Keys { after }
            };
            return common.send(&request, None);
        }
        common.send(&Request::Bye, None);
        common.exit(0);
    }
}

/// The last name on this page, after which the next page begins. `None` on the last page.
fn next_page(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Pipes { pipes, more: true } => pipes.last().map(|last| last.name.clone()),
        Reply::Keys {
            keys, more: true, ..
        } => keys.last().map(|last| last.name.clone()),
        _ => None,
    }
}

impl Question {
    /// Whether the reply answers this question and the page limit is not exceeded.
    fn is_answered_by(&self, reply: &Reply) -> bool {
        match (self, reply) {
            (Self::List, Reply::Pipes { pipes, more }) => {
                let is_short = pipes.iter().all(|pipe| pipe.name.len() <= MAX_NAME);
                is_short && pipes.len() <= MAX_PAGE && !(*more && pipes.is_empty())
            }
            (Self::Keys, Reply::Keys { keys, more, .. }) => {
                keys.len() <= MAX_KEYS_PAGE && !(*more && keys.is_empty())
            }
            (Self::Eof(_), Reply::EofTaken)
            | (Self::Discard(_), Reply::Discarded { .. })
            | (Self::Status, Reply::Status(_))
            | (Self::Stop(_), Reply::Stopping)
            | (Self::Own, Reply::Welcome { .. })
            | (Self::Invite(_), Reply::Invited { .. })
            | (Self::Revoke(..), Reply::Revoked)
            | (Self::Keyring(_) | Self::SetPhrase(..), Reply::Kept)
            | (Self::Phrase, Reply::Phrase(_)) => true,
            _ => false,
        }
    }
}
