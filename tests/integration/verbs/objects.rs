//! No replica answers: the objects are what there is.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use reloader::explain::{Explanation, History, Owes, Rule, Simulation, Verdict};
use rstest::rstest;
use serde_json::json;
use testbed::{eventually, free_port};

use super::tool::{reads_config_maps, reads_workloads, verb};
use crate::harness::{
    PATIENCE, World,
    objects::{config_map, deployment, from, pod_with_config_map, secret, stateful_set},
    observe::{AUTO, digest_of, pod_with},
    run,
};

/// What objects tell a user who may not read Secrets, where no replica answers.
fn assert_known_from_objects(web: &Explanation) {
    let source = |name: &str| {
        web.sources
            .iter()
            .find(|source| source.source.name == name)
            .expect("a source")
    };
    assert_eq!(
        (source("app").verdict, source("app").rule),
        (Verdict::Restarts, Rule::Auto)
    );
    assert_eq!(
        (source("quiet").verdict, source("quiet").rule),
        (Verdict::Refused, Rule::Ignored)
    );
    // Secrets may not be read: whether it is ignored is not known.
    assert_eq!(source("db").verdict, Verdict::Unknown);
    assert_eq!(source("missing").exists, Some(false));
    assert!(web.sources.iter().all(|source| source.owes == Owes::Unknown));
    assert!(source("app").changed_at.is_some() && source("app").now.is_none());
    assert!(web.replica.is_none());
    assert!(
        web.notes
            .iter()
            .any(|note| note.contains("settings are not known")),
        "{:?}",
        web.notes
    );
}

#[test]
fn a_user_of_one_namespace_gets_the_verdicts_without_the_controller() {
    run(async {
        let world = World::new("verbs-alone").await;
        let kubeconfig = world
            .reader(json!([reads_workloads(), reads_config_maps()]))
            .await;
        world.create(&config_map("app", "1")).await;
        world
            .create::<ConfigMap>(&from(json!({
                "metadata": { "name": "quiet", "annotations": { "reloader.stakater.com/ignore": "true" } },
            })))
            .await;
        world.create(&secret("db", "canary")).await;
        let pod = pod_with(&["app", "quiet", "missing"], &["db"]);
        world.create::<Deployment>(&deployment("web", &AUTO, &pod)).await;
        let mistaken = [("reloader.stakater.com/reload", "app")];
        world
            .create::<Deployment>(&deployment("mistaken", &mistaken, &pod_with_config_map("app")))
            .await;
        let ask = async |args: &[&str]| {
            let mut all = args.to_vec();
            all.extend(["-n", &world.namespace]);
            verb(Some(&kubeconfig), &all).await
        };

        let web = ask(&["explain", "deploy/web", "-o", "json"]).await;
        assert_eq!(web.code, Some(0), "{web:?}");
        assert_eq!(web.stderr.lines().count(), 1, "{web:?}");
        assert!(
            web.stderr.contains("no pod of Reloader was found") && web.stderr.contains("you may not"),
            "{web:?}"
        );
        assert_known_from_objects(&web.json());

        let mistaken = ask(&["explain", "deploy/mistaken"]).await;
        assert_eq!(mistaken.code, Some(3), "{mistaken:?}");
        assert!(
            mistaken
                .stdout
                .contains("did you mean configmap.reloader.stakater.com/reload"),
            "{}",
            mistaken.stdout
        );

        let simulation = ask(&["simulate", "cm/app", "-o", "json"]).await;
        assert!(
            simulation
                .stderr
                .contains("left out: you may not: cronjobs, jobs"),
            "{simulation:?}"
        );
        let simulation: Simulation = simulation.json();
        let left = &*simulation.left[0].workload.name;
        assert_eq!((simulation.restarts.len(), left), (1, "mistaken"));
        assert!(!simulation.plan.expect("a plan").unknown.is_empty());

        // Who may read Secrets sees that it exists, and nothing of its content.
        let admin = world.plane.admin_kubeconfig();
        for args in [
            &["explain", "deploy/web", "-o", "yaml"][..],
            &["explain", "deploy/web"],
            &["simulate", "secret/db", "-o", "wide"],
            &["history", "deploy/web"],
        ] {
            let ended = verb(Some(&admin), &[args, &["-n", &world.namespace]].concat()).await;
            assert_eq!(ended.code, Some(0), "{ended:?}");
            for spelling in ["canary", "Y2FuYXJ5"] {
                assert!(!ended.all().contains(spelling), "{ended:?}");
            }
        }

        let failing = ask(&["status", "--failing"]).await;
        assert_eq!((failing.code, &*failing.stdout), (Some(1), ""), "{failing:?}");
        let check = ask(&["check"]).await;
        assert_eq!(check.code, Some(1), "{check:?}");
        let absent = ask(&["explain", "deploy/absent"]).await;
        assert_eq!(absent.code, Some(1), "{absent:?}");
        assert!(
            absent.stderr.contains("Error: Deployment") && absent.stderr.contains("not found"),
            "{absent:?}"
        );
    });
}

