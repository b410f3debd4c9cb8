//! A model of the API server: one store, and API servers over it whose caches may lag.
//!
//! Input: HTTP requests. Output: HTTP responses, and every commit in order. I/O: none.
//!
//! It knows what the controller and the rest of the simulation ask for, and panics where it is asked for something else:
//! an answer that a real API server would not give proves nothing.

mod body;
mod defaults;
mod fields;
mod front;
mod kind;
mod merge;
mod path;
mod read;
mod refusal;
mod selector;
mod store;
mod streaming;
mod validate;
mod write;

pub use body::Body;
pub use front::{Front, FrontOptions};
pub use store::{Commit, Store};
