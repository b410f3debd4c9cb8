//! Reads workloads, and the metadata of sources.
//!
//! Input: names. Output: [`ReadWorkload`], [`SourceFacts`]. I/O: asks the API server, as the user. Of a Secret only the
//! metadata is asked for: its content does not come here.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectList, PartialObjectMeta},
};
use serde_json::Value;

use super::{cluster::within, error::VerbError, settings::Settings};
use crate::{
    api_error::ApiError,
    diagnose::{self, Checker, add_missing, missing_sources},
    explain::{self, Finding, SourceFacts, Uses, uses_of_pod_spec},
    model::{Policy, SourceKind, SourceRef, Workload, WorkloadKind, opt_in::Subject},
    watch::{
        Watched,
        workload::{Decoded as _, RawObject, Reading},
    },
};

/// Requests at the same time.
const AT_A_TIME: usize = 8;
/// Objects of one page of a list.
const PAGE: u32 = 500;
/// Sources that one answer is about at most.
const MAX_SOURCES: usize = 500;

/// Objects of one namespace, read under the controller's settings.
pub(super) struct Objects<'a> {
    client: &'a Client,
    namespace: &'a str,
    settings: &'a Settings,
    reading: Reading,
}

/// A workload as its object shows it.
pub(super) struct ReadWorkload {
    /// `None`: it is being deleted, or a Job that is not run again.
    pub(super) workload: Option<Workload>,
    /// The mistakes in its annotations, listed names that nothing has left out.
    findings: Vec<diagnose::Finding>,
    pub(super) uses: Uses,
    /// The whole object.
    pub(super) value: Value,
}

impl<'a> Objects<'a> {
    pub(super) fn new(client: &'a Client, namespace: &'a str, settings: &'a Settings) -> Self {
        let keys = &settings.flags().keys;
        Self {
            client,
            namespace,
            settings,
            reading: Reading {
                keys: Arc::clone(keys),
                checker: Arc::new(Checker::new(keys)),
                // Keeps the pod template of a workload that opts into nothing: its user wants to see what it could opt into.
                auto_reload_all: true,
                ..Reading::default()
            },
        }
    }

    fn api(&self, kind: WorkloadKind) -> Api<RawObject> {
        Api::namespaced_with(self.client.clone(), self.namespace, &kind)
    }

    /// Reads one workload.
    pub(super) async fn workload(&self, kind: WorkloadKind, name: &str) -> Result<ReadWorkload, VerbError> {
        let failed = |error| VerbError::Api {
            what: format!("{kind} {}/{name}", self.namespace),
            error,
        };
        let object = within(self.api(kind).get(name)).await.map_err(failed)?;
        let mut read = self.read(object, kind);
        let followed = read
            .workload
            .as_ref()
            .and_then(|workload| workload.template_of.clone());
        if let (Some(name), Some(workload)) = (followed, &mut read.workload) {
            // The Rollout runs that Deployment's pods; one that cannot be read leaves it without a template.
            let deployment = self.api(WorkloadKind::Deployment);
            if let Ok(object) = within(deployment.get(&name)).await {
                let of_deployment = self.read(object, WorkloadKind::Deployment);
                read.uses = of_deployment.uses;
                if let Some(deployment) = of_deployment.workload {
                    workload.template = deployment.template;
                }
            }
        }
        Ok(read)
    }

    /// Reads every workload of the kind.
    pub(super) async fn workloads(&self, kind: WorkloadKind) -> Result<Vec<ReadWorkload>, ApiError> {
        let objects = pages(async |params| within(self.api(kind).list(&params)).await).await?;
        Ok(objects
            .into_iter()
            .map(|object| self.read(object, kind))
            .collect())
    }

    fn read(&self, object: RawObject, kind: WorkloadKind) -> ReadWorkload {
        let value = object.value().clone();
        let uses = template(&value, kind)
            .map(|template| uses_of_pod_spec(&template["spec"]))
            .unwrap_or_default();
        let (workload, findings) = self
            .reading
            .read_and_check(object.into_object(kind), kind)
            .unzip();
        ReadWorkload {
            workload,
            findings: findings.unwrap_or_default(),
            uses,
            value,
        }
    }

    /// What the metadata of each source says that the workload uses or lists, and what could not be asked.
    pub(super) async fn sources_of(&self, read: &ReadWorkload) -> (Vec<SourceFacts>, Vec<String>) {
        let Some(workload) = &read.workload else {
            return (Vec::new(), Vec::new());
        };
        let mut sources = explain::candidates(workload);
        sources.extend(read.uses.keys().cloned());
        sources.sort_unstable();
        sources.dedup();
        let (mut facts, mut notes) = (Vec::new(), Vec::new());
        for kind in SourceKind::ALL {
            let Some(list) = workload.opt_in.listed(kind).filter(|list| list.has_patterns()) else {
                continue;
            };
            match self.sources(kind).await {
                Ok(found) => facts.extend(
                    found
                        .into_iter()
                        .filter(|facts| list.matches(&Subject::new(&facts.source.name))),
                ),
                Err(error) => notes.push(format!(
                    "What its patterns match is unknown: {} cannot be listed ({})",
                    kind.resource(),
                    reason(&error)
                )),
            }
        }
        sources.retain(|source| !facts.iter().any(|known: &SourceFacts| known.source == *source));
        sources.truncate(MAX_SOURCES);
        let mut asked = stream::iter(sources)
            .map(async |source| {
                let answer = self.source(&source).await;
                (source, answer)
            })
            .buffered(AT_A_TIME);
        let mut refused = Vec::new();
        while let Some((source, answer)) = asked.next().await {
            match answer {
                Ok(known) => facts.push(known),
                Err(error) => {
                    let note = format!("{}s cannot be read ({})", source.kind, reason(&error));
                    if !refused.contains(&note) {
                        refused.push(note);
                    }
                    facts.push(SourceFacts::unknown(source));
                }
            }
        }
        notes.extend(refused);
        (facts, notes)
    }

