//! Answers and refusals.
//!
//! Owns the form of errors: `{"error", "status"}` (Machines API, `ErrorResponse`). Knows no
//! resource.

use serde_json::{Value, json};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; none for an empty one.
    pub body: Option<Value>,
    /// The complaint about a malformed request, if it was one.
    pub complaint: Option<String>,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

/// An answer that refuses the request.
#[derive(Debug)]
pub struct Refusal(pub Box<Answer>);

/// What a handler returns.
pub type Outcome = Result<Answer, Refusal>;

impl Answer {
    /// An answer with this status and body.
    pub fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            body: Some(body),
            complaint: None,
            retry_after: None,
        }
    }

    /// An answer with a status and no body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            body: None,
            complaint: None,
            retry_after: None,
        }
    }

    /// `{"ok": true}`, the documented answer to a change of a machine.
    pub fn ok() -> Self {
        Self::json(200, json!({ "ok": true }))
    }
}

impl Refusal {
    /// A refusal of a well-formed request.
    pub fn new(status: u16, error: impl Into<String>) -> Self {
        Self(Box::new(Answer::json(
            status,
            json!({ "error": error.into() }),
        )))
    }

    /// A refusal of a malformed request. A correct client never causes one.
    pub fn malformed(status: u16, error: impl Into<String>) -> Self {
        let error = error.into();
        let mut refusal = Self::new(status, error.clone());
        refusal.0.complaint = Some(error);
        refusal
    }

    /// Adds a `status` code to the body (`name_taken`, `insufficient_capacity`).
    pub fn code(mut self, code: &str) -> Self {
        if let Some(Value::Object(body)) = &mut self.0.body {
            body.insert("status".to_owned(), code.into());
        }
        self
    }
}
