//! Alerts about restarts.

use rstest::rstest;
use testbed::{Answer, free_port};

use super::{receiver, taking, wait_for_bodies};
use crate::harness::{
    Controller, ControllerBuilder, PATIENCE, World,
    objects::{config_map, deployment, pod_with_config_map, secret},
    observe::{AUTO, pod_with},
    permissions::SHIPPED,
    run,
};

/// What the URL holds must never be seen.
const TOKEN: &str = "canary-token";

/// A ConfigMap `settings` and a Deployment `web` that uses it.
async fn create_web(world: &World) {
    world.create(&config_map("settings", "one")).await;
    world
        .create(&deployment("web", &AUTO, &pod_with_config_map("settings")))
        .await;
}

trait Alerting {
    fn alerting(self, url: &str) -> Self;
}

impl Alerting for ControllerBuilder<'_> {
    fn alerting(self, url: &str) -> Self {
        self.env("ALERT_ON_RELOAD", "true").env("ALERT_WEBHOOK_URL", url)
    }
}

fn text(namespace: &str, source: &str, type_name: &str) -> String {
    format!(
        "Reloader detected changes in *{source}* of type *{type_name}* in namespace *{namespace}*. Hence reloaded \
         *web* of type *Deployment* in namespace *{namespace}*"
    )
}

#[rstest]
#[case::slack("slack", "application/json", |text: &str| {
    format!(r#"{{"attachments":[{{"author_name":"Reloader","color":"good","text":"{text}"}}]}}"#)
})]
#[case::teams(" TEAMS ", "application/json", |text: &str| format!(r#"{{"text":"{text}"}}"#))]
#[case::gchat("gchat", "application/json", |text: &str| format!(r#"{{"text":"{text}"}}"#))]
#[case::raw("", "text/plain", |text: &str| text.replace('*', ""))]
fn each_restart_is_an_alert_with_upstreams_bytes(
    #[case] sink: &str,
    #[case] content_type: &str,
    #[case] body: impl Fn(&str) -> String,
) {
    run(async {
        let world = World::new("alert").await;
        create_web(&world).await;
        // 201 is a failure to upstream for two of the sinks.
        let receiver = receiver(|_| Answer::status("201 Created")).await;
        let controller = world
            .controller()
            .alerting(&format!(" {} ", receiver.url(&format!("/{TOKEN}?key={TOKEN}"))))
            .env("ALERT_SINK", sink)
            .env("ALERT_ADDITIONAL_INFO", " <eu> ")
            .arg("--log-level=trace")
            .start()
            .await;
        world.change_config_map("settings", "two").await;
        let bodies = wait_for_bodies(&receiver, 1).await;
        let expected = format!("<eu> : {}", text(&world.namespace, "settings", "CONFIGMAP"));
        let expected = if content_type == "text/plain" {
            expected
        } else {
            expected.replace('<', r"\u003c").replace('>', r"\u003e")
        };
        assert_eq!(bodies, [body(&expected)]);
        let head = &receiver.received()[0].head;
        assert!(
            head.starts_with(&format!("POST /{TOKEN}?key={TOKEN} HTTP/1.1\n")),
            "{head}"
        );
        assert!(head.contains(&format!("content-type: {content_type}")), "{head}");
        assert!(!head.contains("traceparent"), "no traces are exported: {head}");
        controller
            .wait_metric(
                r#"reloader_notifications_total{channel="alert",result="success"}"#,
                1.0,
            )
            .await;
        assert_token_unseen(&controller).await;
    });
}

async fn assert_token_unseen(controller: &Controller) {
    let metrics = controller.get("/metrics").await.expect("metrics").1;
    for text in [metrics, controller.replica.log()] {
        assert!(!text.is_empty() && !text.contains(TOKEN), "{text}");
    }
}

