//! The kinds of objects that are restarted: Kubernetes' own, Argo's Rollout, OpenShift's DeploymentConfig, and custom
//! resources that the user names.
//!
//! Input: the text of `--workload-kind`. Output: [`WorkloadKind`], with everything the API needs to know of it.
//! I/O: none.

use std::{fmt, str::FromStr};

/// A kind of object that is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `batch/v1` CronJob: never changed; a change creates a Job of it.
    CronJob,
    /// `batch/v1` Job: its pod template cannot be changed, so a change deletes and creates it.
    Job,
    /// `argoproj.io/v1alpha1` Rollout, of Argo Rollouts.
    Rollout,
    /// `apps.openshift.io/v1` DeploymentConfig, of OpenShift.
    DeploymentConfig,
    /// A custom kind that the user has named. It lives as long as the process.
    Custom(&'static CustomKind),
}

impl WorkloadKind {
    /// Every built-in kind, in the order in which they are declared.
    pub const BUILT_IN: [Self; 7] = [
        Self::Deployment,
        Self::DaemonSet,
        Self::StatefulSet,
        Self::CronJob,
        Self::Job,
        Self::Rollout,
        Self::DeploymentConfig,
    ];

    /// The kind as the API spells it, also a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::DaemonSet => "DaemonSet",
            Self::StatefulSet => "StatefulSet",
            Self::CronJob => "CronJob",
            Self::Job => "Job",
            Self::Rollout => "Rollout",
            Self::DeploymentConfig => "DeploymentConfig",
            Self::Custom(custom) => custom.kind.as_str(),
        }
    }

    /// The API group; empty for the core group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Deployment | Self::DaemonSet | Self::StatefulSet => "apps",
            Self::CronJob | Self::Job => "batch",
            Self::Rollout => "argoproj.io",
            Self::DeploymentConfig => "apps.openshift.io",
            Self::Custom(custom) => custom.group.as_str(),
        }
    }

    /// The API version within the group.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Rollout => "v1alpha1",
            Self::Custom(custom) => custom.version.as_str(),
            _ => "v1",
        }
    }

    /// Group and version as objects spell them: `apps/v1`.
    pub fn api_version(self) -> String {
        format!("{}/{}", self.group(), self.version())
    }

    /// The plural resource name of the API.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::DaemonSet => "daemonsets",
            Self::StatefulSet => "statefulsets",
            Self::CronJob => "cronjobs",
            Self::Job => "jobs",
            Self::Rollout => "rollouts",
            Self::DeploymentConfig => "deploymentconfigs",
            Self::Custom(custom) => custom.plural.as_str(),
        }
    }

    /// The kind in log lines, health checks and the ledger: the plural name, of a named kind with its group, since that
    /// one alone may be taken (`deployments` of another group).
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Custom(custom) => custom.resource.as_str(),
            _ => self.plural(),
        }
    }

    /// The names of the fields that lead from the object to its pod template.
    pub fn template_path(self) -> Vec<&'static str> {
        match self {
            Self::CronJob => vec!["spec", "jobTemplate", "spec", "template"],
            Self::Custom(custom) => custom.template.iter().map(String::as_str).collect(),
            _ => vec!["spec", "template"],
        }
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A kind of custom resource whose objects have a pod template.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomKind {
    group: String,
    version: String,
    kind: String,
    plural: String,
    /// `<plural>.<group>`.
    resource: String,
    template: Vec<String>,
}

/// Why a text names no kind. Each text names the valid form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustomKindError {
    /// It does not have three or four parts.
    #[error(
        "{0:?} is not of the form GROUP/VERSION/KIND[/PLURAL][:PATH], as apps.kruise.io/v1alpha1/CloneSet or \
         example.com/v1/Proxy/proxies:spec.podTemplate"
    )]
    Form(String),
    /// A part has characters that are not allowed.
    #[error("{0:?} is not the name of an API {1}; allowed are {2}")]
    Name(String, &'static str, &'static str),
    /// The path is empty or has an empty field name.
    #[error(
        "{0:?} is not the path of a pod template; write the names of the fields with dots: spec.template"
    )]
    Path(String),
    /// The kind is built in.
    #[error("{0} is a built-in kind and needs no flag")]
    BuiltIn(WorkloadKind),
}

impl CustomKindError {
    /// A static label for logs and tests.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Form(_) => "form",
            Self::Name(..) => "name",
            Self::Path(_) => "path",
            Self::BuiltIn(_) => "built_in",
        }
    }
}

impl FromStr for CustomKind {
    type Err = CustomKindError;

