//! One source and one workload against an oracle that knows which content each *pod* has started with: whatever happens,
//! in whichever order the streams show it, all of them end on the present content.
//!
//! Others change and undo the template, pods come up at any moment, patches are refused or lose their answer before or
//! after they are applied, each stream lags by itself, and leaders die with a ledger of some earlier moment. Nothing of the
//! oracle is taken from markers.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::{
    worker::{self, ApiServer, Outcome, outcomes},
    *,
};
use crate::{decide::Plan, model::Fingerprint};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The source holds that from now on.
    Set(u8),
    /// Somebody else changes the template: all pods start anew.
    OthersRoll,
    /// Somebody brings the template before the last change back, its marker included.
    Undo,
    /// One pod starts anew.
    PodStarts,
    /// The next event of the sources' stream arrives.
    SourceEvent,
    /// The next event of the workloads' stream arrives.
    WorkloadEvent,
    /// The worker does what is due, with this outcome of the write.
    Work(Outcome),
    /// The ledger is written.
    Store,
    /// The leader dies. The next one lists everything.
    Die,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..4_u8).prop_map(Step::Set),
        2 => Just(Step::OthersRoll),
        1 => Just(Step::Undo),
        2 => Just(Step::PodStarts),
        4 => Just(Step::SourceEvent),
        4 => Just(Step::WorkloadEvent),
        5 => outcomes().prop_map(Step::Work),
        2 => Just(Step::Store),
        1 => Just(Step::Die),
    ];
    prop::collection::vec(step, 1..30)
}

/// The truth.
struct Cluster {
    version: u64,
    /// Seconds.
    time: i64,
    source: Source,
    web: Workload,
    /// Templates that were, the latest last.
    past: Vec<PodTemplate>,
    /// What each pod has started with.
    pods: [u8; 2],
    sources: VecDeque<Source>,
    workloads: VecDeque<Workload>,
    /// A pod has started since the ledger was written, without a restart of ours: if nobody looks on, nothing tells.
    pod_started: bool,
}

impl Cluster {
    fn new() -> Self {
        let mut web = workload("web", AUTO, 2);
        web.template.fingerprint = Fingerprint::new(1);
        web.created_at = Some(UnixSeconds(0));
        Self {
            version: 2,
            time: 100,
            source: Source {
                modified_at: Some(UnixSeconds(0)),
                resource_version: 1,
                ..source("app", 1)
            },
            web,
            past: Vec::new(),
            pods: [1; 2],
            sources: VecDeque::new(),
            workloads: VecDeque::new(),
            pod_started: false,
        }
    }

    fn content(&self) -> u8 {
        (1..4)
            .find(|content| digest(*content) == self.source.digest)
            .unwrap()
    }

    fn set(&mut self, content: u8) {
        if content == self.content() {
            return;
        }
        self.version += 1;
        self.source = Source {
            modified_at: Some(UnixSeconds(self.time)),
            resource_version: self.version,
            ..source("app", content)
        };
        self.sources.push_back(self.source.clone());
    }

    /// Somebody writes the workload.
    fn write(&mut self, change: impl FnOnce(&mut Workload)) {
        self.version += 1;
        change(&mut self.web);
        self.web.resource_version = self.version;
        self.workloads.push_back(self.web.clone());
    }

    fn roll(&mut self, template: impl FnOnce(&mut PodTemplate)) {
        self.past.push(self.web.template.clone());
        let version = self.version;
        self.write(|web| {
            template(&mut web.template);
            web.template.fingerprint = Fingerprint::new(version + 100);
            web.generation += 1;
            web.pods.are_complete = true;
        });
        self.pods = [self.content(); 2];
    }

    fn pod_starts(&mut self) {
        self.pods[0] = self.content();
        self.pod_started = true;
        let version = self.version;
        self.write(|web| web.pods.counts = version);
    }
}

impl ApiServer for Cluster {
    fn web(&self) -> &Workload {
        &self.web
    }

    fn apply(&mut self, plan: &Plan) -> bool {
        if plan
            .resource_version
            .is_some_and(|version| version.get() != self.web.resource_version)
        {
            return false;
        }
        let mark = plan.marks[0].clone();
        let annotation = plan.annotation();
        let unchanged = {
            let markers = &self.web.template.containers[0].markers;
            let shown = mark.content.shown().to_string();
            markers.iter().any(|(_, value)| **value == *shown)
                && (annotation.is_none()
                    || annotation.as_deref() == self.web.template.last_reloaded_from.as_deref())
        };
        if unchanged {
            // The API server takes it and does nothing.
            return true;
        }
        let time = UnixSeconds(self.time);
        self.roll(|template| {
            let value = mark.content.shown().to_string();
            template.containers[0].markers = vec![(mark.env_name.into(), value.into())];
            if let Some(annotation) = annotation {
                template.last_reloaded_from = Some(annotation.into());
            }
            template.written_at = Some(time);
        });
        true
    }
}

struct Play {
    cluster: Cluster,
    fixture: Fixture,
    ledger: Option<(SourceStatus, UnixSeconds)>,
    restarts: usize,
}

