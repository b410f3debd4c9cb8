//! A deterministic simulation: the controller's own code against a model of the API server, in one thread and in virtual
//! time.

pub mod cluster;
pub mod draws;
pub mod entropy;
pub mod link;
pub mod machine;
pub mod oracle;
pub mod plan;
pub mod pods;
pub mod replica;
pub mod server;
pub mod world;
