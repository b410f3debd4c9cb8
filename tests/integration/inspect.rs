//! The inspection endpoint: what it answers is what the controller does, and nothing else can be had from it.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use reloader::explain::{
    Explanation, Held, OwedPage, Owes, RestartsAnswer, Rule, SearchAnswer, Simulation, SourceAnswer,
    SourcesAnswer, Status, Verdict,
};
use rstest::rstest;
use serde_json::json;
use testbed::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    bursts::Policy,
    harness::{
        Controller, PATIENCE, World,
        fleet::Fleet,
        objects::{config_map, deployment, from, plain_pod, pod_with_config_map, secret},
        observe::{AUTO, digest_of, pod_with},
        run,
    },
};

const EXCLUDE: (&str, &str) = ("configmaps.exclude.reloader.stakater.com/reload", "left-out");
const RELOAD: (&str, &str) = ("configmap.reloader.stakater.com/reload", "named.*");

async fn explain(controller: &Controller, world: &World, name: &str) -> Explanation {
    controller
        .answer(&format!("/v1/workloads/deployment/{}/{name}", world.namespace))
        .await
}

fn source<'a>(explanation: &'a Explanation, name: &str) -> &'a SourceAnswer {
    let mut sources = explanation.sources.iter();
    let found = sources.find(|answer| answer.source.name == name);
    found.unwrap_or_else(|| panic!("{name} in {explanation:?}"))
}

/// Waits until the answer about a workload's source is as wished.
async fn wait_for(
    controller: &Controller,
    world: &World,
    workload: &str,
    name: &str,
    is_so: impl Fn(&SourceAnswer) -> bool,
) -> SourceAnswer {
    let what = format!("the answer about {name} of {workload}");
    let waited = eventually(
        PATIENCE,
        &what,
        async || -> Result<Option<SourceAnswer>, String> {
            let explanation = explain(controller, world, workload).await;
            let answer = source(&explanation, name).clone();
            if is_so(&answer) {
                Ok(Some(answer))
            } else {
                Err(format!("{answer:?}"))
            }
        },
    );
    waited.await.unwrap_or_else(|error| panic!("{error}"))
}

/// A ConfigMap that restarts nothing.
fn ignored(name: &str) -> ConfigMap {
    from(json!({
        "metadata": { "name": name, "annotations": { "reloader.stakater.com/ignore": "true" } },
        "data": { "key": "1" },
    }))
}

#[test]
fn each_source_has_the_verdict_that_the_controller_acts_on() {
    run(async {
        let world = World::new("explain").await;
        for name in ["app", "left-out", "named-1", "unused"] {
            world.create(&config_map(name, "1")).await;
        }
        world.create(&ignored("quiet")).await;
        world.create(&secret("db", "1")).await;
        let pod = pod_with(&["app", "left-out", "quiet", "missing"], &["db"]);
        let annotations = [AUTO[0], EXCLUDE, RELOAD];
        world
            .create::<Deployment>(&deployment("web", &annotations, &pod))
            .await;
        world
            .create::<Deployment>(&deployment("plain", &[], &pod_with_config_map("app")))
            .await;
        let controller = world.controller().start().await;

        let web = explain(&controller, &world, "web").await;
        let rule = |name: &str| (source(&web, name).verdict, source(&web, name).rule);
        assert_eq!(rule("app"), (Verdict::Restarts, Rule::Auto));
        assert_eq!(rule("db"), (Verdict::Restarts, Rule::Auto));
        assert_eq!(rule("named-1"), (Verdict::Restarts, Rule::Listed));
        assert_eq!(rule("left-out"), (Verdict::Refused, Rule::Excluded));
        assert_eq!(rule("quiet"), (Verdict::Refused, Rule::Ignored));
        assert_eq!(source(&web, "missing").exists, Some(false));
        assert_eq!(source(&web, "app").used_by, ["env or envFrom in container main"]);
        assert_eq!(source(&web, "db").now, Some(Held::Withheld));
        assert_eq!(source(&web, "app").owes, Owes::Nothing);
        assert!(web.opted_in && web.replica.is_some_and(|replica| replica.leads));
        let plain = explain(&controller, &world, "plain").await;
        assert!(!plain.opted_in && plain.sources.is_empty() && !plain.notes.is_empty());

        // The acts.
        for name in ["left-out", "quiet", "unused", "app"] {
            world.change_config_map(name, "2").await;
        }
        world.wait_for_rollouts("deployments", "web", 1).await;
        let is_shown = |answer: &SourceAnswer| {
            answer
                .in_template
                .iter()
                .any(|marker| marker.is_current == Some(true))
        };
        let app = wait_for(&controller, &world, "web", "app", is_shown).await;
        let digest = digest_of("2");
        assert_eq!(app.now, Some(Held::Digest(digest)));
        assert!(app.changed_at.is_some());
        controller.wait_idle().await;
        assert_eq!(world.rollouts("deployments", "web"), 1);
        let restarts: RestartsAnswer = controller.answer("/v1/restarts").await;
        assert_eq!(restarts.restarts.len(), 1);
        assert_eq!(restarts.restarts[0].workload.name, "web");
        assert_eq!(restarts.restarts[0].sources[0].name, "app");
    });
}

