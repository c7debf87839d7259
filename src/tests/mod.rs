//! Tests of the crate as its users see it, and of what must hold below.

mod vector;
