//! Who is restarted for what, by annotations on workload, pod template and source: upstream's rules, end to end.
//!
//! Each [`Row`] is tried for ConfigMaps and for Secrets, with a source of its own and two Deployments that differ in
//! one thing: the pods of one use the source, those of the other do not. A workload that lists the source is restarted
//! either way, one that is opted in automatically only if it uses it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Event};
use kube::api::ListParams;
use reloader::explain::{Explanation, Simulation, SourceAnswer, Verdict};
use rstest::rstest;

use crate::harness::{
    Controller, PATIENCE, World,
    objects::{config_map, deployment, from, plain_pod, workload},
    run,
    sentinel::Sentinel,
    sources::SourceType,
};

/// One after the other, so that the sentinel's word is exact.
const ONE_WORKER: &str = "--workers=1";

/// Which of a row's Deployments are restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restarts {
    /// Neither of them.
    Neither,
    /// The one that uses the source.
    Users,
    /// Both.
    Both,
}
use Restarts::{Both, Neither, Users};

/// Annotations, as keys and values.
type Pairs = &'static [(&'static str, &'static str)];

/// Annotations and what follows. In keys and values `{own}` is the source's kind (`configmap`), `{other}` the other
/// kind (`secret`), `{name}` the source's name; `~` stands for `reloader.stakater.com`.
struct Row {
    id: &'static str,
    source: Pairs,
    workload: Pairs,
    template: Pairs,
    restarts: Restarts,
}

const fn row(id: &'static str, source: Pairs, workload: Pairs, template: Pairs, restarts: Restarts) -> Row {
    Row {
        id,
        source,
        workload,
        template,
        restarts,
    }
}

#[rustfmt::skip]
const BY_DEFAULT: &[Row] = &[
    row("nothing-said", &[], &[], &[], Neither),
    // Automatic: Go's booleans and nothing else.
    row("auto-true", &[], &[("~/auto", "true")], &[], Users),
    row("auto-t", &[], &[("~/auto", "T")], &[], Users),
    row("auto-1", &[], &[("~/auto", "1")], &[], Users),
    row("auto-yes", &[], &[("~/auto", "yes")], &[], Neither),
    row("auto-padded", &[], &[("~/auto", " true")], &[], Neither),
    row("auto-empty", &[], &[("~/auto", "")], &[], Neither),
    row("typed-auto", &[], &[("{own}.~/auto", "true")], &[], Users),
    row("typed-auto-of-the-other-kind", &[], &[("{other}.~/auto", "true")], &[], Neither),
    row("typed-auto-beats-auto-false", &[], &[("~/auto", "false"), ("{own}.~/auto", "true")], &[], Users),
    row("auto-beats-typed-auto-false", &[], &[("~/auto", "true"), ("{own}.~/auto", "false")], &[], Users),
    // Both.
    row("listed", &[], &[("{own}.~/reload", "{name}")], &[], Both),
    row("listed-among-others", &[], &[("{own}.~/reload", "other, {name} ,third")], &[], Both),
    row("listed-for-the-other-kind", &[], &[("{other}.~/reload", "{name}")], &[], Neither),
    row("list-beats-auto-false", &[], &[("~/auto", "false"), ("{own}.~/reload", "{name}")], &[], Both),
    row("bad-item-beside-a-good-one", &[], &[("{own}.~/reload", "bad[, {name}")], &[], Both),
    // Ignored sources: exactly `true`, on the source only, above everything.
    row("ignored", &[("~/ignore", "true")], &[("~/auto", "true"), ("{own}.~/reload", "{name}")], &[], Neither),
    row("ignored-misspelt", &[("~/ignore", "True")], &[("~/auto", "true")], &[], Users),
    row("ignore-on-the-workload", &[], &[("~/auto", "true"), ("~/ignore", "true")], &[], Users),
    // Excluded names: literal, trimmed, on the workload only, above lists.
    row("excluded-and-listed", &[], &[("{own}.~/reload", "{name}"), ("{own}s.exclude.~/reload", "{name}")], &[], Neither),
    row("excluded-among-others", &[], &[("~/auto", "true"), ("{own}s.exclude.~/reload", "a, {name} ,b")], &[], Neither),
    row("exclude-takes-no-pattern", &[], &[("~/auto", "true"), ("{own}s.exclude.~/reload", "exclude-.*")], &[], Users),
    row("excluded-for-the-other-kind", &[], &[("~/auto", "true"), ("{other}s.exclude.~/reload", "{name}")], &[], Users),
    row("excluded-on-the-template", &[], &[], &[("~/auto", "true"), ("{own}s.exclude.~/reload", "{name}")], Users),
    row("excluded-on-the-workload-auto-on-the-template", &[], &[("{own}s.exclude.~/reload", "{name}")], &[("~/auto", "true")], Neither),
    // The template is asked when the workload has none of the four keys that matter for the kind.
    row("template-auto", &[], &[], &[("~/auto", "true")], Users),
    row("template-list", &[], &[], &[("{own}.~/reload", "{name}")], Both),
    row("template-hidden-by-search", &[], &[("~/search", "false")], &[("~/auto", "true")], Neither),
    row("template-hidden-by-an-empty-list", &[], &[("{own}.~/reload", "")], &[("~/auto", "true")], Neither),
    row("template-list-beside-other-list", &[], &[("{other}.~/reload", "foo")], &[("{own}.~/reload", "{name}")], Both),
    row("template-list-beside-other-auto", &[], &[("{other}.~/auto", "true")], &[("{own}.~/reload", "{name}")], Both),
    // Search and match: both, exactly `true`.
    row("search-and-match", &[("~/match", "true")], &[("~/search", "true")], &[], Users),
    row("template-search-and-match", &[("~/match", "true")], &[], &[("~/search", "true")], Users),
    row("search-without-match", &[], &[("~/search", "true")], &[], Neither),
    row("match-without-search", &[("~/match", "true")], &[], &[], Neither),
    row("search-misspelt", &[("~/match", "true")], &[("~/search", "1")], &[], Neither),
    row("match-misspelt", &[("~/match", "True")], &[("~/search", "true")], &[], Neither),
];

