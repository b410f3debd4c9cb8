//! The acts of the demo. Each does something, shows what came of it, and fails if that is not what should have.
//!
//! - A ConfigMap and a Secret of a Deployment, a StatefulSet and a DaemonSet are edited, one after the other.
//! - A ConfigMap is written with the content it has.
//! - Thirty ConfigMaps of thirty Deployments are edited at once, and the leader is killed in the middle of it.
//! - All replicas are stopped, two sources are written, one of them with new content, and the replicas are started again.
//! - A Secret that thirty Deployments use gets a content with which no pod starts: one canary has it, and is put back.
//!
//! Input: a cluster and a fleet. Output: lines; an error where a promise is broken. I/O: reads and writes objects, starts and
//! stops replicas, reads the audit log: a record of every request, in which Reloader has no part.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::{try_join, try_join_all};
use jiff::Timestamp;
use testbed::{AuditLog, Entry, digest_of, eventually};

use crate::cluster::{Cluster, Object, Pods};
use crate::fleet::{Fleet, USER};
use crate::{at, now, print};

/// The example's files, as they ship.
const NGINX: &str = include_str!("../../deployments/kubernetes/nginx/nginx.yaml");
const REDIS: &str = include_str!("../../deployments/kubernetes/nginx/redis.yaml");
const LOG_SHIPPER: &str = include_str!("../../deployments/kubernetes/nginx/log-shipper.yaml");

/// What is written: the key and a value.
type Content = (&'static str, &'static str);
const SITE: Content = (
    "default.conf",
    "server { listen 80; return 200 \"Hello again!\"; }\n",
);
const OTHER_SITE: Content = (
    "default.conf",
    "server { listen 80; return 200 \"Still here!\"; }\n",
);
const PASSWORD: Content = ("password", "change-me-too");
const SHIPPING: Content = ("fluent-bit.conf", "[INPUT]\n    Name dummy\n");
const BLUE: Content = ("colour", "blue");
const GOOD: Content = ("key", "right");
const BAD: Content = ("key", "wrong");

/// How many small applications change at once.
const APPS: usize = 30;
/// How many of them the leader may restart before it is killed.
const DEADLY: usize = 10;

/// The longest a restart (0.1 s) or new pods (1 s) may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The API server may still be at work on what a killed leader has sent.
const IN_FLIGHT: Duration = Duration::from_secs(2);

/// A workload with a source that is edited.
struct App {
    workload: Object,
    source: Object,
    /// How often the workload must have been restarted by now.
    restarts: i64,
    pods: Pods,
}

impl App {
    fn new(namespace: &'static str, kind: &str, name: &str, source_kind: &str, source: &str) -> Self {
        let workload = Object::new(namespace, "apps", kind, name);
        let source = Object::new(namespace, "", source_kind, source);
        let (restarts, pods) = (0, Pods::new());
        Self {
            workload,
            source,
            restarts,
            pods,
        }
    }
}

struct Show<'a> {
    cluster: &'a Cluster,
    audit: &'a AuditLog,
}

/// All acts. An error says which promise is broken.
pub async fn run(cluster: &Cluster, fleet: &mut Fleet, audit: &AuditLog) -> Result<()> {
    let show = Show { cluster, audit };
    fleet.start().await?;
    now("cluster", "three replicas are ready: all watch, one acts");
    let (leader, since) = fleet.leader().await?;
    let leader = leader.name();
    at(since, leader, "leads");

    print("\n3. An application");
    for (file, yaml) in [("nginx", NGINX), ("redis", REDIS), ("log-shipper", LOG_SHIPPER)] {
        cluster.apply(file, yaml).await?;
        now(
            "you",
            format_args!("apply deployments/kubernetes/nginx/{file}.yaml"),
        );
    }
    let mut example = [
        App::new("default", "Deployment", "nginx", "ConfigMap", "nginx-map"),
        App::new("default", "StatefulSet", "redis", "Secret", "redis-password"),
        App::new("default", "DaemonSet", "log-shipper", "ConfigMap", "log-shipper"),
    ];
    show.new_pods(&mut example).await?;

    print("\n4. ConfigMaps and Secrets change");
    for (app, value) in example.iter_mut().zip([SITE, PASSWORD, SHIPPING]) {
        let cause = show.edit(app, value).await?;
        show.restart(app, leader, &cause).await?;
        show.new_pods(std::slice::from_mut(app)).await?;
    }
    now("you", "once more, with the content it has:");
    show.edit(&example[0], SITE).await?;
    show.quiet(&example).await?;

    print("\n5. The leader dies in the middle of a burst");
    let apps = show.burst(fleet).await?;

    print("\n6. Changes while no replica runs");
    fleet.stop().await?;
    now("you", "stop all replicas; a ledger keeps digests of the sources");
    let cause = show.edit(&example[0], OTHER_SITE).await?;
    now("you", "once more, with the content it has:");
    show.edit(&example[1], PASSWORD).await?;
    now("you", "start all replicas again");
    fleet.start().await?;
    let (leader, since) = fleet.leader().await?;
    at(since, leader.name(), "leads");
    show.restart(&mut example[0], leader.name(), &cause).await?;
    show.new_pods(&mut example[..1]).await?;
    show.quiet(&example).await?;

    print("\n7. A bad content stops at one canary of thirty");
    let shops = show.canary().await?;
    show.summary(example.iter().chain(&apps).chain(&shops)).await
}

