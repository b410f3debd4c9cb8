//! The controller as users install it: by Helm, from a chart.
//!
//! Input: a chart, an image, values. Output: a release with its pods. I/O: runs Helm, reads pods and the Lease.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use super::{
    owned::{RELEASE, SYSTEM, selector},
    target::Target,
};

/// Longest time for the replicas to be ready; images are pulled in it.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between two looks at them.
const LOOK: Duration = Duration::from_millis(200);
/// The Lease of both charts.
const LEASE: &str = "stakater-reloader-lock";

/// What is installed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A folder, or what else Helm takes as a chart.
    pub chart: String,
    /// Repository and tag or digest; without one the chart's own.
    pub image: Option<String>,
    /// Files of values, which win over this tool's.
    pub values: Vec<PathBuf>,
}

/// How the chart is installed; the release's namespace exists.
pub struct Release<'a> {
    target: &'a Target,
    helm: &'a Path,
    plan: &'a Plan,
}

impl Plan {
    /// Values of this tool: three replicas, by the keys of this chart and of Stakater Reloader's, and the image.
    fn defaults(&self) -> Value {
        let mut values = json!({
            "replicaCount": 3,
            "reloader": { "enableHA": true, "deployment": { "replicas": 3 } },
        });
        if let Some(image) = &self.image {
            values["image"] = image_values(image);
        }
        values
    }
}

/// An image's name as charts take it apart.
fn image_values(image: &str) -> Value {
    if let Some((repository, digest)) = image.split_once('@') {
        return json!({ "repository": repository, "digest": digest });
    }
    match image.rsplit_once(':') {
        // A colon before a slash is that of a registry's port.
        Some((repository, tag)) if !tag.contains('/') => json!({ "repository": repository, "tag": tag }),
        _ => json!({ "repository": image }),
    }
}

impl<'a> Release<'a> {
    /// Says how; does nothing yet.
    pub fn new(target: &'a Target, helm: &'a Path, plan: &'a Plan) -> Self {
        Self { target, helm, plan }
    }

    /// Installs it, or changes it to these further values, and waits until every replica is ready.
    pub async fn install(&self, further: &[&str]) -> Result<()> {
        let mut args = vec!["upgrade".to_owned(), "--install".to_owned(), RELEASE.to_owned()];
        args.push(self.plan.chart.clone());
        args.push("--values=-".to_owned());
        for file in &self.plan.values {
            args.push(format!("--values={}", file.display()));
        }
        // Last, so that no file undoes it: the release must not act on namespaces of others, nor be in one.
        args.push("--set-string=namespaceOverride=".to_owned());
        args.push(format!("--set-string=reloader.namespaceSelector={}", selector()));
        args.extend(further.iter().map(|value| format!("--set-string={value}")));
        self.run(&args, &self.plan.defaults().to_string()).await?;
        self.wait_ready().await
    }

    /// Uninstalls it, if it is there.
    pub async fn uninstall(&self) -> Result<()> {
        let args = ["uninstall", RELEASE, "--ignore-not-found", "--wait"].map(str::to_owned);
        self.run(&args, "").await
    }

