//! A deterministic simulation: the controller's own code against a model of the API server, in one thread and in virtual
//! time.

pub mod server;
