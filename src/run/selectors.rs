//! What the settings leave out, as selectors of the watches.

use crate::{config::Filters, watch};

pub(super) fn selectors(filters: &Filters) -> watch::Selectors {
    watch::Selectors {
        ignored_namespaces: filters.namespaces_to_ignore.clone(),
        source_labels: filters.source_selector.as_ref().map(ToString::to_string),
        namespace_labels: filters.namespace_selector.as_ref().map(ToString::to_string),
    }
}
