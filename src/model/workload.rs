//! A workload, reduced: its opt-in annotations, what its pods reference, and its markers.

use std::{fmt, sync::Arc};

use super::{
    Content, LastReloadedFrom, OptIn, Pause, Policy, Rollout, Source, SourceRef, UnixSeconds, WorkloadKey,
    env_name,
};

/// The field manager of every write; upstream's, so that `managedFields` name one owner.
pub const FIELD_MANAGER: &str = "Reloader";

/// A workload as the watch last showed it, reduced to what a decision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Which object this is.
    pub key: WorkloadKey,
    /// `metadata.uid`: distinguishes a recreated object from an updated one.
    pub uid: Box<str>,
    /// `metadata.resourceVersion` as a number, so that an older view never overwrites a newer one
    /// ([comparable since Kubernetes 1.35](https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions),
    /// monotonic in etcd before). 0 where the text is not a number.
    pub resource_version: u64,
    /// `metadata.generation`, which every change of the spec raises; 0 where there is none.
    pub generation: i64,
    /// `metadata.creationTimestamp`; without one it counts as older than everything. Pods of a workload that is younger
    /// than a change started with the new content.
    pub created_at: Option<UnixSeconds>,
    /// The reload annotations of the workload and of its pod template, parsed.
    pub opt_in: OptIn,
    /// Its pause settings; `None` on most workloads, and so one pointer.
    pub pause: Option<Box<Pause>>,
    /// What its annotations say about when it may restart; `None` on most workloads.
    pub policy: Option<Box<Policy>>,
    /// The pod template, reduced.
    pub template: PodTemplate,
    /// The Deployment of the same namespace whose pod template this is (a Rollout's `workloadRef`); `None`: its own.
    pub template_of: Option<Arc<str>>,
    /// What restarts it.
    pub restart: Restart,
    /// What a change of its pod template does to its pods.
    pub replacement: Replacement,
    /// What its status says of its pods.
    pub pods: Pods,
    /// How far its status says that the rollout of its present template is; the default where it opts into nothing.
    pub rollout: Rollout,
    /// The last write of another manager than [`FIELD_MANAGER`] that was later than its: by `metadata.managedFields`, status
    /// and scale left out. Those know a manager only by what it set: who only removes fields is not among them. Within one
    /// second another manager counts as the later. None of a workload that opts into nothing.
    pub written_by: Option<Box<LastWrite>>,
    /// It is of a kind that the user has named, and the path leads to no pod template in it.
    pub lacks_template: bool,
}

/// What the status of a workload says of its pods, which are not watched themselves: pods come and go only together with
/// these numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// A hash of every number of the status and of `spec.replicas`: another one means that pods have come or gone.
    pub counts: u64,
    /// Some are not ready or not updated yet, or the status is of an earlier spec: one may start at any moment. False while
    /// there is no status.
    pub are_moving: bool,
    /// All are of the present template, and ready.
    pub are_complete: bool,
}

/// The last write that `metadata.managedFields` show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWrite {
    /// Its field manager.
    pub manager: Box<str>,
    /// When.
    pub at: UnixSeconds,
}

/// Whether a change of the pod template replaces the pods that run, by the settings of the workload as it is now.
///
/// Of a Rollout with canary steps all pods are replaced in the end: its steps are a way there, as a Deployment's surge is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replacement {
    /// All of them, by its controller.
    #[default]
    All,
    /// Some or all of them keep running.
    Partly(HeldBack),
    /// It follows from nothing that is known here: a custom kind, a DeploymentConfig with a deployer of its own, or a
    /// CronJob or Job, whose template is that of later pods.
    Unknown,
}

/// What keeps a workload's controller from replacing pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// `spec.updateStrategy.type: OnDelete` of a StatefulSet or DaemonSet: a pod is replaced when it is deleted.
    OnDelete,
    /// `spec.updateStrategy.rollingUpdate.partition` of a StatefulSet is above zero: pods with a lower ordinal stay.
    Partition,
    /// `spec.paused` of a Deployment, Rollout or DeploymentConfig, whoever set it, Reloader for a pause period included.
    Paused,
    /// `spec.triggers` of a DeploymentConfig has no `ConfigChange`: a changed template waits for a rollout that is asked for.
    NoTrigger,
}

/// What restarts a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// A marker in its pod template.
    #[default]
    Template,
    /// A Rollout's `spec.restartAt`, which restarts the pods created before it and makes no new revision.
    At {
        /// Its present value.
        last: Option<UnixSeconds>,
    },
    /// A new Job of a CronJob, which itself stays unchanged.
    NewJob {
        /// `spec.suspend`.
        suspended: bool,
    },
    /// A Job's deletion and creation: the pod template of a Job cannot be changed.
    Recreate,
}

