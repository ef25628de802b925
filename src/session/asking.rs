//! One question and its answer. Never asked twice: an order that was carried out must not be again.

use skypipe_broker::protocol::{Reply, Request};

use super::{Common, Output, Question};

#[derive(Debug)]
pub(super) struct Asker {
    question: Question,
    is_asked: bool,
}

impl Asker {
    pub fn new(question: Question) -> Self {
        Self {
            question,
            is_asked: false,
        }
    }

    /// Asks, on a connection that stands.
    pub fn ask(&mut self, common: &mut Common) {
        self.is_asked = true;
        let request = match self.question.clone() {
            Question::Eof(pipe) => Request::Eof { pipe },
            Question::List => Request::List { after: None },
            Question::Discard(pipe) => Request::Discard { pipe },
            Question::Status => Request::Status,
            Question::Stop(force) => Request::Stop { force },
        };
        common.send(&request, None);
    }

    pub fn detach(&mut self, common: &mut Common) {
        if !self.is_asked {
            return;
        }
        if matches!(self.question, Question::Stop(_)) {
            // A satellite that stops may be gone before its answer is here.
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
        let next_page = match &reply {
            Reply::Pipes { pipes, more: true } => pipes.last().map(|last| last.name.clone()),
            _ => None,
        };
        common.out.push_back(Output::Answer(reply));
        if next_page.is_some() {
            return common.send(&Request::List { after: next_page }, None);
        }
        common.send(&Request::Bye, None);
        common.exit(0);
    }
}
