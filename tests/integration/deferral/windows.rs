//! Restart windows, and how a restart is released before its window opens.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Secret},
    },
    jiff::{SignedDuration, Timestamp},
};
use rstest::rstest;
use testbed::eventually;

use super::{REQUESTED_AT, WINDOW, annotate, create_web, waiting, why};
use crate::harness::{
    PATIENCE, World,
    objects::{config_map, deployment},
    observe::{AUTO, pod_with},
    run,
    sentinel::Sentinel,
};

const ALWAYS: &str = r#"[{"schedule": "* * * * *", "duration": "1h"}]"#;
const NEVER_NOW: &str = r#"[{"kind": "deny", "schedule": "* * * * *", "duration": "1h"}]"#;
const NO_ZONE: &str = r#"[{"schedule": "* * * * *", "duration": "1h", "timeZone": "Europe/Berlni"}]"#;
/// As the open pull request of upstream has it.
const UPSTREAM: &str = r#"{"timezone": "UTC", "windows": [{"cron": "* * * * *", "duration": "1h"}]}"#;

/// Statement 28, among others.
#[rstest]
#[case::denied(NEVER_NOW)]
#[case::manual("manual")]
#[case::unknown_zone(NO_ZONE)]
#[case::no_windows("22:00-02:00")]
fn outside_of_its_windows_a_workload_waits_and_no_other_does(#[case] window: &str) {
    run(async {
        let world = World::new("window").await;
        create_web(&world, &[(WINDOW, window)]).await;
        let other = deployment("other", &AUTO, &pod_with(&["settings"], &[]));
        world.create(&other).await;
        let controller = world.controller().start().await;
        world.change_config_map("settings", "1").await;
        world.wait_for_rollouts("deployments", "other", 1).await;
        controller.wait_metric(&waiting("window"), 1.0).await;
        let (answer, reason) = why(&world, &controller).await;
        assert_eq!(reason.as_deref(), Some("window"), "{answer:#?}");
        assert_eq!(world.rollouts("deployments", "web"), 0);

        annotate(&world.api::<Deployment>(), "web", WINDOW, Some(UPSTREAM)).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
        assert_eq!(world.rollouts("deployments", "web"), 1);
    });
}

#[rstest]
#[case::the_flag("manual", &[], 0)]
#[case::the_workload_is_nearer("manual", &[(WINDOW, ALWAYS)], 1)]
#[case::denials_add_up(NEVER_NOW, &[(WINDOW, ALWAYS)], 0)]
fn the_flag_counts_for_all_that_say_nothing_themselves(
    #[case] flag: &str,
    #[case] annotations: &[(&str, &str)],
    #[case] restarts: usize,
) {
    run(async {
        let world = World::new("flag").await;
        create_web(&world, annotations).await;
        let flag = format!("--restart-window={flag}");
        let controller = world.controller().arg(flag).start().await;
        world.change_config_map("settings", "1").await;
        if restarts == 0 {
            controller.wait_metric(&waiting("window"), 1.0).await;
        } else {
            world.wait_for_rollouts("deployments", "web", restarts).await;
            controller.wait_idle().await;
        }
        assert_eq!(world.rollouts("deployments", "web"), restarts);
    });
}

#[derive(Clone, Copy, Debug)]
enum Of {
    Workload,
    Secret,
}

/// Statement 34. An hour ago is before the change; within an hour is after it, but not yet.
#[rstest]
fn a_release_lets_go_what_had_changed_by_then(#[values(Of::Workload, Of::Secret)] of: Of) {
    run(async {
        let world = World::new("release").await;
        create_web(&world, &[(WINDOW, "manual")]).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        let release = async |at: Timestamp| {
            let at = at.to_string();
            match of {
                Of::Workload => annotate(&world.api::<Deployment>(), "web", REQUESTED_AT, Some(&at)).await,
                Of::Secret => annotate(&world.api::<Secret>(), "token", REQUESTED_AT, Some(&at)).await,
            }
        };
        world.change_secret("token", "1").await;
        controller.wait_metric(&waiting("window"), 1.0).await;
        let hour = SignedDuration::from_hours(1);
        for at in [Timestamp::now() - hour, Timestamp::now() + hour] {
            release(at).await;
            sentinel.pass().await;
            assert_eq!(world.rollouts("deployments", "web"), 0, "{at}");
        }

        release(Timestamp::now()).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;

        // The next change waits again. Times have whole seconds.
        let released = Timestamp::now().as_second();
        let is_later =
            async || -> Result<_, String> { Ok((Timestamp::now().as_second() > released + 1).then_some(())) };
        eventually(PATIENCE, "the next second", is_later)
            .await
            .expect("time passes");
        world.change_secret("token", "2").await;
        controller.wait_metric(&waiting("window"), 1.0).await;
        assert_eq!(world.rollouts("deployments", "web"), 1);
    });
}

#[test]
fn a_source_that_is_not_released_holds_the_restart_back() {
    run(async {
        let world = World::new("half-released").await;
        create_web(&world, &[(WINDOW, "manual")]).await;
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().start().await;
        world.change_secret("token", "1").await;
        world.change_config_map("settings", "1").await;
        controller.wait_metric(&waiting("window"), 1.0).await;
        let now = Timestamp::now().to_string();
        annotate(&world.api::<Secret>(), "token", REQUESTED_AT, Some(&now)).await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "web"), 0);
        annotate(&world.api::<ConfigMap>(), "settings", REQUESTED_AT, Some(&now)).await;
        world.wait_for_rollouts("deployments", "web", 1).await;
        controller.wait_idle().await;
    });
}

/// Statement 24, as far as an opening goes. A window that opens with the next minute but one at the latest: the timer lets go, no news.
#[test]
fn a_window_that_opens_lets_go() {
    run(async {
        let world = World::new("opens").await;
        let now = Timestamp::now();
        let soon = now.as_second() / 60 * 60 + 60;
        let opens = Timestamp::from_second(soon).expect("a time");
        let schedule = opens.to_zoned(k8s_openapi::jiff::tz::TimeZone::UTC);
        let window = format!(
            r#"[{{"schedule": "{} {} * * *", "duration": "1h"}}]"#,
            schedule.minute(),
            schedule.hour()
        );
        world.create(&config_map("unused", "0")).await;
        create_web(&world, &[(WINDOW, &window)]).await;
        let controller = world.controller().start().await;
        world.change_config_map("settings", "1").await;
        // Up to a minute may pass before that, and as much after it.
        if Timestamp::now() < opens {
            controller.wait_metric(&waiting("window"), 1.0).await;
            let is_open = async || -> Result<_, String> { Ok((Timestamp::now() >= opens).then_some(())) };
            eventually(PATIENCE, "the window's opening", is_open)
                .await
                .expect("time passes");
        }
        let patched = world.wait_for_rollouts("deployments", "web", 1).await;
        let at = patched[0].request_received;
        assert!(at >= opens, "{at} is before {opens}");
        controller.wait_idle().await;
    });
}
