//! What is logged once, right after logging is set up.

use super::{Config, Level, Scope};

/// The log lines of a start after the first, in order: what was ignored in the settings, then upstream's texts.
pub fn startup_lines(config: &Config) -> Vec<(Level, String)> {
    let warnings = config.warnings.iter();
    let mut lines: Vec<_> = warnings
        .map(|warning| (Level::Warning, warning.clone()))
        .collect();
    lines.extend(config.errors.iter().map(|error| (Level::Error, error.clone())));
    lines.push(match &config.scope {
        Scope::All => (
            Level::Warning,
            all_namespaces(&config.filters.namespaces_to_ignore),
        ),
        Scope::Namespaces(namespaces) => (
            Level::Info,
            format!("Watching scoped namespaces: {}", namespaces.join(", ")),
        ),
    });
    let mut warn = |line: String| lines.push((Level::Warning, line));
    if let Some(selector) = &config.filters.namespace_selector {
        warn(format!(
            "namespace-selector is set, will only detect changes in namespaces with these labels: {selector}."
        ));
    }
    if let Some(selector) = &config.filters.source_selector {
        warn(format!(
            "resource-label-selector is set, will only detect changes on resources with these labels: {selector}."
        ));
    }
    if config.webhook.is_some() {
        warn("webhook-url is set, will only send webhook, no resources will be reloaded".to_owned());
    }
    if !config.integrations.csi {
        let skipped = "Skipping secretproviderclasspodstatuses controller: EnableCSIIntegration is disabled";
        lines.push((Level::Info, skipped.to_owned()));
    }
    lines
}

fn all_namespaces(ignored: &[String]) -> String {
    let all = "KUBERNETES_NAMESPACE is unset, will detect changes in all namespaces";
    if ignored.is_empty() {
        format!("{all}.")
    } else {
        format!("{all} except: {}.", ignored.join(", "))
    }
}
