//! The built controller against a real API server. Assertions look at objects and at the API server's audit log.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml excuses only functions marked as tests"
)]

mod harness;
mod ledger;
mod matrix;
mod opt_in;
mod quiet;
mod wire;