#[rustfmt::skip]
const WITH_AUTO_RELOAD_ALL: &[Row] = &[
    row("nothing-said", &[], &[], &[], Users),
    row("auto-unparsable", &[], &[("~/auto", "yes")], &[], Neither),
    row("auto-empty", &[], &[("~/auto", "")], &[], Users),
    row("auto-false", &[], &[("~/auto", "false")], &[], Neither),
    row("typed-auto-false", &[], &[("{own}.~/auto", "false")], &[], Neither),
    row("typed-auto-false-for-the-other-kind", &[], &[("{other}.~/auto", "false")], &[], Users),
    row("auto-false-on-the-template", &[], &[], &[("~/auto", "false")], Neither),
    row("ignored", &[("~/ignore", "true")], &[("~/auto", "true"), ("{own}.~/reload", "{name}")], &[], Neither),
    row("excluded", &[], &[("{own}s.exclude.~/reload", "{name}")], &[], Neither),
    row("listed", &[], &[("{own}.~/reload", "{name}")], &[], Both),
    row("another-listed", &[], &[("{own}.~/reload", "other")], &[], Users),
];

const RENAMED_KEYS: [&str; 8] = [
    "--auto-annotation=example.com/restart",
    "--configmap-auto-annotation=configmap.example.com/restart",
    "--secret-auto-annotation=secret.example.com/restart",
    "--configmap-annotation=configmap.example.com/names",
    "--secret-annotation=secret.example.com/names",
    "--auto-search-annotation=example.com/find",
    "--search-match-annotation=example.com/found",
    "--ignore-annotation=example.com/leave",
];

#[rustfmt::skip]
const RENAMED: &[Row] = &[
    row("auto", &[], &[("example.com/restart", "true")], &[], Users),
    row("typed-auto", &[], &[("{own}.example.com/restart", "true")], &[], Users),
    row("listed", &[], &[("{own}.example.com/names", "{name}")], &[], Both),
    row("search-and-match", &[("example.com/found", "true")], &[("example.com/find", "true")], &[], Users),
    row("ignored", &[("example.com/leave", "true")], &[("example.com/restart", "true")], &[], Neither),
    // The key of the excluded names has no flag.
    row("excluded", &[], &[("example.com/restart", "true"), ("{own}s.exclude.~/reload", "{name}")], &[], Neither),
    // The old keys mean nothing any more, not even that the template's are hidden.
    row("old-auto", &[], &[("~/auto", "true")], &[], Neither),
    row("old-typed-auto", &[], &[("{own}.~/auto", "true")], &[], Neither),
    row("old-list", &[], &[("{own}.~/reload", "{name}")], &[], Neither),
    row("old-search-and-match", &[("~/match", "true")], &[("~/search", "true")], &[], Neither),
    row("old-ignore", &[("~/ignore", "true")], &[("example.com/restart", "true")], &[], Users),
    row("old-auto-false-over-the-template", &[], &[("~/auto", "false")], &[("example.com/restart", "true")], Users),
];

