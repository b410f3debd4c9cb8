//! Which objects the watches ask for.
//!
//! Input: names and selectors from the settings. Output: the watcher's configuration for a kind. I/O: none.

use kube::runtime::watcher;

use super::Watched;
use crate::model::{LEDGER_LABEL, SourceKind};

/// Which objects the API server returns. What it leaves out costs nothing here, not even decoding.
#[derive(Clone, Debug, Default)]
pub struct Selectors {
    /// Namespaces to leave out. Every kind of object can be selected by `metadata.namespace`
    /// ([field selectors](https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/)).
    pub ignored_namespaces: Vec<String>,
    /// The labels of ConfigMaps and Secrets, in Kubernetes' syntax.
    pub source_labels: Option<String>,
    /// The labels of namespaces, in Kubernetes' syntax.
    pub namespace_labels: Option<String>,
}

impl Selectors {
    /// A field selector for objects of that kind; empty where nothing is left out.
    pub fn fields(&self, watched: Watched) -> String {
        let field = match watched {
            Watched::Namespace => "metadata.name",
            Watched::Source(_) | Watched::Class | Watched::Workload(_) => "metadata.namespace",
        };
        let others = self.ignored_namespaces.iter();
        let terms: Vec<String> = others.map(|name| format!("{field}!={name}")).collect();
        terms.join(",")
    }

    fn labels(&self, watched: Watched) -> String {
        let asked = match watched {
            Watched::Source(SourceKind::ConfigMap | SourceKind::Secret) => self.source_labels.as_deref(),
            Watched::Namespace => self.namespace_labels.as_deref(),
            // The driver's objects carry the driver's labels only: a selector meant for sources would hide them all.
            Watched::Source(SourceKind::SecretProviderClass) | Watched::Class | Watched::Workload(_) => None,
        };
        // A workload that listens to every ConfigMap of the ledger's namespace would be restarted because of its own
        // restart.
        let no_ledger = format!("!{LEDGER_LABEL}");
        let is_among_ledgers = watched == Watched::Source(SourceKind::ConfigMap);
        let terms = asked
            .into_iter()
            .chain(is_among_ledgers.then_some(no_ledger.as_str()));
        terms.collect::<Vec<_>>().join(",")
    }

    pub(super) fn config(&self, watched: Watched) -> watcher::Config {
        let mut config = watcher::Config::default();
        let fields = self.fields(watched);
        if !fields.is_empty() {
            config = config.fields(&fields);
        }
        match self.labels(watched) {
            labels if labels.is_empty() => config,
            labels => config.labels(&labels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_asked_for_with_its_own_selectors() {
        let selectors = Selectors {
            ignored_namespaces: vec!["a".to_owned(), "b".to_owned()],
            source_labels: Some("source".to_owned()),
            namespace_labels: Some("namespace".to_owned()),
        };
        let asked = |watched| {
            let config = selectors.config(watched);
            (
                config.field_selector.unwrap_or_default(),
                config.label_selector.unwrap_or_default(),
            )
        };
        for watched in Watched::all().chain(Watched::CSI) {
            let labels = match watched {
                Watched::Source(SourceKind::ConfigMap) => "source,!reloader.stakater.com/ledger",
                Watched::Source(SourceKind::Secret) => "source",
                _ => "",
            };
            let fields = "metadata.namespace!=a,metadata.namespace!=b";
            assert_eq!(
                asked(watched),
                (fields.to_owned(), labels.to_owned()),
                "{watched:?}"
            );
        }
        assert_eq!(
            asked(Watched::Namespace),
            (
                "metadata.name!=a,metadata.name!=b".to_owned(),
                "namespace".to_owned()
            )
        );
    }

    #[test]
    fn nothing_but_the_ledger_is_left_out_unless_asked_for() {
        for watched in Watched::all() {
            let config = Selectors::default().config(watched);
            let is_among_ledgers = watched == Watched::Source(SourceKind::ConfigMap);
            let own = is_among_ledgers.then(|| "!reloader.stakater.com/ledger".to_owned());
            assert_eq!((config.field_selector, config.label_selector), (None, own));
        }
    }
}