#[test]
fn several_changes_in_one_restart_are_an_alert_each() {
    run(async {
        let world = World::new("several").await;
        world.create(&config_map("settings", "one")).await;
        world.create(&secret("password", "canary-one")).await;
        world
            .create(&deployment("web", &AUTO, &pod_with(&["settings"], &["password"])))
            .await;
        let receiver = taking().await;
        let _controller = world
            .controller()
            .alerting(&receiver.url("/"))
            .arg("--coalesce-window=2s")
            .start()
            .await;
        world.change_config_map("settings", "two").await;
        world.change_secret("password", "canary-two").await;
        let mut bodies = wait_for_bodies(&receiver, 2).await;
        bodies.sort();
        let mut expected = [
            text(&world.namespace, "settings", "CONFIGMAP"),
            text(&world.namespace, "password", "SECRET"),
        ]
        .map(|text| text.replace('*', ""));
        expected.sort();
        assert_eq!(bodies, expected);
        assert_eq!(world.rollouts("deployments", "web"), 1);
    });
}

/// Upstream posts in the middle of its work: here the second restart would wait for ever.
#[test]
fn a_receiver_that_hangs_delays_no_restart() {
    run(async {
        let world = World::new("hangs").await;
        create_web(&world).await;
        let receiver = receiver(|_| Answer::Never).await;
        let controller = world.controller().alerting(&receiver.url("/")).start().await;
        for turn in 1..=3 {
            world.change_config_map("settings", &format!("turn {turn}")).await;
            world.wait_for_rollouts("deployments", "web", turn).await;
        }
        // The first one still hangs: no second has been tried, and all restarts are through.
        assert_eq!(receiver.received().len(), 1);
        // Nor does it keep the process from ending in time: 30 s is what a pod is given.
        controller.replica.terminate().expect("it runs");
        assert_eq!(
            controller.wait_exit(std::time::Duration::from_secs(25)).await,
            Some(0)
        );
    });
}

#[test]
fn an_alert_that_failed_is_sent_again() {
    run(async {
        let world = World::new("again").await;
        create_web(&world).await;
        let receiver = receiver(|number| match number {
            0 => Answer::status("500 Internal Server Error"),
            _ => Answer::status("200 OK"),
        })
        .await;
        let controller = world.controller().alerting(&receiver.url("/")).start().await;
        world.change_config_map("settings", "two").await;
        let bodies = wait_for_bodies(&receiver, 2).await;
        assert_eq!(bodies[0], bodies[1]);
        controller
            .wait_metric(
                r#"reloader_notifications_total{channel="alert",result="success"}"#,
                1.0,
            )
            .await;
        controller
            .wait_metric(
                r#"reloader_notifications_total{channel="alert",result="error"}"#,
                0.0,
            )
            .await;
    });
}

#[test]
fn a_redirect_is_an_error_with_upstreams_text() {
    run(async {
        let world = World::new("redirect").await;
        create_web(&world).await;
        let receiver = receiver(|_| Answer::full("302 Found", "location: /elsewhere\r\n", "")).await;
        let controller = world.controller().alerting(&receiver.url("/")).start().await;
        world.change_config_map("settings", "two").await;
        controller
            .wait_log("Error sending alert: incorrect token (redirection)")
            .await;
        assert_eq!(receiver.received().len(), 1);
    });
}

#[test]
fn alerts_take_the_proxy_that_is_theirs_and_no_other() {
    run(async {
        let world = World::new("proxy").await;
        create_web(&world).await;
        let (proxy, other) = (taking().await, taking().await);
        let _controller = world
            .controller()
            .alerting("http://nowhere.invalid/hook")
            .env("ALERT_WEBHOOK_PROXY", &proxy.url(""))
            .start()
            .await;
        world.change_config_map("settings", "two").await;
        wait_for_bodies(&proxy, 1).await;
        let head = &proxy.received()[0].head;
        assert!(
            head.starts_with("POST http://nowhere.invalid/hook HTTP/1.1\n"),
            "{head}"
        );

        // As in upstream, the variables that others go by do not count.
        let second = world.another("direct").await;
        create_web(&second).await;
        let receiver = taking().await;
        let mut controller = second.controller().alerting(&receiver.url("/"));
        for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
            controller = controller.env(name, &other.url(""));
        }
        let _controller = controller.env("NO_PROXY", "127.0.0.1:1").start().await;
        second.change_config_map("settings", "two").await;
        wait_for_bodies(&receiver, 1).await;
        assert_eq!(other.bodies(), Vec::<String>::new());
    });
}

