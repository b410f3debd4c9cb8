//! The kinds of objects that the model knows, and the rules that differ between them.
//!
//! Input: a path of the API. Output: [`Kind`]. I/O: none.

/// A kind of object.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a table of properties, as the source has them"
)]
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version of the group.
    pub version: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// Its name in objects.
    pub kind: &'static str,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
    /// Whether the status is a subresource.
    pub status: bool,
    /// Defined by a CustomResourceDefinition: no strategic merge, lists are one value, maps have no fixed fields.
    pub custom: bool,
    /// Whether an update may do without a resourceVersion.
    pub unconditional_update: bool,
    /// Whether a PUT may create.
    pub create_on_update: bool,
    /// What raises `metadata.generation`.
    pub generation: Generation,
    /// Where the pod template lies.
    pub template: &'static [&'static str],
}

/// What raises `metadata.generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// It has none.
    Absent,
    /// A change of `spec`.
    Spec,
    /// A change of `spec` or of the annotations.
    SpecAndAnnotations,
    /// A change of anything but `metadata` and `status`.
    Content,
}

const PLAIN: Kind = Kind {
    group: "",
    version: "v1",
    plural: "",
    kind: "",
    namespaced: true,
    status: false,
    custom: false,
    unconditional_update: true,
    create_on_update: false,
    generation: Generation::Absent,
    template: &[],
};

const WORKLOAD: Kind = Kind {
    group: "apps",
    status: true,
    generation: Generation::Spec,
    template: &["spec", "template"],
    ..PLAIN
};

const CUSTOM: Kind = Kind {
    custom: true,
    unconditional_update: false,
    generation: Generation::Content,
    ..PLAIN
};

/// Every kind that the model serves.
pub static KINDS: [Kind; 14] = [
    Kind {
        plural: "configmaps",
        kind: "ConfigMap",
        ..PLAIN
    },
    Kind {
        plural: "secrets",
        kind: "Secret",
        ..PLAIN
    },
    Kind {
        plural: "namespaces",
        kind: "Namespace",
        namespaced: false,
        status: true,
        ..PLAIN
    },
    Kind {
        plural: "events",
        kind: "Event",
        create_on_update: true,
        ..PLAIN
    },
    Kind {
        plural: "deployments",
        kind: "Deployment",
        generation: Generation::SpecAndAnnotations,
        ..WORKLOAD
    },
    Kind {
        plural: "statefulsets",
        kind: "StatefulSet",
        ..WORKLOAD
    },
    Kind {
        plural: "daemonsets",
        kind: "DaemonSet",
        ..WORKLOAD
    },
    Kind {
        group: "batch",
        plural: "jobs",
        kind: "Job",
        ..WORKLOAD
    },
    Kind {
        group: "batch",
        plural: "cronjobs",
        kind: "CronJob",
        template: &["spec", "jobTemplate", "spec", "template"],
        ..WORKLOAD
    },
    Kind {
        group: "coordination.k8s.io",
        plural: "leases",
        kind: "Lease",
        unconditional_update: false,
        create_on_update: true,
        ..PLAIN
    },
    Kind {
        group: "argoproj.io",
        version: "v1alpha1",
        plural: "rollouts",
        kind: "Rollout",
        status: true,
        template: &["spec", "template"],
        ..CUSTOM
    },
    Kind {
        group: "secrets-store.csi.x-k8s.io",
        plural: "secretproviderclasses",
        kind: "SecretProviderClass",
        ..CUSTOM
    },
    Kind {
        group: "secrets-store.csi.x-k8s.io",
        plural: "secretproviderclasspodstatuses",
        kind: "SecretProviderClassPodStatus",
        ..CUSTOM
    },
    Kind {
        group: "example.com",
        plural: "widgets",
        kind: "Widget",
        ..CUSTOM
    },
];

impl Kind {
    /// The kind of that name in paths.
    ///
    /// # Panics
    /// The model knows no such kind.
    pub fn of(plural: &str) -> &'static Self {
        let found = KINDS.iter().find(|kind| kind.plural == plural);
        #[expect(
            clippy::panic,
            reason = "what the model does not know must not pass for an answer"
        )]
        found.unwrap_or_else(|| panic!("the model knows no kind {plural}"))
    }

    /// `group/version`, or the version alone for the core group.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `plural.group`, as error messages name it.
    pub fn resource(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// `Kind.group`, as messages about invalid objects name it.
    pub fn qualified_kind(&self) -> String {
        match self.group {
            "" => self.kind.to_owned(),
            group => format!("{}.{group}", self.kind),
        }
    }
}
