//! What is said of chunks that cannot be written: each kind of failure once, with the chunks it concerns.
//!
//! Input: failures. Output: log lines. I/O: logs.

use std::collections::BTreeMap;

use super::{super::store::Store, part::NOT_BELIEVED};
use crate::api_error::ApiError;

/// Chunks that a line names.
const NAMED: usize = 3;

/// The chunks whose last write failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    failing: BTreeMap<usize, Failing>,
    /// The last of those that were reported was written.
    has_recovered: bool,
}

#[derive(Debug)]
struct Failing {
    error: ApiError,
    /// How many failures in turn were of this category.
    times: u32,
    /// The category that was reported.
    told: Option<&'static str>,
}

impl Failures {
    pub(super) fn failed(&mut self, chunk: usize, error: &ApiError) {
        let failing = self.failing.entry(chunk).or_insert_with(|| Failing {
            error: error.clone(),
            times: 0,
            told: None,
        });
        if failing.error.category() != error.category() {
            failing.times = 0;
        }
        failing.error = error.clone();
        failing.times = failing.times.saturating_add(1);
    }

    pub(super) fn succeeded(&mut self, chunk: usize) {
        let told = self.failing.remove(&chunk).and_then(|failing| failing.told);
        let is_last = self.failing.values().all(|failing| failing.told.is_none());
        self.has_recovered |= told.is_some() && is_last;
    }

    /// Logs what is new.
    pub(super) fn report(&mut self, store: &Store) {
        if std::mem::take(&mut self.has_recovered) {
            tracing::info!("The ledger {} is written again", store.name());
        }
        let mut news: BTreeMap<&'static str, (Vec<usize>, ApiError)> = BTreeMap::new();
        for (chunk, failing) in &mut self.failing {
            let category = failing.error.category();
            if failing.is_believed() && failing.told != Some(category) {
                failing.told = Some(category);
                let entry = news
                    .entry(category)
                    .or_insert_with(|| (Vec::new(), failing.error.clone()));
                entry.0.push(*chunk);
            }
        }
        for (category, (chunks, error)) in news {
            let names = chunks.iter().take(NAMED).map(|chunk| store.chunk_name(*chunk));
            let mut parts = names.collect::<Vec<_>>().join(", ");
            if chunks.len() > NAMED {
                parts = format!("{parts} and {} more", chunks.len() - NAMED);
            }
            let text = failure_text(store.name(), &parts, &error);
            if error.is_forbidden() {
                tracing::error!("{text}");
            } else {
                tracing::warn!(category, "{text}");
            }
        }
    }
}

impl Failing {
    /// An API server that has just started refuses everything: a 403 counts once it repeats, whatever failed before it.
    fn is_believed(&self) -> bool {
        !self.error.is_forbidden() || self.times > NOT_BELIEVED
    }
}

/// Only a missing permission is advised upon: a quota or an admission policy refuses with 403 as well, and says why.
fn failure_text(name: &str, parts: &str, error: &ApiError) -> String {
    const EFFECT: &str = "What changes while no replica runs is not noticed for the sources in it";
    if error.is_missing_permission() {
        format!(
            "No permission to keep the ledger {name}: {error}. Changes made while no replica runs are not noticed. Grant get, \
             list, watch, create and update on configmaps in Reloader's own namespace"
        )
    } else if error.is_refusal() {
        format!(
            "The API server refuses to store the ledger's ConfigMap {parts}, trying again: {error}. {EFFECT}"
        )
    } else {
        format!("The ledger's ConfigMap {parts} could not be written, trying again: {error}")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::permission(
        403,
        "configmaps \"ledger\" is forbidden: User \"a\" cannot create resource \"configmaps\" in API group \"\" in the \
         namespace \"b\"",
        true
    )]
    #[case::quota(
        403,
        "configmaps \"ledger\" is forbidden: exceeded quota: few, requested: count/configmaps=1, used: \
         count/configmaps=1, limited: count/configmaps=1",
        false
    )]
    #[case::policy(403, "admission webhook \"policy\" denied the request: no", false)]
    #[case::too_large(422, "ConfigMap \"ledger\" is invalid: []: Too long", false)]
    #[case::unavailable(503, "etcd is down", false)]
    fn only_a_missing_permission_is_advised_upon(
        #[case] code: u16,
        #[case] message: &str,
        #[case] advised: bool,
    ) {
        let status = kube::core::Status::failure(message, "Forbidden").with_code(code);
        let text = failure_text("ledger", "ledger-3", &ApiError::from_status(&status));
        assert!(text.contains(message), "{text}");
        assert_eq!(text.contains("Grant"), advised, "{text}");
        assert_eq!(text.contains("not noticed"), code < 500, "{text}");
        assert_eq!(text.contains("ledger-3"), !advised, "{text}");
    }

    #[test]
    fn a_refusal_after_an_outage_counts_once_it_repeats() {
        let error = |code| ApiError::from_status(&kube::core::Status::failure("no", "no").with_code(code));
        let mut failures = Failures::default();
        (0..10).for_each(|_| failures.failed(0, &error(503)));
        assert!(failures.failing[&0].is_believed());
        for _ in 0..NOT_BELIEVED {
            failures.failed(0, &error(403));
            assert!(!failures.failing[&0].is_believed());
        }
        failures.failed(0, &error(403));
        assert!(failures.failing[&0].is_believed());
    }
}
