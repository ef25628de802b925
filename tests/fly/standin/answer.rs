//! What is answered, and what is refused with which words.
//!
//! Owns the form of errors: `{"error", "status"}` (Machines API, `ErrorResponse`). Knows no resource.

use serde_json::{Value, json};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; none for an empty one.
    pub body: Option<Value>,
    /// What was wrong with the form of the request, if something was.
    pub complaint: Option<String>,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct Refusal(pub Box<Answer>);

/// What a handler returns.
pub type Outcome = Result<Answer, Refusal>;

impl Answer {
    /// This body, with this status.
    pub fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            body: Some(body),
            complaint: None,
            retry_after: None,
        }
    }

    /// Nothing but a status.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            body: None,
            complaint: None,
            retry_after: None,
        }
    }

    /// `{"ok": true}`, as the documentation has it for what changes a machine.
    pub fn ok() -> Self {
        Self::json(200, json!({ "ok": true }))
    }
}

impl Refusal {
    /// The platform does not do it; the request as such was in order.
    pub fn new(status: u16, error: impl Into<String>) -> Self {
        Self(Box::new(Answer::json(
            status,
            json!({ "error": error.into() }),
        )))
    }

    /// The request's form is wrong, which no client of this platform should let happen.
    pub fn malformed(status: u16, error: impl Into<String>) -> Self {
        let error = error.into();
        let mut refusal = Self::new(status, error.clone());
        refusal.0.complaint = Some(error);
        refusal
    }

    /// The same, with a `status` code in its body (`name_taken`, `insufficient_capacity`).
    pub fn code(mut self, code: &str) -> Self {
        if let Some(Value::Object(body)) = &mut self.0.body {
            body.insert("status".to_owned(), code.into());
        }
        self
    }
}
