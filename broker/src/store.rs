//! Where waiting bytes lie.
/// Draft.
pub trait Store {}
/// Memory.
#[derive(Debug, Default)]
pub struct Memory;
impl Store for Memory {}
