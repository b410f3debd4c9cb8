//! The namespaces that this tool makes, marks and removes; it touches no other.
//!
//! Input: names. Output: namespaces. I/O: makes and deletes namespaces, and the cluster-wide objects of its own release.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::{
    ClusterResourceScope,
    api::{
        core::v1::Namespace,
        flowcontrol::v1::FlowSchema,
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
};
use serde::de::DeserializeOwned;
use serde_json::json;

/// How the name of each namespace begins.
pub const PREFIX: &str = "reloader-loadtest-";
/// The label of each namespace; without it a namespace is another user's.
pub const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "reloader-loadtest");
/// Where the controller is installed.
pub const SYSTEM: &str = "reloader-loadtest-system";
/// The release's name.
pub const RELEASE: &str = "reloader-loadtest";

/// Longest wait for namespaces to go.
const PATIENCE: Duration = Duration::from_mins(10);
/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(300);

/// The label as a selector.
pub fn selector() -> String {
    format!("{}={}", LABEL.0, LABEL.1)
}

/// A namespace's full name.
pub fn namespace(suffix: &str) -> String {
    format!("{PREFIX}{suffix}")
}

/// Whether this tool made it.
fn is_own(namespace: &Namespace) -> bool {
    let labels = namespace.labels();
    namespace.name_any().starts_with(PREFIX) && labels.get(LABEL.0).is_some_and(|value| value == LABEL.1)
}

/// An error if there are namespaces with names of this tool: of another user, or of a run that left them.
pub async fn ensure_free(client: &Client, context: &str) -> Result<()> {
    let all = Api::<Namespace>::all(client.clone())
        .list(&ListParams::default())
        .await
        .context("list namespaces")?;
    let taken = all
        .iter()
        .filter(|namespace| namespace.name_any().starts_with(PREFIX));
    let (own, foreign): (Vec<&Namespace>, Vec<&Namespace>) = taken.partition(|namespace| is_own(namespace));
    let names = |list: &[&Namespace]| {
        list.iter()
            .map(|one| one.name_any())
            .collect::<Vec<_>>()
            .join(", ")
    };
    ensure!(
        foreign.is_empty(),
        "{} is there without the label {}, so this tool did not make it and does not touch it; remove or rename it, or \
         use another cluster",
        names(&foreign),
        selector()
    );
    ensure!(
        own.is_empty(),
        "{} is left of another run, which may still go on; once it has ended, remove what it left with \
         `--context {context} --clean`",
        names(&own)
    );
    Ok(())
}

/// Makes one.
pub async fn create(client: &Client, name: &str) -> Result<()> {
    ensure!(
        name.starts_with(PREFIX),
        "{name} is no name of this tool's namespaces"
    );
    let namespace: Namespace = serde_json::from_value(json!({
        "metadata": { "name": name, "labels": { LABEL.0: LABEL.1 } },
    }))?;
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .with_context(|| format!("create namespace {name}"))?;
    Ok(())
}

/// Those that are there.
pub async fn list(client: &Client) -> Result<Vec<Namespace>> {
    let listed = Api::<Namespace>::all(client.clone())
        .list(&ListParams::default().labels(&selector()))
        .await
        .context("list namespaces")?;
    Ok(listed.into_iter().filter(is_own).collect())
}

/// Asks for the deletion of one, and does not wait for it.
pub async fn delete(client: &Client, namespace: &Namespace) -> Result<()> {
    // By uid: one that was made meanwhile under the same name is another one.
    let this_one = DeleteParams {
        preconditions: Some(Preconditions {
            uid: namespace.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let name = namespace.name_any();
    match Api::<Namespace>::all(client.clone())
        .delete(&name, &this_one)
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(error) => Err(error).with_context(|| format!("delete namespace {name}")),
    }
}

/// Deletes all of them and waits until they are gone; then what a release left that is in no namespace.
pub async fn delete_all(client: &Client) -> Result<usize> {
    let found = list(client).await?;
    for namespace in &found {
        delete(client, namespace).await?;
    }
    let begun = Instant::now();
    loop {
        let left = list(client).await?;
        let Some(first) = left.first() else { break };
        if begun.elapsed() > PATIENCE {
            bail!(
                "{} namespaces are still there after {} s, among them {}; see its status for what holds it",
                left.len(),
                PATIENCE.as_secs(),
                first.name_any()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
    // A namespace of that name that is still there is another user's, and so is a release in it.
    let others = Api::<Namespace>::all(client.clone())
        .get_metadata_opt(SYSTEM)
        .await;
    if others
        .with_context(|| format!("read namespace {SYSTEM}"))?
        .is_some()
    {
        return Ok(found.len());
    }
    sweep::<ClusterRoleBinding>(client).await?;
    sweep::<ClusterRole>(client).await?;
    sweep::<FlowSchema>(client).await?;
    Ok(found.len())
}

/// Deletes the cluster-wide objects of one kind that Helm has marked as the release's: they outlive a release whose
/// namespace was deleted.
async fn sweep<K>(client: &Client) -> Result<()>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned,
{
    let api = Api::<K>::all(client.clone());
    let listed = match api.list_metadata(&ListParams::default()).await {
        Ok(listed) => listed,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("list {}", K::plural(&()))),
    };
    for object in listed {
        let annotations = object.annotations();
        let is = |key: &str, value: &str| annotations.get(key).is_some_and(|found| found == value);
        if is("meta.helm.sh/release-name", RELEASE) && is("meta.helm.sh/release-namespace", SYSTEM) {
            let name = object.name_any();
            match api.delete(&name, &DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error).with_context(|| format!("delete {} {name}", K::kind(&()))),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test")]

    use super::*;

    #[test]
    fn a_namespace_is_own_by_name_and_label_together() {
        let named = |name: &str, value: &str| -> Namespace {
            serde_json::from_value(json!({ "metadata": { "name": name, "labels": { LABEL.0: value } } }))
                .unwrap()
        };
        assert!(is_own(&named(SYSTEM, LABEL.1)));
        assert!(!is_own(&named(SYSTEM, "Helm")));
        assert!(!is_own(&named("shop", LABEL.1)));
        assert!(!is_own(&Namespace::default()));
    }
}