    /// What the metadata of a source says.
    pub(super) async fn source(&self, source: &SourceRef) -> Result<SourceFacts, ApiError> {
        let api = self.source_api(source.kind);
        // One that no object can have is not asked for.
        if !crate::model::is_dns_subdomain(&source.name) {
            return Ok(SourceFacts::missing(source.clone()));
        }
        let found = within(api.get_metadata_opt(&source.name)).await?;
        Ok(match found {
            Some(object) => self.facts(source.kind, &object.metadata),
            None => SourceFacts::missing(source.clone()),
        })
    }

    /// The same of all sources of the kind.
    async fn sources(&self, kind: SourceKind) -> Result<Vec<SourceFacts>, ApiError> {
        let api = self.source_api(kind);
        let objects: Vec<PartialObjectMeta<DynamicObject>> =
            pages(async |params| within(api.list_metadata(&params)).await).await?;
        Ok(objects
            .iter()
            .map(|object| self.facts(kind, &object.metadata))
            .collect())
    }

    fn source_api(&self, kind: SourceKind) -> Api<DynamicObject> {
        let (group, version) = kind.api_version().rsplit_once('/').unwrap_or(("", "v1"));
        let plural = match kind {
            SourceKind::SecretProviderClass => Watched::Class.resource(),
            kind => kind.resource(),
        };
        let gvk = GroupVersionKind::gvk(group, version, kind.as_str());
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        Api::namespaced_with(self.client.clone(), self.namespace, &resource)
    }

    fn facts(&self, kind: SourceKind, meta: &ObjectMeta) -> SourceFacts {
        let keys = &self.settings.flags().keys;
        let annotations = meta.annotations.as_ref();
        let says_true =
            |key: &str| annotations.is_some_and(|all| all.get(key).is_some_and(|value| value == "true"));
        let written = last_write(meta);
        SourceFacts {
            exists: Some(true),
            ignored: Some(says_true(&keys.ignore)),
            matched: Some(says_true(&keys.match_)),
            changed_at: written.as_ref().map(|(at, _)| *at),
            changed_by: written.and_then(|(_, manager)| manager),
            policy: Policy::parse(|key| annotations?.get(key).map(String::as_str)).filter(|_| {
                // Of a class the controller reads what opts in alone.
                kind != SourceKind::SecretProviderClass
            }),
            ..SourceFacts::unknown(SourceRef::new(kind, meta.name.clone().unwrap_or_default()))
        }
    }

    /// The mistakes in the workload's annotations.
    pub(super) fn findings(&self, read: &ReadWorkload, sources: &[SourceFacts]) -> Vec<Finding> {
        let exists = |kind: SourceKind, name: &str| {
            let known = sources
                .iter()
                .find(|facts| facts.source.kind == kind && *facts.source.name == *name);
            known.is_none_or(|facts| facts.exists != Some(false))
        };
        let mut findings = read.findings.clone();
        if let Some(workload) = &read.workload {
            let missing = missing_sources(&self.reading.keys, &workload.opt_in, exists);
            add_missing(&mut findings, missing);
        }
        findings.iter().map(Finding::from).collect()
    }
}

/// Why a request failed, in few words.
pub(super) fn reason(error: &ApiError) -> String {
    if error.is_forbidden() {
        "you may not".to_owned()
    } else {
        error.to_string()
    }
}

fn template(value: &Value, kind: WorkloadKind) -> Option<&Value> {
    kind.template_path()
        .into_iter()
        .try_fold(value, |value, field| value.get(field))
}

/// When data was written last, and by which field manager; of any field where none owns data.
fn last_write(meta: &ObjectMeta) -> Option<(Timestamp, Option<String>)> {
    let entries = || meta.managed_fields.iter().flatten();
    let newest = |owns_data: bool| {
        let owning = entries().filter(|entry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            let owns = fields.is_some_and(|fields| {
                ["f:data", "f:binaryData", "f:spec"]
                    .iter()
                    .any(|field| fields.get(field).is_some())
            });
            owns || !owns_data
        });
        let times = owning.filter_map(|entry| Some((entry.time.as_ref()?.0, entry.manager.clone())));
        times.max_by_key(|(at, _)| *at)
    };
    newest(true).or_else(|| newest(false))
}

/// Every item of a list, page by page.
pub(super) async fn pages<K: Clone>(
    list: impl AsyncFn(ListParams) -> Result<ObjectList<K>, ApiError>,
) -> Result<Vec<K>, ApiError> {
    let mut items = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = list(params.clone()).await?;
        items.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(items),
        }
    }
}
