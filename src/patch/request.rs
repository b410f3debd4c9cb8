//! What every write has in common.

use std::time::Duration;

use kube::api::PostParams;

use crate::{
    api_error::{ApiError, Class},
    model::FIELD_MANAGER,
};

/// How long one request may take. The API server's own limit is 60 s; a worker that waits longer for one workload
/// delays others, and a retry is harmless.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How every object is created.
pub(super) fn post() -> PostParams {
    PostParams {
        dry_run: false,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    }
}

/// The API server checks the object and stores nothing.
pub(super) fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..post()
    }
}

/// The workload is no longer the one that the plan rests on.
pub(super) fn stale(what: impl std::fmt::Display) -> ApiError {
    ApiError {
        class: Class::Conflict,
        code: None,
        message: what.to_string(),
    }
}
