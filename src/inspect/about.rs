//! What the settings say, as far as answers depend on them.
//!
//! Input: [`Config`]. Output: [`Inspector`], whose other files make the answers. I/O: reads the clock.

use std::{sync::Arc, time::Instant};

use jiff::{SignedDuration, Timestamp};

use crate::{
    admin::health::Health,
    config::{self, Config},
    explain::{Flags, Replica, Scope},
    model::{SourceKind, WorkloadKey, WorkloadKind},
    worker::Context,
};

/// Makes answers from what this replica knows.
pub struct Inspector {
    context: Arc<Context>,
    health: Health,
    name: String,
    lease: Option<String>,
    started: Timestamp,
    flags: Flags,
    kinds: Vec<WorkloadKind>,
    sources: Vec<SourceKind>,
    scope: config::Scope,
    ignored: Vec<String>,
    has_source_selector: bool,
    is_webhook: bool,
}

impl Inspector {
    pub(super) fn new(config: &Config, context: Arc<Context>, health: Health) -> Self {
        let is_watched = |kind: &SourceKind| {
            Some(*kind) != config.filters.ignored_source
                && (*kind != SourceKind::SecretProviderClass || config.integrations.csi)
        };
        Self {
            context,
            health,
            name: config.pod_name.clone().unwrap_or_else(|| "reloader".to_owned()),
            lease: config
                .lease
                .as_ref()
                .map(|lease| format!("{}/{}", lease.namespace, lease.name)),
            started: Timestamp::now(),
            flags: Flags {
                options: config.options(),
                keys: Arc::new(config.annotations.clone()),
                reload_on_create: config.reload_on.create,
                reload_on_delete: config.reload_on.delete,
            },
            kinds: config.kinds(),
            sources: SourceKind::ALL.into_iter().filter(is_watched).collect(),
            scope: config.scope.clone(),
            ignored: config.filters.namespaces_to_ignore.clone(),
            has_source_selector: config.filters.source_selector.is_some(),
            is_webhook: config.webhook.is_some(),
        }
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) const fn health(&self) -> &Health {
        &self.health
    }

    pub(super) const fn flags(&self) -> &Flags {
        &self.flags
    }

    /// The kinds of workloads that are restarted.
    pub(super) fn kinds(&self) -> &[WorkloadKind] {
        &self.kinds
    }

    pub(super) const fn started(&self) -> Timestamp {
        self.started
    }

    /// The Lease, as `NAMESPACE/NAME`.
    pub(super) fn lease(&self) -> Option<&str> {
        self.lease.as_deref()
    }

    /// Whether a source that is not known may exist without the labels that are asked for.
    pub(super) const fn has_source_selector(&self) -> bool {
        self.has_source_selector
    }

    pub(super) fn leads(&self) -> bool {
        self.context.leadership().is_leader()
    }

    pub(super) fn replica(&self) -> Replica {
        Replica {
            name: self.name.clone(),
            leads: self.leads(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// What is watched of that namespace.
    pub(super) fn scope(&self, namespace: &str) -> Scope {
        let is_named = match &self.scope {
            config::Scope::All => true,
            config::Scope::Namespaces(names) => names.iter().any(|name| name == namespace),
        };
        let is_ignored = self.ignored.iter().any(|name| name == namespace);
        Scope {
            selected: Some(is_named && !is_ignored && self.context.index().selects(namespace)),
            kinds: Some(self.sources.clone()),
            policy: self.context.index().policy_of(namespace),
            windows: Arc::clone(self.context.gate().texts()),
            limits: *self.context.gate().flags(),
            notes: self.notes(),
        }
    }

    /// What of the settings matters for every answer.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_webhook {
            notes.push(
                "--webhook-url is set: changes are posted there, and no workload is restarted".to_owned(),
            );
        }
        if self.has_source_selector {
            notes.push(
                "--resource-label-selector is set: sources without those labels are not seen and restart nothing".to_owned(),
            );
        }
        if !self.leads() {
            notes.push(
                "This replica does not lead: attempts, errors and times of retries are known to the leader alone".to_owned(),
            );
        }
        notes
    }

    /// Why nothing is known of the workload.
    pub(super) fn unknown(&self, key: &WorkloadKey) -> String {
        let checks = self.health.ready(tokio::time::Instant::now());
        let is_synced = checks.iter().all(crate::admin::health::Check::passed);
        if self.is_webhook {
            "no workload is watched, because --webhook-url is set: changes of sources are posted there"
                .to_owned()
        } else if self.scope(&key.namespace).selected == Some(false) {
            format!(
                "namespace {} is not watched: see --namespaces, --namespace-selector and --namespaces-to-ignore",
                key.namespace
            )
        } else if is_synced {
            format!(
                "{key} is not known: it does not exist, is being deleted, or is a Job that is not run again"
            )
        } else {
            format!("{key} is not known yet: not everything has been listed")
        }
    }
}

/// A moment of the monotonic clock on the clock of the API, as far as the two agree.
pub(super) fn time(at: Instant, now: Timestamp) -> Timestamp {
    let here = Instant::now();
    let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    let moved = match at.checked_duration_since(here) {
        Some(later) => now.checked_add(signed(later)),
        None => now.checked_sub(signed(here.saturating_duration_since(at))),
    };
    moved.unwrap_or(now)
}
