//! One namespace's queue.