    async fn run(&self, args: &[String], input: &str) -> Result<()> {
        let helm = self.helm.display();
        let mut child = Command::new(self.helm)
            .args(args)
            .arg(format!("--namespace={SYSTEM}"))
            .args(self.target.helm_flags())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {helm}; install Helm, or name it with --helm"))?;
        let mut stdin = child.stdin.take().context("helm has no input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        ensure!(
            output.status.success(),
            "{helm} {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Waits until all replicas are ready and no other pod is left.
    pub async fn wait_ready(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let state = self.state().await?;
            match state {
                None => return Ok(()),
                Some(state) if begun.elapsed() > PATIENCE => bail!(
                    "the controller is not ready after {} s: {state}; `kubectl --context {} -n {SYSTEM} describe pods` says why",
                    PATIENCE.as_secs(),
                    self.target.context
                ),
                Some(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// What is not ready yet.
    async fn state(&self) -> Result<Option<String>> {
        let deployments = Api::<Deployment>::namespaced(self.target.client.clone(), SYSTEM);
        let listed = deployments
            .list(&ListParams::default())
            .await
            .context("list Deployments")?;
        let pods = pods(&self.target.client).await?;
        let mut wanted = 0;
        for deployment in &listed {
            let replicas = deployment.spec.replicas.unwrap_or(1);
            wanted += usize::try_from(replicas).unwrap_or(0);
            let status = deployment.status.clone().unwrap_or_default();
            let ready = status.observed_generation == deployment.metadata.generation
                && status.updated_replicas == Some(replicas)
                && status.available_replicas == Some(replicas);
            if !ready {
                let available = status.available_replicas.unwrap_or(0);
                return Ok(Some(format!("{available} of {replicas} replicas are available")));
            }
        }
        Ok((wanted == 0 || pods.len() != wanted)
            .then(|| format!("{} pods where {wanted} are wanted", pods.len())))
    }
}

/// The pods of the release.
pub async fn pods(client: &Client) -> Result<Vec<Pod>> {
    let listed = Api::<Pod>::namespaced(client.clone(), SYSTEM)
        .list(&ListParams::default())
        .await
        .context("list the controller's pods")?;
    Ok(listed.items)
}

/// The pod that holds the Lease now; `None` while none does.
pub async fn leader(client: &Client) -> Result<Option<String>> {
    let lease = Api::<Lease>::namespaced(client.clone(), SYSTEM)
        .get_opt(LEASE)
        .await
        .context("read the Lease")?;
    let holder = lease
        .and_then(|lease| lease.spec?.holder_identity)
        .filter(|holder| !holder.is_empty());
    // The pod's name, alone or with something random behind an underscore.
    Ok(holder.map(|holder| holder.split('_').next().unwrap_or_default().to_owned()))
}

/// Deployments elsewhere that look like Reloader: each would restart this tool's workloads, too.
pub async fn others(client: &Client) -> Result<Vec<String>> {
    let all = Api::<Deployment>::all(client.clone())
        .list(&ListParams::default())
        .await
        .context("list Deployments of the cluster")?;
    let others = all.iter().filter(|deployment| looks_like_reloader(deployment));
    Ok(others
        .map(|deployment| {
            format!(
                "{}/{}",
                deployment.namespace().unwrap_or_default(),
                deployment.name_any()
            )
        })
        .collect())
}

fn looks_like_reloader(deployment: &Deployment) -> bool {
    let template = deployment.spec.template.spec.as_ref();
    let runs = deployment.spec.replicas != Some(0);
    runs && template.is_some_and(|pod| {
        pod.containers.iter().any(|container| {
            let image = container.image.as_deref().unwrap_or_default();
            let name = image
                .split('@')
                .next()
                .unwrap_or_default()
                .rsplit('/')
                .next()
                .unwrap_or_default();
            name.split(':').next().unwrap_or_default().starts_with("reloader")
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test")]

    use super::*;

    #[test]
    fn an_image_is_taken_apart_at_its_tag_or_digest() {
        for (image, wanted) in [
            ("reloader", json!({ "repository": "reloader" })),
            ("reloader:1.0", json!({ "repository": "reloader", "tag": "1.0" })),
            (
                "host:5000/reloader",
                json!({ "repository": "host:5000/reloader" }),
            ),
            (
                "host:5000/a/reloader:x",
                json!({ "repository": "host:5000/a/reloader", "tag": "x" }),
            ),
            (
                "a/reloader@sha256:00",
                json!({ "repository": "a/reloader", "digest": "sha256:00" }),
            ),
        ] {
            assert_eq!(image_values(image), wanted, "{image}");
        }
    }

    #[test]
    fn a_deployment_is_reloader_by_its_image() {
        let deployment = |image: &str, replicas: i32| -> Deployment {
            serde_json::from_value(json!({ "spec": {
                "selector": {}, "replicas": replicas,
                "template": { "spec": { "containers": [{ "name": "main", "image": image }] } },
            } }))
            .unwrap()
        };
        assert!(looks_like_reloader(&deployment(
            "ghcr.io/stakater/reloader:v1.4.21",
            1
        )));
        assert!(looks_like_reloader(&deployment("reloader@sha256:00", 1)));
        assert!(!looks_like_reloader(&deployment(
            "ghcr.io/stakater/reloader:v1.4.21",
            0
        )));
        assert!(!looks_like_reloader(&deployment("reloader.example/web:1", 1)));
    }
}