#[rstest]
#[case::by_default(BY_DEFAULT, &[], "reloader.stakater.com/auto")]
#[case::with_auto_reload_all(WITH_AUTO_RELOAD_ALL, &["--auto-reload-all"], "reloader.stakater.com/auto")]
#[case::with_renamed_keys(RENAMED, &RENAMED_KEYS, "example.com/restart")]
fn annotations_decide(
    #[case] rows: &'static [Row],
    #[case] flags: &'static [&str],
    #[case] auto: &'static str,
) {
    run(async move {
        let world = World::new("opt-in").await;
        let tried: Vec<Tried> = rows
            .iter()
            .flat_map(|row| SourceType::ALL.map(|kind| Tried { row, kind }))
            .collect();
        for one in &tried {
            one.create(&world).await;
        }
        let mut sentinel = Sentinel::opted_in_by(&world, auto).await;
        let flags = flags.iter().copied().chain([ONE_WORKER]);
        let controller = world.controller().args(flags).start().await;

        let mut foretold = BTreeMap::new();
        for one in &tried {
            foretold.insert(one.source(), one.foretold(&controller, &world).await);
        }
        for one in &tried {
            world.change_source(one.kind, &one.source(), "after").await;
        }
        sentinel.pass().await;

        // What happened, and what the controller had answered to the question what would happen.
        let outcome = |one: &Tried| {
            let [user, plain] = one.workloads().map(|name| world.rollouts("deployments", &name));
            let counts = format!("{}: user {user}, other {plain}", one.source());
            let answered = foretold[&one.source()];
            if answered == [user, plain].map(|count| count > 0) {
                counts
            } else {
                format!("{counts}, answered {answered:?}")
            }
        };
        let expected = |one: &Tried| {
            let (user, plain) = match one.row.restarts {
                Neither => (0, 0),
                Users => (1, 0),
                Both => (1, 1),
            };
            format!("{}: user {user}, other {plain}", one.source())
        };
        let wrong: Vec<String> = tried
            .iter()
            .filter(|one| outcome(one) != expected(one))
            .map(|one| format!("expected {}, got {}", expected(one), outcome(one)))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

/// A row, tried for one kind of source.
struct Tried {
    row: &'static Row,
    kind: SourceType,
}

impl Tried {
    fn source(&self) -> String {
        format!("{}-{}", self.row.id, self.kind.word())
    }

    /// The one that uses the source, and the one that does not.
    fn workloads(&self) -> [String; 2] {
        ["user", "plain"].map(|suffix| format!("{}-{suffix}", self.source()))
    }

    /// Whether each of the two restarts when the source changes, as the controller answers: about the source, and about each
    /// of the two.
    async fn foretold(&self, controller: &Controller, world: &World) -> [bool; 2] {
        let (namespace, source) = (&world.namespace, self.source());
        let path = format!("/v1/sources/{}/{namespace}/{source}", self.kind.word());
        let simulation: Simulation = controller.answer(&path).await;
        let mut restarts = [false; 2];
        for (name, restarts) in self.workloads().iter().zip(&mut restarts) {
            *restarts = simulation.restarts.iter().any(|row| row.workload.name == *name);
            let path = format!("/v1/workloads/deployment/{namespace}/{name}");
            let explanation: Explanation = controller.answer(&path).await;
            let mut answers = explanation.sources.iter();
            let is_it = |answer: &&SourceAnswer| {
                answer.source.name == source && answer.source.kind.eq_ignore_ascii_case(self.kind.word())
            };
            let answer = answers.find(is_it);
            let verdict = answer.map_or(Verdict::Refused, |answer| answer.verdict);
            assert_eq!(verdict == Verdict::Restarts, *restarts, "{name}: {explanation:?}");
        }
        restarts
    }

    fn filled_in(&self, pairs: Pairs) -> Vec<(String, String)> {
        let fill = |text: &str| {
            text.replace('~', "reloader.stakater.com")
                .replace("{own}", self.kind.word())
                .replace("{other}", self.kind.other().word())
                .replace("{name}", &self.source())
        };
        pairs
            .iter()
            .map(|(key, value)| (fill(key), fill(value)))
            .collect()
    }

    async fn create(&self, world: &World) {
        let annotations = self.filled_in(self.row.source);
        world
            .create_source(self.kind, &self.source(), &borrowed(&annotations), "before")
            .await;
        let own = self.filled_in(self.row.workload);
        let template = self.filled_in(self.row.template);
        let pods = [self.kind.used_by_pod(&self.source()), plain_pod()];
        for (name, pod) in self.workloads().iter().zip(&pods) {
            let object = workload(name, &borrowed(&own), &borrowed(&template), pod);
            world.create(&from::<Deployment>(object)).await;
        }
    }
}

fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// Names that the patterns below tell apart.
const NAMES: [&str; 6] = ["app", "app-config", "my-zzz", "my.config", "myxconfig", "x-cm"];

/// Lists, and the names they match: anchors bind before alternation, globs work by accident or not at all.
#[rustfmt::skip]
const PATTERNS: &[(&str, &[&str])] = &[
    ("app", &["app"]),
    ("app|zzz", &["app", "app-config", "my-zzz"]),
    ("my.config", &["my.config", "myxconfig"]),
    (r"my\.config", &["my.config"]),
    ("*", &NAMES),
    ("?", &NAMES),
    ("+", &[]),
    ("*-cm", &["x-cm"]),
    ("app-*", &["app"]),
    ("app-.*", &["app-config"]),
    (" app , x-cm ", &["app", "x-cm"]),
    ("[a-m].*g", &["app-config", "my.config", "myxconfig"]),
    ("p{2,3}", &[]),
    (r"app\", &[]),
    (r"\Qmy.config\E", &["my.config"]),
    ("config", &[]),
    ("APP", &[]),
    ("(?i)APP", &["app"]),
];

#[test]
fn lists_are_gos_regular_expressions_loosely_anchored() {
    run(async {
        let world = World::new("patterns").await;
        for name in NAMES {
            world.create(&config_map(name, "before")).await;
        }
        let named = |number: usize| format!("list-{number}");
        for (number, (list, _)) in PATTERNS.iter().enumerate() {
            let annotations = [("configmap.reloader.stakater.com/reload", *list)];
            world
                .create(&deployment(&named(number), &annotations, &plain_pod()))
                .await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(ONE_WORKER).start().await;

        for name in NAMES {
            world.change_config_map(name, "after").await;
        }
        sentinel.pass().await;

        for (number, (list, names)) in PATTERNS.iter().enumerate() {
            let expected: BTreeSet<String> = names
                .iter()
                .map(|name| SourceType::ConfigMap.marker(name))
                .collect();
            let mut found = markers(&world, &named(number)).await;
            // A list that matches everything matches the sentinel's source as well.
            found.remove(&SourceType::ConfigMap.marker("sentinel-configmap"));
            assert_eq!(found, expected, "{list:?}");
        }
        let log = controller.replica.log();
        assert!(!log.contains("invalid regex"), "{log}");
    });
}

/// The names of the variables that the one container of a Deployment has.
async fn markers(world: &World, name: &str) -> BTreeSet<String> {
    let object = world.api::<Deployment>().get(name).await.expect("the workload");
    let pod = object.spec.template.spec.expect("a pod");
    let env = pod.containers.into_iter().filter_map(|container| container.env);
    env.flatten().map(|variable| variable.name).collect()
}

#[test]
fn an_invalid_pattern_is_reported_and_affects_no_other_workload() {
    run(async {
        let world = World::new("invalid").await;
        world.create(&config_map("settings", "before")).await;
        let list = |value| [("configmap.reloader.stakater.com/reload", value)];
        for (name, value) in [("bad", "set[tings"), ("good", "settings")] {
            world.create(&deployment(name, &list(value), &plain_pod())).await;
        }
        let mut sentinel = Sentinel::new(&world).await;
        let controller = world.controller().arg(ONE_WORKER).start().await;

        world.change_config_map("settings", "after").await;
        sentinel.pass().await;
        assert_eq!(world.rollouts("deployments", "good"), 1);
        assert_eq!(world.rollouts("deployments", "bad"), 0);

        let words = format!(
            r#"Skipping invalid reload annotation on Deployment 'bad' in namespace '{}': invalid regex "set[tings" in reload annotation "configmap.reloader.stakater.com/reload": "#,
            world.namespace
        );
        // In the log the quotes stand within quotes.
        controller.wait_log(&words.replace('"', r#"\""#)).await;
        let event = testbed::eventually(PATIENCE, "the Event", async || {
            let of_reason = async || {
                let params = ListParams::default().fields("reason=InvalidAnnotation");
                world.api::<Event>().list(&params).await
            };
            of_reason().await.map(|mut events| {
                assert!(events.items.len() <= 1, "{:?}", events.items);
                events.items.pop()
            })
        });
        let event = event.await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.count, Some(1));
        assert_eq!(event.involved_object.kind.as_deref(), Some("Deployment"));
        assert_eq!(event.involved_object.name.as_deref(), Some("bad"));
        let message = event.message.unwrap_or_default();
        let mistake = r#"annotation configmap.reloader.stakater.com/reload: "set[tings" is skipped: "#;
        assert!(message.starts_with(mistake), "{message}");
    });
}