impl Workload {
    /// Its place in the order of restarts for one source: lower ones go first.
    pub fn wave(&self) -> i32 {
        let limits = Policy::limits_of(self.policy.as_deref());
        limits.and_then(|limits| limits.wave).unwrap_or_default()
    }

    /// Whether its own annotation holds back its restarts.
    pub fn is_suspended(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.suspended)
    }

    /// Whether it was created after the source was last written, so that its pods have always had this content.
    ///
    /// Creation times have whole seconds. Within one second the resourceVersions decide: a workload that was seen
    /// with a version before the source's (`first_version`, the earliest one) was certainly created before it.
    pub fn is_younger_than(&self, source: &Source, first_version: u64) -> bool {
        source.modified_at.is_some_and(|modified_at| {
            (self.created_at, first_version) > (Some(modified_at), source.resource_version)
        })
    }
}

/// The parts of a pod template that show which sources the pods use, and which digests they last started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodTemplate {
    /// `spec.containers`, in order.
    pub containers: Vec<Container>,
    /// `spec.initContainers`, in order; native sidecars are among them.
    pub init_containers: Vec<Container>,
    /// `spec.volumes` that show a source, in order; others are left out.
    pub volumes: Vec<Volume>,
    /// The text of the `reloader.stakater.com/last-reloaded-from` annotation: the annotations strategy's marker.
    pub last_reloaded_from: Option<Box<str>>,
    /// When [`FIELD_MANAGER`] last wrote the object that holds it (`metadata.managedFields[].time`), as far as it still
    /// owns the text of a marker; `None`: never, or whoever wrote the markers since knew nothing of the pods: an undo, a
    /// manifest that was exported with them.
    pub written_at: Option<UnixSeconds>,
    /// When somebody else certainly made it another template last, as far as `metadata.managedFields` tells.
    pub replaced_at: Option<UnixSeconds>,
    /// When somebody else may have made it another template last: whoever owns a field of it wrote the object then.
    pub touched_at: Option<UnixSeconds>,
    /// Of the whole template; the default where the template is not kept. With another one the pods are replaced.
    pub fingerprint: Fingerprint,
}

impl PodTemplate {
    /// Whether the other is the same template, whenever the two were written.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let Self {
            containers,
            init_containers,
            volumes,
            last_reloaded_from,
            written_at: _,
            replaced_at: _,
            touched_at: _,
            fingerprint,
        } = self;
        *containers == other.containers
            && *init_containers == other.init_containers
            && *volumes == other.volumes
            && *last_reloaded_from == other.last_reloaded_from
            && !fingerprint.differs(other.fingerprint)
    }

    /// Whether a marker of this template is missing from the other, or shows something else there.
    pub fn has_marker_beyond(&self, other: &Self) -> bool {
        let is_kept = |container: &Container| {
            let mut others = other.containers.iter();
            let beside = others.find(|other| other.name == container.name);
            let mut markers = container.markers.iter();
            markers.all(|marker| beside.is_some_and(|beside| beside.markers.contains(marker)))
        };
        self.last_reloaded_from.is_some() && self.last_reloaded_from != other.last_reloaded_from
            || !self.containers.iter().all(is_kept)
    }

    /// Whether a marker shows that content which was not in the template `before`.
    pub fn newly_shows(&self, content: Content, before: &Self) -> bool {
        let digest = content.shown().to_string();
        let is_of_before = |marker: &(Box<str>, Box<str>)| {
            let mut containers = before.containers.iter();
            containers.any(|container| container.markers.contains(marker))
        };
        let mut markers = self.containers.iter().flat_map(|container| &container.markers);
        markers.any(|marker| *marker.1 == *digest && !is_of_before(marker))
            || self.last_reloaded_from != before.last_reloaded_from
                && self
                    .last_reloaded_from
                    .as_deref()
                    .is_some_and(|text| text.contains(&digest))
    }

    /// The text by which a marker of that source shows its content, where it was another in the template `before` or none.
    pub fn newly_shown(&self, source: &SourceRef, before: &Self) -> Option<Box<str>> {
        let name = env_name(source.kind, &source.name);
        let value = |template: &Self| {
            let mut markers = template
                .containers
                .iter()
                .flat_map(|container| &container.markers);
            let (_, value) = markers.find(|(other, _)| **other == *name)?;
            Some(value.clone())
        };
        let annotation = |template: &Self| {
            let text = template.last_reloaded_from.as_deref()?;
            let marker = LastReloadedFrom::read(text);
            let hash = marker.hash().filter(|_| marker.is_of(source.kind, &source.name));
            hash.map(Into::into)
        };
        let new = |shown: Option<Box<str>>, before: Option<Box<str>>| {
            shown.filter(|shown| Some(shown) != before.as_ref())
        };
        new(value(self), value(before)).or_else(|| new(annotation(self), annotation(before)))
    }

    /// Whether the annotation is the only marker that differs from those of the template `before`, and is not of that source.
    pub fn newly_names_another(&self, source: &SourceRef, before: &Self) -> bool {
        let markers = |template: &Self| -> Vec<_> {
            let containers = template.containers.iter();
            containers.map(|container| container.markers.clone()).collect()
        };
        let is_another = |text| !LastReloadedFrom::read(text).is_of(source.kind, &source.name);
        self.last_reloaded_from != before.last_reloaded_from
            && self.last_reloaded_from.as_deref().is_some_and(is_another)
            && markers(self) == markers(before)
    }

    /// Every source that a volume or a container names, without order, possibly more than once.
    pub fn references(&self) -> impl Iterator<Item = &SourceRef> {
        let volumes = self.volumes.iter().flat_map(|volume| &volume.sources);
        let containers = self.containers.iter().chain(&self.init_containers);
        volumes.chain(containers.flat_map(|container| &container.references))
    }
}

