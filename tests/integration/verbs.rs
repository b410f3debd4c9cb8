//! The verbs for users: what they answer, with the controller and without, as an administrator and as a user of one namespace.

mod answers;
mod forwards;
mod objects;
mod older;
mod tool;
