//! Which objects count: namespaces, sources and kinds left out by flag, on and off, at the start and while running.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use rstest::rstest;
use serde_json::json;
use testbed::proxy::{Fault, Rule};

use crate::harness::{
    Controller, EVERYWHERE, World,
    objects::{config_map, deployment, pod_with_config_map},
    observe::{AUTO, Barrier},
    run,
    sources::SourceType,
};

/// One after the other, so that the barrier's word is exact.
const ONE_WORKER: &str = "--workers=1";

impl World {
    /// A ConfigMap `app` with content `0` and a Deployment `app` that uses it.
    async fn create_app(&self) {
        self.create(&config_map("app", "0")).await;
        self.create(&deployment("app", &AUTO, &pod_with_config_map("app")))
            .await;
    }

    async fn change_app(&self, value: &str) {
        self.change_config_map("app", value).await;
    }

    fn app_rollouts(&self) -> usize {
        self.rollouts("deployments", "app")
    }

    async fn wait_for_app(&self, rollouts: usize) {
        self.wait_for_rollouts("deployments", "app", rollouts).await;
    }

    /// Gives the namespace a label, or takes it away.
    async fn label(&self, key: &str, value: Option<&str>) {
        let body = json!({ "metadata": { "labels": { key: value } } });
        Api::<Namespace>::all(self.client.clone())
            .patch(&self.namespace, &PatchParams::default(), &Patch::Merge(body))
            .await
            .expect("the Namespace changes");
    }

    /// Deletes the namespace without what is in it: that is the controller-manager's work, and none runs.
    async fn delete_namespace(&self) {
        let api = Api::<Namespace>::all(self.client.clone());
        api.delete(&self.namespace, &DeleteParams::default())
            .await
            .expect("it is deleted");
        let mut namespace = api.get(&self.namespace).await.expect("it is being deleted");
        namespace.spec.get_or_insert_default().finalizers = Some(Vec::new());
        api.replace_subresource("finalize", &self.namespace, &PostParams::default(), &namespace)
            .await
            .expect("it is gone");
    }

    /// Its controllers' requests for that resource, each once: a watch has an entry for its beginning and its end.
    fn requests(&self, resource: &str) -> BTreeSet<String> {
        let own = self.plane.audit().matching(|entry| {
            entry.user == self.user()
                && entry.resource == resource
                && !crate::harness::ledger::is_ledger(entry)
        });
        let own = own.expect("the audit log");
        own.iter().map(|entry| entry.audit_id.clone()).collect()
    }
}

async fn wait_for_namespaces(controller: &Controller, count: f64) {
    controller
        .wait_metric(r#"reloader_tracked_objects{kind="Namespace"}"#, count)
        .await;
}

#[rstest]
fn an_ignored_kind_of_source_is_never_requested(
    #[values(SourceType::ConfigMap, SourceType::Secret)] ignored: SourceType,
) {
    run(async {
        let world = World::new("ignored").await;
        for kind in SourceType::ALL {
            let name = kind.word();
            world.create_source(kind, name, &[], "0").await;
            let object = deployment(name, &AUTO, &kind.used_by_pod(name));
            world.create(&object).await;
        }
        // First without the flag, so that the ledger knows both.
        let controller = world.controller().start().await;
        world.wait_for_ledger(2).await;
        controller.replica.kill();
        let before = world.requests(&format!("{}s", ignored.word()));

        let flag = format!("--resources-to-ignore={}s", ignored.word());
        let controller = world.controller().arg(flag).start().await;
        world.change_source(ignored, ignored.word(), "1").await;
        let other = ignored.other();
        world.change_source(other, other.word(), "1").await;
        world.wait_for_rollouts("deployments", other.word(), 1).await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts("deployments", ignored.word()), 0);
        assert!(!before.is_empty());
        assert_eq!(world.requests(&format!("{}s", ignored.word())), before);

        // What changed meanwhile does not count when the flag is gone.
        world.wait_for_ledger(1).await;
        controller.replica.kill();
        let controller = world.controller().start().await;
        world.wait_for_ledger(2).await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts("deployments", ignored.word()), 0);
        world.change_source(ignored, ignored.word(), "2").await;
        world.wait_for_rollouts("deployments", ignored.word(), 1).await;
    });
}