#[test]
fn what_fails_is_shown_with_its_error_and_next_try() {
    run(async {
        let world = World::alone("failing").await;
        world.create(&config_map("app", "1")).await;
        world
            .create::<Deployment>(&deployment("refused", &AUTO, &pod_with_config_map("app")))
            .await;
        let policy = Policy::create(&world).await;
        let controller = world.controller().start().await;
        world.change_config_map("app", "2").await;

        let has_failed = |answer: &SourceAnswer| match &answer.owes {
            Owes::Restart(owed) => {
                owed.attempts.is_some_and(|attempts| attempts > 1) && owed.next_try.is_some()
            }
            Owes::Unknown | Owes::Nothing => false,
        };
        let app = wait_for(&controller, &world, "refused", "app", has_failed).await;
        let Owes::Restart(owed) = &app.owes else {
            panic!("{app:?}");
        };
        let error = owed.last_error.as_deref().expect("an error");
        assert!(error.contains("frozen for the test"), "{error}");
        assert!(app.next.contains("frozen for the test"), "{}", app.next);
        assert_eq!(app.settled, Some(Held::Digest(digest_of("1"))));
        let page: OwedPage = controller.answer("/v1/owed?limit=1").await;
        assert_eq!((page.total, page.rows.len(), page.next_offset), (1, 1, None));
        assert!(page.rows[0].is_failing() && page.rows[0].sources[0].name == "app");
        let status: Status = controller.answer("/v1/status").await;
        assert_eq!((status.totals.owing, status.totals.failing), (1, 1));
        assert!(status.ready && status.watched.iter().all(|watch| watch.synced));

        policy.delete(&world).await;
        world.wait_for_rollouts("deployments", "refused", 1).await;
        wait_for(&controller, &world, "refused", "app", |answer| {
            answer.owes == Owes::Nothing
        })
        .await;
        let status: Status = controller.answer("/v1/status").await;
        assert_eq!((status.totals.owing, status.totals.failing), (0, 0));
    });
}

#[test]
fn every_replica_answers_and_says_what_only_the_leader_knows() {
    run(async {
        let world = World::alone("replicas").await;
        world.create(&config_map("app", "1")).await;
        world
            .create::<Deployment>(&deployment("refused", &AUTO, &pod_with_config_map("app")))
            .await;
        let _policy = Policy::create(&world).await;
        let fleet = Fleet::start(&world, &[]).await;
        let leader = fleet.leader().await.name.clone();
        world.change_config_map("app", "2").await;
        for replica in fleet.replicas() {
            let leads = replica.name == leader;
            let is_owed = |answer: &SourceAnswer| match &answer.owes {
                Owes::Restart(owed) => owed.last_error.is_some() == leads,
                Owes::Unknown | Owes::Nothing => false,
            };
            let app = wait_for(replica, &world, "refused", "app", is_owed).await;
            let Owes::Restart(owed) = &app.owes else {
                panic!("{app:?}");
            };
            assert_eq!(owed.attempts.is_some(), leads, "{}", replica.name);
            assert_eq!((app.verdict, app.rule), (Verdict::Restarts, Rule::Auto));
            let status: Status = replica.answer("/v1/status").await;
            assert_eq!(
                (status.replica.leads, status.leads_since.is_some()),
                (leads, leads)
            );
            assert_eq!(status.replica.name, replica.name);
            assert!(
                status.lease.is_some() && status.leader.is_some_and(|holder| holder.starts_with(&leader))
            );
            assert_eq!(
                status.notes.iter().any(|note| note.contains("does not lead")),
                !leads
            );
        }
    });
}

