//! What is said once, right after logging works.

use super::{Config, Level, Scope};

/// The log lines of a start, in order: upstream's texts, then what was ignored in the settings.
pub fn startup_lines(config: &Config) -> Vec<(Level, String)> {
    let mut lines = vec![(Level::Info, "Starting Reloader".to_owned())];
    lines.extend(
        config
            .warnings
            .iter()
            .map(|warning| (Level::Warning, warning.clone())),
    );
    lines.push(match &config.scope {
        Scope::All => (
            Level::Warning,
            "KUBERNETES_NAMESPACE is unset, will detect changes in all namespaces.".to_owned(),
        ),
        Scope::Namespaces(namespaces) => (
            Level::Info,
            format!("Watching scoped namespaces: {}", namespaces.join(", ")),
        ),
    });
    lines
}
