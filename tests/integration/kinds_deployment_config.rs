//! OpenShift's DeploymentConfigs: watched where they are served, rolled by a patch that loses nothing.

use k8s_openapi::api::core::v1::Event;
use kube::api::{Patch, PatchParams};
use rstest::rstest;
use serde_json::{Value, json};
use testbed::{Entry, eventually};

use crate::harness::{
    Controller, PATIENCE, World,
    fleet::Fleet,
    kinds::{DEPLOYMENT_CONFIG, deployment_config, rule, variable},
    objects::{config_map, pod_with_config_map},
    observe::{AUTO, digest_of},
    run,
    sentinel::Sentinel,
};

const KIND: &str = DEPLOYMENT_CONFIG.plural;
const MARKER: &str = "STAKATER_APP_CONFIGMAP";

async fn permit(world: &World) {
    world
        .permit_also(&[rule(DEPLOYMENT_CONFIG, &["get", "list", "watch", "patch"])])
        .await;
}

/// A world with the kind, a ConfigMap `app`, and the DeploymentConfig.
async fn world(name: &str, object: Value) -> World {
    let world = World::openshift(name).await;
    permit(&world).await;
    world.create(&config_map("app", "0")).await;
    world.create_custom(DEPLOYMENT_CONFIG, object).await;
    world
}