#[test]
fn a_simulation_names_who_would_restart_and_a_search_finds_it() {
    run(async {
        let world = World::new("simulate").await;
        world.create(&config_map("app", "1")).await;
        world.create(&ignored("quiet")).await;
        for name in ["one", "two"] {
            world
                .create::<Deployment>(&deployment(name, &AUTO, &pod_with(&["app", "quiet"], &[])))
                .await;
        }
        let excluded = [
            AUTO[0],
            ("configmaps.exclude.reloader.stakater.com/reload", "app"),
        ];
        world
            .create::<Deployment>(&deployment("three", &excluded, &pod_with_config_map("app")))
            .await;
        world
            .create::<Deployment>(&deployment("four", &[RELOAD], &plain_pod()))
            .await;
        let controller = world.controller().start().await;
        let simulate = async |name: &str| -> Simulation {
            controller
                .answer(&format!("/v1/sources/cm/{}/{name}", world.namespace))
                .await
        };
        let app = simulate("app").await;
        let restarting: Vec<&str> = app.restarts.iter().map(|row| &*row.workload.name).collect();
        assert_eq!((restarting, app.exists), (vec!["one", "two"], Some(true)));
        assert_eq!(
            (&*app.left[0].workload.name, app.left[0].rule),
            ("three", Rule::Excluded)
        );
        let quiet = simulate("quiet").await;
        assert_eq!((quiet.restarts.len(), quiet.left.len()), (0, 2));
        let seventh = simulate("named-7").await;
        assert_eq!(
            (seventh.exists, &*seventh.restarts[0].workload.name),
            (Some(false), "four")
        );

        let query = format!("/v1/search?q=deployment%20{}/t", world.namespace);
        let found: SearchAnswer = controller.answer(&query).await;
        let mut names: Vec<&str> = found.found.iter().map(|row| &*row.object.name).collect();
        names.sort_unstable();
        assert!(
            names.contains(&"two") && names.contains(&"three") && !found.is_cut,
            "{names:?}"
        );
        let nothing: SearchAnswer = controller.answer("/v1/search?q=").await;
        assert!(nothing.found.is_empty());
        let most: SourcesAnswer = controller.answer("/v1/sources").await;
        assert_eq!((&*most.sources[0].source.name, most.sources[0].users), ("app", 3));
    });
}

/// What the endpoint answers to these bytes.
async fn exchange(controller: &Controller, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", controller.inspect_port))
        .await
        .expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[test]
fn only_questions_from_this_machine_are_answered() {
    run(async {
        let world = World::new("guard").await;
        let controller = world.controller().start().await;
        let ask = async |method: &str, path: &str, host: &str| {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\n\r\n"
            );
            exchange(&controller, &request).await
        };
        let port = controller.inspect_port;
        for host in ["localhost", "127.0.0.1", "[::1]:80", &format!("localhost:{port}")] {
            for path in ["/", "/v1/status"] {
                let answer = ask("GET", path, host).await;
                assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
                let headers = answer
                    .split("\r\n\r\n")
                    .next()
                    .unwrap_or_default()
                    .to_ascii_lowercase();
                assert!(
                    headers.contains("content-security-policy: default-src 'none'"),
                    "{headers}"
                );
                assert!(!headers.contains("access-control"), "{headers}");
            }
        }
        for path in ["/", "/v1/status", "/nowhere"] {
            let answer = ask("GET", path, "rebound.example").await;
            assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
            assert!(!answer.contains(&controller.name), "{answer}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = ask(method, "/v1/status", "localhost").await;
            assert!(answer.starts_with("HTTP/1.1 405"), "{method}: {answer}");
        }
        let head = ask("HEAD", "/v1/status", "localhost").await;
        assert!(
            head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        for (path, text) in [
            ("/nowhere", "no such path"),
            ("/v1/workloads/pod/a/b", "Deployment"),
            ("/v1/sources/pod/a/b", "ConfigMap"),
            (
                &*format!("/v1/workloads/deploy/{}/b", world.namespace),
                "is not known",
            ),
            ("/v1/workloads/deploy/elsewhere/b", "--namespaces"),
        ] {
            let answer = ask("GET", path, "localhost").await;
            assert!(
                answer.starts_with("HTTP/1.1 404") && answer.contains(text),
                "{path}: {answer}"
            );
        }
    });
}

#[test]
fn a_second_replica_on_the_machine_runs_without_answers() {
    run(async {
        let world = World::new("taken").await;
        let first = world.controller().start().await;
        let flag = format!("--inspect-address=127.0.0.1:{}", first.inspect_port);
        let second = world.controller().name("reloader-1").arg(&flag).start().await;
        let warnings = second.replica.log().matches("answers no questions").count();
        assert_eq!(warnings, 1, "{}", second.replica.log());
        let status: Status = first.answer("/v1/status").await;
        assert_eq!(status.replica.name, first.name);
    });
}

#[rstest]
#[case::half("GET /v1/status HTTP/1.1\r\n")]
#[case::nonsense("\u{0}\u{1}\r\n\r\n")]
#[case::no_host("GET /v1/status HTTP/1.0\r\n\r\n")]
fn a_malformed_question_costs_nothing(#[case] request: &str) {
    run(async {
        let world = World::new("malformed").await;
        let controller = world.controller().start().await;
        let mut stream = TcpStream::connect(("127.0.0.1", controller.inspect_port))
            .await
            .expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let _: Status = controller.answer("/v1/status").await;
    });
}
