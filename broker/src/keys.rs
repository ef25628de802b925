//! Keys: who may connect to a satellite, and what each of them may do.

/// A key's number at its satellite. It is never given to another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u64);