#[test]
fn a_failed_restart_is_one_alert_where_enabled() {
    run(async {
        let world = World::new("failure").await;
        create_web(&world).await;
        let receiver = taking().await;
        let controller = world
            .controller()
            .env("ALERT_WEBHOOK_URL", &receiver.url("/"))
            .arg("--alert-on-failure")
            .start()
            .await;
        world.permit("deployments", &["list", "watch"]).await;
        world.change_config_map("settings", "two").await;
        let bodies = wait_for_bodies(&receiver, 1).await;
        let namespace = &world.namespace;
        let start = format!(
            "Reloader detected changes in settings of type CONFIGMAP in namespace {namespace}. Failed to reload web of \
             type Deployment in namespace {namespace}: "
        );
        assert!(
            bodies[0].starts_with(&start) && bodies[0].contains("forbidden"),
            "{bodies:?}"
        );
        // It is tried again, and fails again, without another alert; success is not reported either, as that is not enabled.
        let failures = controller
            .metric("reloader_reload_executed_total{success=\"false\"}")
            .await;
        world.wait_for_failures(&controller, failures + 1.0).await;
        world.permit("deployments", &SHIPPED).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
        controller.replica.terminate().expect("it runs");
        assert_eq!(controller.wait_exit(PATIENCE).await, Some(0));
        assert_eq!(receiver.bodies().len(), 1);
    });
}

impl World {
    async fn wait_for_failures(&self, controller: &Controller, count: f64) {
        testbed::eventually(PATIENCE, "another failure", async || {
            let now = controller
                .metric("reloader_reload_executed_total{success=\"false\"}")
                .await;
            (now >= count).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", self.namespace));
    }
}

/// Upstream complains at each restart.
#[rstest]
#[case::missing(None)]
#[case::no_url(Some("canary-token"))]
fn alerts_that_have_nowhere_to_go_are_one_error_at_the_start(#[case] url: Option<&str>) {
    run(async {
        let world = World::new("nowhere").await;
        create_web(&world).await;
        let mut controller = world.controller().env("ALERT_ON_RELOAD", "true");
        if let Some(url) = url {
            controller = controller.env("ALERT_WEBHOOK_URL", url);
        }
        let controller = controller.start().await;
        for turn in 1..=2 {
            world.change_config_map("settings", &format!("turn {turn}")).await;
            world.wait_for_rollouts("deployments", "web", turn).await;
        }
        controller.wait_idle().await;
        let log = controller.replica.log();
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("level=error")).collect();
        assert_eq!(errors.len(), 1, "{log}");
        assert!(errors[0].contains("ALERT_WEBHOOK_URL"), "{errors:?}");
        assert_token_unseen(&controller).await;
    });
}

#[test]
fn queued_alerts_are_sent_at_shutdown() {
    run(async {
        let world = World::new("drain").await;
        create_web(&world).await;
        // Refused until the process is asked to stop: nothing listens there yet.
        let port = free_port().expect("a port");
        let controller = world
            .controller()
            .alerting(&format!("http://127.0.0.1:{port}/"))
            .start()
            .await;
        world.change_config_map("settings", "two").await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("the port");
        controller.replica.terminate().expect("it runs");
        let (_stream, _) = tokio::time::timeout(PATIENCE, listener.accept())
            .await
            .expect("in time")
            .expect("a connection");
    });
}