/// A DeploymentConfig `app` that uses the ConfigMap, with these fields of its spec.
fn app(annotations: &[(&str, &str)], fields: &Value) -> Value {
    let mut object = deployment_config("app", annotations, &pod_with_config_map("app"));
    for (field, value) in fields.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

async fn wait_for_marker(world: &World, controller: &Controller, content: &str) {
    let waited = eventually(PATIENCE, "the marker", async || {
        let spec = world.custom_spec(DEPLOYMENT_CONFIG, "app").await;
        (variable(&spec["template"], MARKER) == Some(digest_of(content))).then_some(())
    });
    if let Err(error) = waited.await {
        panic!("{error}\n{}", controller.replica.log());
    }
}

/// What the controllers asked of the kind, and of the API that it belongs to.
fn requests(world: &World) -> Vec<String> {
    let about = |entry: &Entry| entry.user == world.user() && entry.uri.contains("/apis/apps.openshift.io");
    let entries = world.plane.audit().matching(about).expect("the audit log");
    entries.iter().map(|entry| entry.uri.clone()).collect()
}

/// Has fields that no client library knows, and pods with two containers of which the second uses the ConfigMap. Who named
/// the kind before it was known keeps the flag.
#[rstest]
fn a_deployment_config_gets_its_marker_and_keeps_everything_else(
    #[values("--reload-strategy=env-vars", "--reload-strategy=annotations")] strategy: &str,
    #[values(
        "--is-openshift=auto",
        "--is-openshift=true",
        "--workload-kind=apps.openshift.io/v1/DeploymentConfig"
    )]
    flag: &str,
) {
    run(async {
        let spec = json!({
            "replicas": 3, "revisionHistoryLimit": 4, "selector": { "app": "app" }, "test": false,
            "strategy": { "type": "Rolling", "activeDeadlineSeconds": 21600, "tomorrow": [null, 1] },
            "triggers": [
                { "type": "ConfigChange" },
                { "type": "ImageChange", "imageChangeParams": { "automatic": true, "containerNames": ["main"] } },
            ],
            "template": {
                "metadata": { "labels": { "app": "app" }, "tomorrow": true },
                "spec": { "containers": [
                    { "name": "side", "image": "none", "tomorrow": { "a": "b" } },
                    { "name": "main", "image": "none", "env": [{ "name": "A", "value": "1" }],
                        "envFrom": [{ "configMapRef": { "name": "app" } }] },
                ] },
            },
        });
        let world = world("dc", app(&AUTO, &spec)).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(flag).arg(strategy).start().await;
        for round in 1..=2 {
            world.change_config_map("app", &round.to_string()).await;
            world.wait_for_rollouts(KIND, "app", round).await;
        }
        sentinel.pass().await;
        controller.wait_idle().await;

        let mut found = world.custom_spec(DEPLOYMENT_CONFIG, "app").await;
        let template = &mut found["template"];
        if strategy.ends_with("env-vars") {
            let variables = template["spec"]["containers"][1]["env"].as_array_mut();
            let marker = variables.expect("variables").pop().expect("a marker");
            assert_eq!(marker, json!({ "name": MARKER, "value": digest_of("2") }));
        } else {
            let metadata = template["metadata"].as_object_mut().expect("metadata");
            let annotations = metadata.remove("annotations").expect("a marker");
            let marker = annotations["reloader.stakater.com/last-reloaded-from"].as_str();
            assert!(marker.expect("a text").contains(&digest_of("2")), "{annotations}");
        }
        assert_eq!(found, spec);
        assert_eq!(world.writes_to(KIND).len(), 2, "one patch a change");
        let counted = r#"reloader_action_total{workload_kind="DeploymentConfig""#;
        assert!(controller.metric(counted).await >= 2.0);
        controller
            .wait_metric(r#"reloader_tracked_objects{kind="DeploymentConfig"}"#, 1.0)
            .await;
        let events: Vec<Event> = world.wait_for_events("app", "Reloaded", 1).await;
        let about = &events[0].involved_object;
        assert_eq!(about.api_version.as_deref(), Some("apps.openshift.io/v1"));
        assert_eq!(about.kind.as_deref(), Some("DeploymentConfig"));
    });
}

/// Of two teams on a cluster without the kind one says nothing, and one says that it is expected.
#[test]
fn the_api_may_be_installed_later() {
    run(async {
        let silent = World::alone("dc-late").await;
        let told = silent.another("dc-late").await;
        for world in [&silent, &told] {
            world.create(&config_map("app", "0")).await;
        }
        permit(&told).await;
        // The role that ships for other clusters has no rule for it.
        let mut sentinel = Sentinel::new(&silent).await;
        let auto = silent.controller().start().await;
        let (_, checks) = auto.get("/ready?verbose").await.expect("an answer");
        let check = format!("[+]watch-{KIND}-{} ok: not installed", silent.namespace);
        assert!(checks.contains(&check), "{checks}");
        // The alert for a kind that cannot be watched must not fire.
        auto.wait_metric(r#"reloader_watch_synced{kind="DeploymentConfig"}"#, 1.0)
            .await;
        silent.change_config_map("app", "1").await;
        sentinel.pass().await;
        let log = auto.replica.log();
        assert!(!log.contains(KIND) && !log.contains("level=error"), "{log}");
        let asked = requests(&silent);
        assert!(
            !asked.is_empty() && !asked.iter().any(|uri| uri.contains(KIND)),
            "{asked:#?}"
        );

        let expecting = told.controller().arg("--is-openshift=true").start().await;
        expecting.wait_log(&format!("The cluster has no {KIND}")).await;

        permit(&silent).await;
        silent.define_deployment_configs().await;
        for (world, controller) in [(&silent, &auto), (&told, &expecting)] {
            controller
                .wait_log(&format!("created controller for: {KIND}"))
                .await;
            world
                .create_custom(DEPLOYMENT_CONFIG, app(&AUTO, &json!({})))
                .await;
            controller
                .wait_metric(r#"reloader_tracked_objects{kind="DeploymentConfig"}"#, 1.0)
                .await;
            world.change_config_map("app", "2").await;
            wait_for_marker(world, controller, "2").await;
            controller.wait_idle().await;
            assert_eq!(world.writes_to(KIND).len(), 1);
        }
    });
}

#[rstest]
fn they_are_left_alone_where_the_user_says_so(
    #[values("--is-openshift=false", "--ignored-workload-types=deploymentconfigs")] flag: &str,
) {
    run(async {
        let world = world("dc-off", app(&AUTO, &json!({}))).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(flag).start().await;
        world.change_config_map("app", "1").await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(requests(&world), Vec::<String>::new());
        let (_, checks) = controller.get("/ready?verbose").await.expect("an answer");
        assert!(!checks.contains(KIND), "{checks}");
    });
}

/// As after a swap of the image alone: upstream's role has no rule for the kind.
#[test]
fn without_permission_one_line_says_what_to_do() {
    run(async {
        let world = World::openshift("dc-denied").await;
        world.create(&config_map("app", "0")).await;
        world
            .create_custom(DEPLOYMENT_CONFIG, app(&AUTO, &json!({})))
            .await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        controller
            .wait_log(&format!("Not allowed to list and watch {KIND} in namespace"))
            .await;
        controller.wait_ready().await;
        world.change_config_map("app", "1").await;
        sentinel.pass().await;
        let log = controller.replica.log();
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("level=error")).collect();
        assert_eq!(errors.len(), 1, "{log}");
        assert!(errors[0].contains("--is-openshift=false"), "{}", errors[0]);

        permit(&world).await;
        wait_for_marker_after_change(&world, &controller).await;
    });
}

async fn wait_for_marker_after_change(world: &World, controller: &Controller) {
    controller
        .wait_metric(r#"reloader_tracked_objects{kind="DeploymentConfig"}"#, 1.0)
        .await;
    world.change_config_map("app", "2").await;
    wait_for_marker(world, controller, "2").await;
}

/// The leader is killed; a change comes before another replica leads.
#[test]
fn the_next_leader_restarts_what_the_last_one_did_not() {
    run(async {
        let world = world("dc-fleet", app(&AUTO, &json!({}))).await;
        let timings = ["--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s"];
        let mut fleet = Fleet::start(&world, &timings).await;
        let first = fleet.take_leader().await;
        world.change_config_map("app", "1").await;
        wait_for_marker(&world, &first, "1").await;
        first.wait_idle().await;
        first.replica.kill();
        world.change_config_map("app", "2").await;
        let second = fleet.take_leader().await;
        wait_for_marker(&world, &second, "2").await;
        second.wait_idle().await;
        let writes = world.wait_for_rollouts(KIND, "app", 2).await;
        assert_eq!(writes.len(), 2);
        assert_eq!(world.replica_of(&writes[0]), first.name);
        assert_eq!(world.replica_of(&writes[1]), second.name);
    });
}

#[rstest]
#[case::paused(json!({ "paused": true }), Some("spec.paused"))]
#[case::no_trigger(json!({ "triggers": [{ "type": "ImageChange", "imageChangeParams": {} }] }), Some("ConfigChange"))]
#[case::empty(json!({ "triggers": [] }), Some("ConfigChange"))]
#[case::default(json!({ "triggers": null }), None)]
#[case::recreate(json!({ "strategy": { "type": "Recreate" } }), None)]
#[case::custom(json!({ "strategy": { "type": "Custom", "customParams": { "image": "none" } } }), None)]
fn the_event_says_why_pods_are_kept(#[case] fields: Value, #[case] reason: Option<&str>) {
    run(async {
        let world = world("dc-kept", app(&AUTO, &fields)).await;
        let controller = world.controller().start().await;
        world.change_config_map("app", "1").await;
        wait_for_marker(&world, &controller, "1").await;
        let events = world.wait_for_events("app", "Reloaded", 1).await;
        let message = events[0].message.clone().unwrap_or_default();
        let upstreams = format!(
            "Updated 'app' of type 'DeploymentConfig' in namespace '{}'",
            world.namespace
        );
        let (_, note) = message.split_once(&upstreams).expect("upstream's words");
        match reason {
            Some(reason) => assert!(note.contains(reason), "{message}"),
            None => assert_eq!(note, ""),
        }
    });
}

#[test]
fn a_pause_period_is_answered_once_and_restarts_go_on() {
    run(async {
        let annotations = [AUTO[0], ("deployment.reloader.stakater.com/pause-period", "5m")];
        let world = world("dc-pause", app(&annotations, &json!({}))).await;
        let controller = world.controller().start().await;
        for round in ["1", "2"] {
            world.change_config_map("app", round).await;
            wait_for_marker(&world, &controller, round).await;
        }
        let events = world.wait_for_events("app", "InvalidAnnotation", 1).await;
        let message = events[0].message.as_deref().unwrap_or_default();
        assert!(
            message.contains("pause-period has no effect here: it belongs on a Deployment"),
            "{message}"
        );
        controller.wait_idle().await;
        let said = controller
            .replica
            .log()
            .matches("only applicable for deployments")
            .count();
        assert_eq!((events.len(), said), (1, 1));
        let spec = world.custom_spec(DEPLOYMENT_CONFIG, "app").await;
        assert_eq!(spec["paused"], Value::Null);
    });
}

/// `spec.template` may be null: the object says nothing until it has one.
#[test]
fn a_deployment_config_without_a_template_is_reported_and_restarted_once_it_has_one() {
    run(async {
        let world = world("dc-null", app(&AUTO, &json!({ "template": null }))).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        let events = world.wait_for_events("app", "NoPodTemplate", 1).await;
        let message = events[0].message.as_deref().unwrap_or_default();
        assert!(
            message.contains("(spec.template with spec.containers)"),
            "{message}"
        );
        assert!(!message.contains("--workload-kind"), "{message}");
        world.change_config_map("app", "1").await;
        sentinel.pass().await;
        assert_eq!(world.writes_to(KIND).len(), 0);

        let template = json!({ "spec": { "template": { "spec": pod_with_config_map("app") } } });
        let api = world.custom(DEPLOYMENT_CONFIG);
        let patched = api
            .patch("app", &PatchParams::default(), &Patch::Merge(template))
            .await;
        patched.expect("it gets a template");
        sentinel.pass().await;
        world.change_config_map("app", "2").await;
        wait_for_marker(&world, &controller, "2").await;
    });
}

#[test]
fn an_excluded_source_restarts_nothing() {
    run(async {
        let annotations = [
            AUTO[0],
            ("configmaps.exclude.reloader.stakater.com/reload", "app"),
        ];
        let world = world("dc-exclude", app(&annotations, &json!({}))).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        world.change_config_map("app", "1").await;
        sentinel.pass().await;
        controller.wait_idle().await;
        assert_eq!(world.writes_to(KIND).len(), 0);
    });
}