impl Play {
    fn new() -> Self {
        let mut play = Self {
            cluster: Cluster::new(),
            fixture: Fixture::settled(),
            ledger: None,
            restarts: 0,
        };
        play.lead();
        play.store();
        play
    }

    /// A new process lists everything and takes over.
    fn lead(&mut self) {
        let options = Options {
            longest_lag: Duration::from_mins(5),
            ..Options::default()
        };
        self.fixture = Fixture::with(options);
        self.fixture.now.unix = self.fixture.now.unix.saturating_add(self.cluster.time);
        self.cluster.sources.clear();
        self.cluster.workloads.clear();
        let (source, web) = (self.cluster.source.clone(), self.cluster.web.clone());
        for watched in Watched::all() {
            self.fixture.list(watched, |fixture| match watched {
                Watched::Source(SourceKind::ConfigMap) => {
                    _ = fixture.event(watched, Event::SourceSeen(source.clone()));
                }
                Watched::Workload(WorkloadKind::Deployment) => {
                    fixture.event(watched, Event::WorkloadSeen(Box::new(web.clone())));
                }
                _ => {}
            });
        }
        if let Some((status, stored_at)) = &self.ledger {
            let app = self.cluster.source.key.clone();
            self.fixture.index.restores_from(*stored_at);
            self.fixture.index.restore(&app, status, self.fixture.now);
            self.fixture.check_unrecorded(*stored_at);
        }
    }

    fn lags(&self) -> bool {
        !self.cluster.sources.is_empty() || !self.cluster.workloads.is_empty()
    }

    fn store(&mut self) {
        let app = self.cluster.source.key.clone();
        let status = self.fixture.index.source_status(&app);
        self.cluster.pod_started = false;
        self.ledger = status.map(|status| (status, UnixSeconds(self.cluster.time)));
    }

    fn step(&mut self, step: Step) {
        self.cluster.time += 1;
        self.fixture.pass(1);
        let cluster = &mut self.cluster;
        match step {
            Step::Set(content) => cluster.set(content),
            Step::OthersRoll => {
                cluster.pod_started = true;
                let time = UnixSeconds(cluster.time);
                cluster.roll(|template| template.touched_at = Some(time));
            }
            Step::Undo => {
                if let Some(before) = cluster.past.last().cloned() {
                    cluster.pod_started = true;
                    let time = UnixSeconds(cluster.time);
                    cluster.roll(|template| {
                        *template = before;
                        template.touched_at = Some(time);
                        template.replaced_at = Some(time);
                        // The text of the marker is another's now.
                        template.written_at = None;
                    });
                }
            }
            Step::PodStarts => cluster.pod_starts(),
            Step::SourceEvent => {
                if let Some(source) = cluster.sources.pop_front() {
                    let watched = Watched::Source(SourceKind::ConfigMap);
                    self.fixture.event(watched, Event::SourceSeen(source));
                }
            }
            Step::WorkloadEvent => {
                if let Some(web) = cluster.workloads.pop_front() {
                    let watched = Watched::Workload(WorkloadKind::Deployment);
                    self.fixture.event(watched, Event::WorkloadSeen(Box::new(web)));
                }
            }
            Step::Work(outcome) => self.work(outcome),
            // A ledger says nothing of what its writer has not been shown yet: streams are taken to lag less than that takes.
            Step::Store if self.lags() => {}
            Step::Store => self.store(),
            Step::Die if self.cluster.pod_started => {}
            Step::Die => self.lead(),
        }
    }

    fn work(&mut self, outcome: Outcome) {
        let has_restarted = worker::work(&self.fixture, &mut self.cluster, outcome);
        self.restarts += usize::from(has_restarted);
    }

    /// Everything that is under way arrives, and the worker does what is left.
    fn end(&mut self) {
        while !self.cluster.sources.is_empty() {
            self.step(Step::SourceEvent);
        }
        for _ in 0..6 {
            self.step(Step::Work(Outcome::Answered));
            while !self.cluster.workloads.is_empty() {
                self.step(Step::WorkloadEvent);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_pod_ends_on_the_present_content(steps in steps()) {
        let mut play = Play::new();
        for step in steps {
            play.step(step);
        }
        play.end();
        prop_assert_eq!(play.fixture.index.pending(&key("web")).map(|pending| pending.owed), None);
        prop_assert_eq!(play.cluster.pods, [play.cluster.content(); 2]);
    }

    /// Without failures and failovers, and with streams that keep up, every restart is needed.
    #[test]
    fn no_pod_is_restarted_without_need(
        contents in prop::collection::vec((1..4_u8, any::<bool>(), any::<bool>()), 1..12),
    ) {
        let mut play = Play::new();
        for (content, others_roll, works) in contents {
            play.step(Step::Set(content));
            play.step(Step::SourceEvent);
            if others_roll {
                play.step(Step::OthersRoll);
                play.step(Step::WorkloadEvent);
            }
            if works {
                let (needed, before) = (play.cluster.pods != [content; 2], play.restarts);
                play.step(Step::Work(Outcome::Answered));
                play.step(Step::WorkloadEvent);
                prop_assert_eq!(play.restarts - before, usize::from(needed));
            }
        }
    }
}