    /// Reads `GROUP/VERSION/KIND[/PLURAL][:PATH]`. Without PLURAL it follows from KIND by the rules of English, as
    /// everywhere in Kubernetes; without PATH it is `spec.template`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, path) = text.split_once(':').unwrap_or((text, "spec.template"));
        let parts: Vec<&str> = name.split('/').collect();
        let (group, version, kind, plural) = match parts[..] {
            [group, version, kind] => (group, version, kind, plural_of(&kind.to_ascii_lowercase())),
            [group, version, kind, plural] => (group, version, kind, plural.to_owned()),
            _ => return Err(CustomKindError::Form(text.to_owned())),
        };
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        check(group, "group", "lower-case letters, digits, - and .", |byte| {
            lower(byte) || byte == b'-' || byte == b'.'
        })?;
        check(version, "version", "lower-case letters and digits", lower)?;
        check(kind, "kind", "letters and digits", |byte| {
            byte.is_ascii_alphanumeric()
        })?;
        check(&plural, "resource", "lower-case letters, digits and -", |byte| {
            lower(byte) || byte == b'-'
        })?;
        let template: Vec<String> = path.split('.').map(str::to_owned).collect();
        if template.iter().any(String::is_empty) {
            return Err(CustomKindError::Path(path.to_owned()));
        }
        let known = |built_in: &WorkloadKind| built_in.group() == group && built_in.as_str() == kind;
        if let Some(built_in) = WorkloadKind::BUILT_IN.into_iter().find(known) {
            return Err(CustomKindError::BuiltIn(built_in));
        }
        Ok(Self {
            resource: format!("{plural}.{group}"),
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural,
            template,
        })
    }
}

fn check(
    text: &str,
    what: &'static str,
    allowed: &'static str,
    is_allowed: impl Fn(u8) -> bool,
) -> Result<(), CustomKindError> {
    if !text.is_empty() && text.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(CustomKindError::Name(text.to_owned(), what, allowed))
}

/// The plural that the tools for CustomResourceDefinitions propose: `policies`, `ingresses`, `clonesets`.
fn plural_of(word: &str) -> String {
    let sibilant = ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end));
    let consonant_y = word
        .strip_suffix('y')
        .filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']));
    match consonant_y {
        Some(stem) => format!("{stem}ies"),
        None if sibilant => format!("{word}es"),
        None => format!("{word}s"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::shortest(
        "apps.kruise.io/v1alpha1/CloneSet",
        "clonesets",
        "clonesets.apps.kruise.io",
        "spec.template"
    )]
    #[case::plural(
        "example.com/v1/Proxy/proxys",
        "proxys",
        "proxys.example.com",
        "spec.template"
    )]
    #[case::path(
        "example.com/v1/Proxy:spec.pods.template",
        "proxies",
        "proxies.example.com",
        "spec.pods.template"
    )]
    #[case::all(
        "example.com/v1beta2/Mesh/meshes:template",
        "meshes",
        "meshes.example.com",
        "template"
    )]
    fn a_kind_is_read(#[case] text: &str, #[case] plural: &str, #[case] resource: &str, #[case] path: &str) {
        let custom: &'static CustomKind = Box::leak(Box::new(text.parse().unwrap()));
        let kind = WorkloadKind::Custom(custom);
        assert_eq!((kind.plural(), kind.resource()), (plural, resource));
        assert_eq!(kind.template_path().join("."), path);
        assert!(text.starts_with(&format!("{}/{kind}", kind.api_version())));
    }

    #[rstest]
    #[case("", "form")]
    #[case("CloneSet", "form")]
    #[case("v1/Pod", "form")]
    #[case("a/b/c/d/e", "form")]
    #[case("/v1/Pod", "name")]
    #[case("Apps.io/v1/A", "name")]
    #[case("a.io/V1/A", "name")]
    #[case("a.io/v1/A B", "name")]
    #[case("a.io/v1/A/As", "name")]
    #[case("a.io/v1/A:", "path")]
    #[case("a.io/v1/A:spec..template", "path")]
    #[case("apps/v1/Deployment", "built_in")]
    #[case("argoproj.io/v1alpha1/Rollout", "built_in")]
    #[case("apps.openshift.io/v1/DeploymentConfig", "built_in")]
    fn a_mistake_has_a_name(#[case] text: &str, #[case] category: &str) {
        assert_eq!(text.parse::<CustomKind>().unwrap_err().category(), category);
    }

    #[rstest]
    #[case("policy", "policies")]
    #[case("gateway", "gateways")]
    #[case("ingress", "ingresses")]
    #[case("mesh", "meshes")]
    #[case("job", "jobs")]
    fn plurals_are_english(#[case] one: &str, #[case] many: &str) {
        assert_eq!(plural_of(one), many);
    }
}