/// The API server shows an object that loses the label as deleted; it is not, and its content may change meanwhile.
#[test]
fn only_sources_with_the_labels_count() {
    run(async {
        let world = World::new("labels").await;
        world.create_app().await;
        let mut barrier = Barrier::create(&world).await;
        let label = async |name: &str, value: Option<&str>| {
            let body = json!({ "metadata": { "labels": { "reload": value } } });
            world.patch_source(SourceType::ConfigMap, name, &body).await;
        };
        label("barrier", Some("yes")).await;
        // As upstream's chart renders it: with the quotes.
        let start = async || {
            let selector = "--resource-label-selector=\"reload:yes,!never\"";
            world.controller().args([ONE_WORKER, selector]).start().await
        };
        let controller = start().await;
        controller
            .wait_log("will only detect changes on resources with these labels: reload=yes,!never.")
            .await;
        world.change_app("1").await;
        barrier.pass(&world, &controller).await;
        assert_eq!(world.app_rollouts(), 0, "without the label");

        label("app", Some("yes")).await;
        barrier.pass(&world, &controller).await;
        assert_eq!(world.app_rollouts(), 0, "its content is taken as settled");
        world.change_app("2").await;
        world.wait_for_app(1).await;

        // Lost and regained with the same content; lost, changed, changed back.
        label("app", None).await;
        label("app", Some("yes")).await;
        label("app", None).await;
        world.change_app("3").await;
        barrier.pass(&world, &controller).await;
        world.change_app("2").await;
        label("app", Some("yes")).await;
        barrier.pass(&world, &controller).await;
        assert_eq!(world.app_rollouts(), 1, "nothing is new");

        // Changed without the label: the pods run with something else than what is there when it is back.
        label("app", None).await;
        world.change_app("4").await;
        barrier.pass(&world, &controller).await;
        assert_eq!(world.app_rollouts(), 1, "not while the label is missing");
        label("app", Some("yes")).await;
        world.wait_for_app(2).await;
        barrier.pass(&world, &controller).await;

        // The same while no replica watches.
        world.wait_for_ledger(2).await;
        label("app", None).await;
        controller.replica.kill();
        let controller = start().await;
        world.change_app("5").await;
        barrier.pass(&world, &controller).await;
        assert_eq!(world.app_rollouts(), 2);
        label("app", Some("yes")).await;
        world.wait_for_app(3).await;
        barrier.pass(&world, &controller).await;
        assert_eq!(world.app_rollouts(), 3);
    });
}

