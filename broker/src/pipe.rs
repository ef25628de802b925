//! One pipe.
