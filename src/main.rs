//! stackwarden.
fn main() {}