/// Upstream keeps the space after the comma and so ignores only the first; here all of them cost nothing.
#[test]
fn the_api_server_leaves_out_ignored_namespaces() {
    run(async {
        let world = World::alone("here").await;
        world.permit_everywhere().await;
        let ignored = [world.another("ignored").await, world.another("ignored").await];
        world.create_app().await;
        for other in &ignored {
            other.create_app().await;
            for number in 0..20 {
                other.create(&config_map(&format!("filler-{number}"), "0")).await;
            }
        }
        let mut barrier = Barrier::create(&world).await;
        let total: usize = {
            let all = Api::<ConfigMap>::all(world.client.clone());
            all.list(&ListParams::default())
                .await
                .expect("a list")
                .items
                .len()
        };

        // First without the flag, so that the ledger knows them.
        let controller = world.controller().args([EVERYWHERE, ONE_WORKER]).start().await;
        for other in &ignored {
            other.change_app("1").await;
            other.wait_for_app(1).await;
        }
        world.wait_for_ledger(4).await;
        controller.replica.kill();

        let flag = format!(
            "--namespaces-to-ignore={}, {}",
            ignored[0].namespace, ignored[1].namespace
        );
        let controller = world
            .controller()
            .args([EVERYWHERE, ONE_WORKER, &flag])
            .start()
            .await;
        controller
            .wait_log(&format!(
                "will detect changes in all namespaces except: {}, {}.",
                ignored[0].namespace, ignored[1].namespace
            ))
            .await;
        for other in &ignored {
            other.change_app("2").await;
        }
        world.change_app("1").await;
        world.wait_for_app(1).await;
        barrier.pass(&world, &controller).await;
        for other in &ignored {
            assert_eq!(other.app_rollouts(), 1, "not while it is ignored");
        }
        // `kube-root-ca.crt` is missing: no controller-manager runs. The ledger is not watched.
        let tracked = controller
            .metric(r#"reloader_tracked_objects{kind="ConfigMap"}"#)
            .await;
        #[allow(clippy::cast_precision_loss, reason = "a few objects")]
        let expected = (total - 2 * 21) as f64;
        assert!((tracked - expected).abs() < f64::EPSILON, "{tracked} of {total}");
        world.wait_for_ledger(2).await;
        controller.replica.kill();

        let controller = world.controller().args([EVERYWHERE, ONE_WORKER]).start().await;
        world.wait_for_ledger(4).await;
        barrier.pass(&world, &controller).await;
        for other in &ignored {
            assert_eq!(other.app_rollouts(), 1, "what changed meanwhile does not count");
            other.change_app("3").await;
            other.wait_for_app(2).await;
        }
    });
}

#[test]
fn namespaces_count_from_the_moment_they_have_the_labels() {
    run(async {
        let shop = World::alone("shop").await;
        shop.permit_everywhere().await;
        let team = shop.another("team").await;
        for world in [&shop, &team] {
            world.create_app().await;
        }
        let mut barrier = Barrier::create(&shop).await;
        shop.label("reload", Some("yes")).await;
        shop.label("tier", Some("web")).await;
        // As upstream's chart renders it: with the quotes. Upstream loses the second value and gives up.
        let start = async || {
            let selector = "--namespace-selector=\"reload:yes,tier=*,tier in (web, db)\"";
            shop.controller()
                .args([EVERYWHERE, ONE_WORKER, selector])
                .launch()
                .await
        };

        // Without the permission nothing is known, so nothing is done.
        let controller = start().await;
        controller
            .wait_log("Not allowed to list and watch namespaces, so it is not known which ones")
            .await;
        let (status, body) = controller.get("/ready").await.expect("an answer");
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("watch-namespaces failed: not permitted"), "{body}");
        assert_eq!(
            controller
                .replica
                .log()
                .matches("Not allowed to list and watch")
                .count(),
            1
        );
        shop.permit_namespaces().await;
        controller.wait_ready().await;
        wait_for_namespaces(&controller, 1.0).await;

        team.change_app("1").await;
        shop.change_app("1").await;
        shop.wait_for_app(1).await;
        barrier.pass(&shop, &controller).await;
        assert_eq!(team.app_rollouts(), 0, "without the labels");
        let skipped = r#"reloader_skipped_total{reason="ignored_or_not_selected"}"#;
        controller.wait_metric(skipped, 1.0).await;

        // One of the two labels is not enough.
        team.label("reload", Some("yes")).await;
        team.label("tier", Some("db")).await;
        wait_for_namespaces(&controller, 2.0).await;
        let added = r#"reloader_events_received_total{event_type="add",resource_type="namespaces"}"#;
        controller.wait_metric(added, 2.0).await;
        let line = format!("added namespace to be watched: {}", team.namespace);
        controller.wait_log(&line).await;
        barrier.pass(&shop, &controller).await;
        assert_eq!(team.app_rollouts(), 0, "what was before does not count");
        team.change_app("2").await;
        team.wait_for_app(1).await;
        shop.wait_for_ledger(3).await;

        team.label("tier", None).await;
        wait_for_namespaces(&controller, 1.0).await;
        let line = format!("removed namespace from watch: {}", team.namespace);
        controller.wait_log(&line).await;
        team.change_app("3").await;
        barrier.pass(&shop, &controller).await;
        assert_eq!(team.app_rollouts(), 1, "the labels are gone");
        shop.wait_for_ledger(2).await;

        // Nor after a restart, with the labels or without.
        controller.replica.kill();
        team.change_app("4").await;
        let controller = start().await;
        controller.wait_ready().await;
        barrier.pass(&shop, &controller).await;
        team.label("tier", Some("web")).await;
        wait_for_namespaces(&controller, 2.0).await;
        barrier.pass(&shop, &controller).await;
        assert_eq!(team.app_rollouts(), 1, "it was changed while it did not count");
        team.change_app("5").await;
        team.wait_for_app(2).await;

        // While no replica runs a selected namespace counts like any other.
        shop.wait_for_ledger(3).await;
        controller.replica.kill();
        team.change_app("6").await;
        let controller = start().await;
        team.wait_for_app(3).await;
        controller.wait_ready().await;
        barrier.pass(&shop, &controller).await;
        assert_eq!((team.app_rollouts(), shop.app_rollouts()), (3, 1));

        team.delete_namespace().await;
        wait_for_namespaces(&controller, 1.0).await;
    });
}

