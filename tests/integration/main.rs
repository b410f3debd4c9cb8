//! The built controller against a real API server. Assertions look at objects and at the API server's audit log.

mod harness;
mod matrix;
mod opt_in;
mod quiet;