impl Show<'_> {
    /// Writes the source of an application; the request in the audit log.
    async fn edit(&self, app: &App, content: Content) -> Result<Arc<Entry>> {
        let source = &app.source;
        self.cluster.edit(source, content).await?;
        let mut writes = self.audit.matching(|entry| source.is_written_by(entry))?;
        let write = writes.pop().context("the audit log lacks a write")?;
        at(write.request_received, "you", format_args!("write {source}"));
        Ok(write)
    }

    /// Waits for the restart that must follow `cause`, by Reloader.
    async fn restart(&self, app: &mut App, replica: &str, cause: &Entry) -> Result<()> {
        let what = format!("a restart of {}", app.workload);
        let is_restart = |entry: &Entry| app.workload.is_written_by(entry) && entry.user == USER;
        let latency = eventually(PATIENCE, &what, async || self.audit.latency(cause, is_restart)).await?;
        let what = format!("restarts {} {} ms after that", app.workload, latency.as_millis());
        at(cause.request_received + latency, replica, what);
        app.restarts += 1;
        Ok(())
    }

    /// Waits until the applications have no other pods than new ones, and were restarted as often as expected.
    async fn new_pods(&self, apps: &mut [App]) -> Result<()> {
        let mut count = 0;
        for app in &mut *apps {
            let what = format!("the new pods of {}", app.workload);
            let new = async || self.cluster.new_pods(&app.workload, &app.pods).await;
            app.pods = eventually(PATIENCE, &what, new).await?;
            count += app.pods.len();
        }
        now("cluster", format_args!("new pods are ready: {count}"));
        self.check(&*apps).await
    }

    /// An error unless each workload was restarted exactly as often as expected.
    async fn check(&self, apps: impl IntoIterator<Item = &App>) -> Result<()> {
        for app in apps {
            let restarts = self.cluster.restarts(&app.workload).await?;
            let is_right = restarts == app.restarts;
            ensure!(
                is_right,
                "{}: {restarts} restart(s), not {}",
                app.workload,
                app.restarts
            );
        }
        Ok(())
    }

    /// Looks for 3 s whether equal content restarts anything.
    async fn quiet(&self, apps: &[App]) -> Result<()> {
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.check(apps).await.context("for equal content")?;
        }
        now("demo", "3 s later: equal content has restarted nothing");
        Ok(())
    }

    async fn burst(&self, fleet: &Fleet) -> Result<Vec<App>> {
        self.cluster.create_namespace("apps").await?;
        let mut apps = Vec::new();
        for name in (1..=APPS).map(|number| format!("app-{number:02}")) {
            self.cluster
                .apply(&name, &MANIFEST.replace("NAME", &name))
                .await?;
            apps.push(App::new("apps", "Deployment", &name, "ConfigMap", &name));
        }
        now(
            "you",
            format_args!("create {APPS} Deployments with a ConfigMap each"),
        );
        self.new_pods(&mut apps).await?;

        let (leader, _) = fleet.leader().await?;
        now("you", format_args!("write all {APPS} ConfigMaps at once"));
        let edits = apps.iter().map(|app| self.cluster.edit(&app.source, BLUE));
        let kill = async {
            let started = Instant::now();
            while self.patches_of_apps()? < DEADLY {
                ensure!(started.elapsed() < PATIENCE, "the leader restarts too few");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            leader.kill();
            Ok(Timestamp::now())
        };
        let (_, killed) = try_join(try_join_all(edits), kill).await?;
        at(killed, "you", format_args!("kill -9 {}", leader.name()));
        tokio::time::sleep(IN_FLIGHT).await;
        let looks = apps.iter().map(|app| self.cluster.restarts(&app.workload));
        let restarts = try_join_all(looks).await?;
        let left = restarts.iter().filter(|restarts| **restarts == 0).count();
        ensure!(
            left > 0,
            "it was done before it could be killed: start the demo again"
        );
        now("demo", format_args!("{left} Deployments are left to restart"));
        now(
            "demo",
            "wait until the Lease expires, 15 s after its last renewal",
        );

        let (successor, since) = fleet.leader().await?;
        let gap = since.duration_since(killed).as_secs_f64();
        let what = format!("takes over {gap:.1} s after the kill");
        at(since, successor.name(), what);
        for app in &mut apps {
            app.restarts = 1;
        }
        let all = async || self.check(&apps).await.map(Some);
        eventually(PATIENCE, "the other restarts", all).await?;
        now(successor.name(), "has restarted the others");
        self.new_pods(&mut apps).await?;
        now("demo", "each Deployment is restarted exactly once");
        Ok(apps)
    }

    async fn canary(&self) -> Result<Vec<App>> {
        self.cluster.create_namespace("shop").await?;
        let secret = Object::new("shop", "", "Secret", "db");
        self.cluster.apply("secret", SHARED).await?;
        let mut apps = Vec::new();
        for name in (1..=APPS).map(|number| format!("shop-{number:02}")) {
            let manifest = SHOP.replace("NAME", &name).replace("DIGEST", &digest_of(BAD.1));
            self.cluster.apply(&name, &manifest).await?;
            apps.push(App::new("shop", "Deployment", &name, "Secret", "db"));
        }
        now(
            "you",
            format_args!("create {APPS} Deployments that use {secret}, annotated with canary \"1\""),
        );
        self.new_pods(&mut apps).await?;

        self.cluster.edit(&secret, BAD).await?;
        now(
            "you",
            format_args!("write {secret}: with this content no pod starts"),
        );
        let halted = async || self.cluster.has_event(&secret, "RolloutHalted").await;
        let text = eventually(PATIENCE, "the halt", halted).await?;
        now("reloader", format_args!("RolloutHalted: {text}"));
        let restarts = try_join_all(apps.iter().map(|app| self.cluster.restarts(&app.workload))).await?;
        let canaries: Vec<_> = restarts.iter().filter(|restarts| **restarts > 0).collect();
        ensure!(canaries == [&1], "{} were restarted, not one", canaries.len());
        let canary = restarts.iter().position(|restarts| *restarts > 0);

        self.cluster.edit(&secret, GOOD).await?;
        now("you", format_args!("put {secret} back"));
        for (number, app) in apps.iter_mut().enumerate() {
            app.restarts = if Some(number) == canary { 2 } else { 0 };
        }
        let all = async || self.check(&apps).await.map(Some);
        eventually(PATIENCE, "the restart of the canary", all).await?;
        now("reloader", "restarts the canary");
        for app in &apps {
            let ready = async || self.cluster.new_pods(&app.workload, &Pods::new()).await;
            eventually(PATIENCE, "its pods", ready).await?;
        }
        self.quiet(&apps).await?;
        now(
            "demo",
            format_args!("{} Deployments were never touched", APPS - 1),
        );
        Ok(apps)
    }

    fn patches_of_apps(&self) -> Result<usize> {
        let writes = self.audit.writes_by(USER)?;
        let of_apps = |entry: &&Arc<Entry>| entry.resource == "deployments" && entry.namespace == "apps";
        Ok(writes.iter().filter(of_apps).count())
    }

    async fn summary<'a>(&self, apps: impl Iterator<Item = &'a App> + Clone) -> Result<()> {
        self.check(apps.clone()).await?;
        let restarts: i64 = apps.map(|app| app.restarts).sum();
        let mut requests = self.audit.requests_by_verb_and_resource(USER)?;
        requests.retain(|(verb, _), _| !matches!(verb.as_str(), "get" | "list" | "watch"));
        print("\nSummary, from what the API server stores and logs");
        print(format_args!(
            "  {restarts:4} restarts: none lost, none twice, none without a reason"
        ));
        for ((verb, resource), count) in requests {
            print(format_args!("  {count:4} {verb} {resource}"));
        }
        Ok(())
    }
}

/// A Deployment of one pod and the ConfigMap of its environment, both of one name.
const MANIFEST: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME, namespace: apps}
data: {colour: red}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: apps, annotations: {reloader.stakater.com/auto: "true"}}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      containers:
      - {name: app, image: "nginx:1.29-alpine", envFrom: [{configMapRef: {name: NAME}}]}
"#;

/// The Secret of all shops.
const SHARED: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: shop, annotations: {reloader.stakater.com/canary: "1"}}
stringData: {key: right}
"#;

/// One of the Deployments that use it. The node of the testbed starts no pod that has the digest in a variable.
const SHOP: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop, annotations: {reloader.stakater.com/auto: "true"}}
spec:
  progressDeadlineSeconds: 3
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}, annotations: {testbed/fails-with: DIGEST}}
    spec:
      containers:
      - {name: app, image: "nginx:1.29-alpine", envFrom: [{secretRef: {name: db}}]}
"#;