#[test]
fn published_settings_count_without_a_replica() {
    run(async {
        let world = World::new("verbs-settings").await;
        let kubeconfig = world
            .reader(json!([reads_workloads(), reads_config_maps()]))
            .await;
        world.create(&config_map("app", "1")).await;
        world
            .create::<Deployment>(&deployment("web", &[], &pod_with_config_map("app")))
            .await;
        let controller = world
            .controller()
            .env("RELOADER_NAMESPACE", &world.namespace)
            .args(["--auto-reload-all", "--inspect-address="])
            .start()
            .await;
        let published = eventually(PATIENCE, "the settings", async || {
            world
                .api::<ConfigMap>()
                .get_opt("reloader-meta-info")
                .await
                .ok()
                .flatten()
        });
        published.await.unwrap_or_else(|error| panic!("{error}"));
        let args = ["explain", "deploy/web", "-o", "json", "-n", &world.namespace];
        let ended = verb(Some(&kubeconfig), &args).await;
        let web: Explanation = ended.json();
        assert_eq!(
            (web.sources[0].verdict, web.sources[0].rule),
            (Verdict::Restarts, Rule::AutoReloadAll)
        );
        drop(controller);
    });
}

#[test]
fn a_controller_may_not_answer() {
    run(async {
        let world = World::new("verbs-older").await;
        world
            .create::<Deployment>(&deployment("web", &AUTO, &pod_with_config_map("app")))
            .await;
        let endpoint = format!("--endpoint=127.0.0.1:{}", free_port().expect("a port"));
        let kubeconfig = world.plane.admin_kubeconfig();
        let args = ["explain", "deploy/web", "-n", &world.namespace, &endpoint];
        let ended = verb(Some(&kubeconfig), &args).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(
            ended.stderr.contains("It may be of an older version"),
            "{ended:?}"
        );
        assert!(ended.stdout.contains("owes:      unknown"), "{}", ended.stdout);
    });
}

#[test]
fn history_is_what_the_revisions_show() {
    run(async {
        let world = World::with_controller_manager("verbs-history").await;
        let kubeconfig = world
            .reader(json!([reads_workloads(), reads_config_maps()]))
            .await;
        world.create(&config_map("app", "1")).await;
        world
            .create::<Deployment>(&deployment("web", &AUTO, &pod_with_config_map("app")))
            .await;
        world
            .create(&stateful_set("db", &AUTO, &pod_with_config_map("app")))
            .await;
        let _controller = world.controller().start().await;
        for resource in ["deploy/web", "sts/db"] {
            let args = ["history", resource, "-o", "json", "-n", &world.namespace];
            let before = eventually(PATIENCE, "a first revision", async || {
                let history: History = verb(Some(&kubeconfig), &args).await.json();
                (history.revisions == 1).then_some(history)
            });
            assert!(
                before
                    .await
                    .unwrap_or_else(|error| panic!("{error}"))
                    .restarts
                    .is_empty()
            );
        }
        world.change_config_map("app", "2").await;
        for resource in ["deploy/web", "sts/db"] {
            let args = ["history", resource, "-o", "json", "-n", &world.namespace];
            let after = eventually(PATIENCE, "a restart", async || {
                let history: History = verb(Some(&kubeconfig), &args).await.json();
                (!history.restarts.is_empty()).then_some(history)
            });
            let after = after.await.unwrap_or_else(|error| panic!("{error}"));
            let restart = &after.restarts[0];
            assert_eq!(
                (after.restarts.len(), after.revisions, restart.revision),
                (1, 2, 2),
                "{after:?}"
            );
            assert_eq!(
                restart.source.as_ref().map(ToString::to_string).as_deref(),
                Some("configmap/app")
            );
            assert_eq!(restart.digest, Some(digest_of("2")));
            assert!(restart.at.is_some() && !restart.or_before);
        }
        let args = ["history", "deploy/web", "-n", &world.namespace];
        let text = verb(Some(&kubeconfig), &args).await;
        assert!(
            text.stdout.starts_with("REVISION") && text.stdout.contains("configmap/app"),
            "{text:?}"
        );
    });
}

#[rstest]
#[case::kind(&["explain", "pod/web"], "is no kind of workload")]
#[case::form(&["explain", "web"], "KIND/NAME")]
#[case::source(&["simulate", "deploy/web"], "is no kind of source")]
#[case::name(&["explain", "deploy/a b"], "no object can be called")]
#[case::endpoint(&["status", "--endpoint=https://127.0.0.1:1"], "--endpoint")]
#[case::flag(&["status", "--nowhere"], "--nowhere")]
#[case::both(&["status", "-A", "-n", "shop"], "cannot be used with")]
fn a_question_that_cannot_be_read_has_status_two(#[case] args: &[&str], #[case] text: &str) {
    run(async {
        let world = World::new("verbs-usage").await;
        let kubeconfig = world.plane.admin_kubeconfig();
        let ended = verb(Some(&kubeconfig), args).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
        assert!(
            ended.stderr.starts_with("Error: ") && ended.stderr.contains(text),
            "{ended:?}"
        );
    });
}

#[test]
fn without_a_cluster_there_is_one_line() {
    run(async {
        let ended = verb(None, &["explain", "deploy/web"]).await;
        assert_eq!(
            (ended.code, ended.stderr.lines().count()),
            (Some(1), 1),
            "{ended:?}"
        );
    });
}