/// Upstream reads namespaces and sources at the same time and drops the changes that come first.
#[test]
fn nothing_is_decided_before_the_namespaces_are_known() {
    run(async {
        let world = World::alone("order").await;
        world.permit_everywhere().await;
        world.permit_namespaces().await;
        world.label("reload", Some("yes")).await;
        world.create_app().await;
        let flags = [EVERYWHERE, ONE_WORKER, "--namespace-selector=reload"];
        let controller = world.controller().args(flags).start().await;
        world.wait_for_ledger(1).await;
        controller.replica.kill();
        world.change_app("1").await;

        let proxy = world.plane.proxy().await.expect("a proxy");
        let held = proxy.add(Rule::new(Fault::Hold).when(|head| head.path == "/api/v1/namespaces"));
        let controller = world.controller().args(flags).through(&proxy).launch().await;
        for resource in ["configmaps", "deployments"] {
            controller
                .wait_log(&format!("created controller for: {resource}"))
                .await;
        }
        let (status, body) = controller.get("/ready").await.expect("an answer");
        assert_eq!(status, 503, "{body}");
        assert_eq!(world.app_rollouts(), 0);
        held.remove();
        world.wait_for_app(1).await;
        controller.wait_ready().await;
    });
}

#[test]
fn flags_for_all_namespaces_mean_nothing_for_some() {
    run(async {
        let world = World::new("scoped").await;
        world.create_app().await;
        let flags = [
            format!("--namespaces-to-ignore={}", world.namespace),
            "--namespace-selector=no-namespace-has-this".to_owned(),
        ];
        let controller = world.controller().args(flags).start().await;
        controller
            .wait_log("namespaces-to-ignore is set but is only honored in global mode (watchGlobally=true); ignoring it.")
            .await;
        controller
            .wait_log("namespace-selector is set but is only honored in global mode (watchGlobally=true); ignoring it.")
            .await;
        world.change_app("1").await;
        world.wait_for_app(1).await;
        assert!(world.requests("namespaces").is_empty());
    });
}

/// Every flag that upstream's chart renders, in its order and its form, but for `--webhook-url`, with which nothing is
/// restarted.
#[test]
fn an_unchanged_command_line_of_upstream_starts_and_reloads() {
    run(async {
        let world = World::alone("upstream").await;
        world.permit_everywhere().await;
        world.permit_namespaces().await;
        world.label("team", Some("shop")).await;
        world.create(&config_map("app", "0")).await;
        let body = json!({ "metadata": { "labels": { "reload": "yes" } } });
        world.patch_source(SourceType::ConfigMap, "app", &body).await;
        world
            .create(&deployment(
                "app",
                &[("my/auto", "true")],
                &pod_with_config_map("app"),
            ))
            .await;
        let flags = [
            EVERYWHERE,
            "--log-format=json",
            "--log-level=info",
            "--resources-to-ignore=secrets",
            "--ignored-workload-types=jobs,cronjobs",
            "--namespaces-to-ignore=kube-system,kube-public",
            "--namespace-selector=\"team=shop\"",
            "--resource-label-selector=\"reload=yes\"",
            "--enable-pprof",
            "--pprof-addr=:6060",
            "--enable-csi-integration",
            "--configmap-annotation",
            "my/configmap",
            "--secret-annotation",
            "my/secret",
            "--auto-annotation",
            "my/auto",
            "--ignore-annotation",
            "my/ignore",
            "--configmap-auto-annotation",
            "my/configmap-auto",
            "--secret-auto-annotation",
            "my/secret-auto",
            "--auto-search-annotation",
            "my/search",
            "--search-match-annotation",
            "my/match",
            "--pause-deployment-annotation",
            "my/pause",
            "--pause-deployment-time-annotation",
            "my/paused-at",
            "--is-Argo-Rollouts=true",
            "--reload-on-create=true",
            "--reload-on-delete=true",
            "--sync-after-restart=true",
            "--reload-strategy=annotations",
            "--enable-ha=true",
            "--auto-reload-all=true",
        ];
        let controller = world.controller().args(flags).start().await;
        controller
            .wait_log("--enable-pprof is accepted and does nothing")
            .await;
        controller.wait_log("became leader").await;
        let before = world.app_rollouts();
        world.change_app("1").await;
        world.wait_for_app(before + 1).await;
    });
}