/// A hash of a whole pod template, comparable inside this process; the default stands for a template that is not kept.
///
/// It is of values as well, and so prints nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of a template with this hash.
    pub fn new(hash: u64) -> Self {
        Self(hash.max(1))
    }

    /// Whether both are of templates that are kept, and of different ones.
    pub fn differs(self, other: Self) -> bool {
        self.0 != 0 && other.0 != 0 && self != other
    }

    /// Whether both are of the same template.
    pub fn is_same(self, other: Self) -> bool {
        self.0 != 0 && self == other
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// One container of a pod template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// `name`: the merge key of a strategic merge patch.
    pub name: Arc<str>,
    /// Sources that `env[].valueFrom` or `envFrom[]` name.
    pub references: Vec<SourceRef>,
    /// `volumeMounts[].name`.
    pub mounts: Vec<Box<str>>,
    /// Literal environment variables whose name starts with `STAKATER_`: the env-vars strategy's markers.
    pub markers: Vec<(Box<str>, Box<str>)>,
    /// Two of its environment variables have one name. The later one counts, and what lies between them sees the earlier:
    /// their order must not change.
    pub repeats_variables: bool,
}

/// One volume of a pod template that shows at least one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// `name`: what a container's `volumeMounts` refers to.
    pub name: Box<str>,
    /// The ConfigMaps and Secrets it shows, directly or projected, and the SecretProviderClass of a `csi` volume.
    pub sources: Vec<SourceRef>,
}

/// A source whose change, creation or deletion a workload has not been restarted for yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The source as it is now; its last state, if it is gone.
    pub source: Source,
    /// The source's resourceVersion when its present content was first seen, which later changes of its metadata leave
    /// as it is; names the change where the workload cannot show a marker.
    pub version: u64,
    /// The content to restart for: the source's digest, or its absence.
    pub content: Content,
    /// The content the workload runs with prints the same digest, so that its marker proves nothing.
    pub look_alike: bool,
    /// Pods may be left of an earlier template that shows the content: a marker as it had one could bring that template back,
    /// and they would stay.
    pub may_bring_back: bool,
    /// What a marker of the source in the pod template proves.
    pub proof: Proof,
    /// When the change was first seen. It is fixed per change, so that a repeated patch is byte-identical and does
    /// nothing on the API server.
    pub seen_at: UnixSeconds,
    /// Orders changes: the later of two has the larger number.
    pub order: u64,
}

impl Owed {
    /// Whether the source is gone.
    pub fn is_absent(&self) -> bool {
        self.content == Content::Absent
    }

    /// When the source was changed, as far as it is known: a deletion leaves no time.
    pub fn changed_at(&self) -> UnixSeconds {
        let written = match self.content {
            Content::Present(_) => self.source.modified_at,
            Content::Absent => None,
        };
        written.unwrap_or(self.seen_at)
    }
}

/// What a marker of a source in the pod template proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: the pods certainly run with something else, whatever the template shows since an undo or an old manifest
    /// was applied. Where the marker would stay as it is, the write has to change something else of the template.
    Nothing,
    /// One that shows the present content, written since the source was, proves the restart: what the pods run with is
    /// not certain, because an earlier leader or a patch without an answer may have restarted them.
    Restart,
    /// One that shows another content proves that something has changed; without such a one nothing has.
    Change,
    /// As [`Self::Change`] of a workload that an earlier leader may have restarted without a note: one that is older than
    /// the source proves nothing, for the source may have come back to that content since.
    Unrecorded,
}
