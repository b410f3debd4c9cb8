//! A model of the API server: etcd with the API's rules over it, and servers with watch caches that may lag behind it.
//!
//! Input: HTTP requests. Output: the answers, as the real server gives them. I/O: none.
//!
//! It knows what the controller and the conformance tests ask for; whatever else is asked of it is a panic that begins with
//! "the model knows no". There is no controller in it: no pod, no garbage collection, no status. A namespace must exist
//! before an object can be created in it; `default` does from the start.

pub mod body;
mod cache;
mod defaults;
mod fields;
mod front;
pub mod kind;
mod list;
mod log;
mod merge;
mod path;
mod query;
mod refusal;
mod selector;
mod store;
mod update;
mod validate;
mod watch;
mod write;

pub use body::Body;
pub use front::{Delay, Front, FrontOptions};
pub use log::Commit;
pub use store::Store;

#[cfg(test)]
mod tests;
