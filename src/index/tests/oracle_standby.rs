//! As [`super::oracle`], with a standby that watches the same streams, with a lag of its own, and takes over with what it
//! has noted itself; with lists after a gap; and with pods that are replaced one by one: one whose template comes back
//! before its turn stays as it is, unless Reloader itself brings it back.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

use proptest::prelude::*;

use super::{
    worker::{self, ApiServer, Outcome, outcomes},
    *,
};
use crate::{
    decide::{Decision, Plan},
    model::Fingerprint,
};

const SOURCES: Watched = Watched::Source(SourceKind::ConfigMap);
const WORKLOADS: Watched = Watched::Workload(WorkloadKind::Deployment);

/// One of the two replicas: the leader is 0.
type Replica = usize;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The source holds that from now on.
    Set(u8),
    /// Somebody else changes the template.
    OthersRoll,
    /// Somebody brings the template before the last change back, its marker included.
    Undo,
    /// The next pod that is not of the present template is replaced; where there is none, one starts anew.
    PodStarts,
    /// A pod starts anew, of the template that it has.
    PodStartsAgain,
    /// The controller writes what it sees.
    Status,
    /// The next event of the sources' stream arrives.
    SourceEvent(Replica),
    /// The next event of the workloads' stream arrives.
    WorkloadEvent(Replica),
    /// That stream has a gap, and lists.
    Relist(Replica),
    /// The worker of the leader does what is due, with this outcome of the write.
    Work(Outcome),
    /// The ledger is written.
    Store,
    /// The leader dies, the standby takes over, and another one starts.
    Die,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..4_u8).prop_map(Step::Set),
        1 => Just(Step::OthersRoll),
        1 => Just(Step::Undo),
        3 => Just(Step::PodStarts),
        1 => Just(Step::PodStartsAgain),
        2 => Just(Step::Status),
        6 => (0..2_usize).prop_map(Step::SourceEvent),
        6 => (0..2_usize).prop_map(Step::WorkloadEvent),
        1 => (0..2_usize).prop_map(Step::Relist),
        5 => outcomes().prop_map(Step::Work),
        2 => Just(Step::Store),
        1 => Just(Step::Die),
    ];
    prop::collection::vec(step, 1..40)
}

#[derive(Clone, Copy, Debug)]
struct Pod {
    template: Fingerprint,
    content: u8,
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
    pods: [Pod; 2],
    /// When pods started, or others changed the template.
    starts: Vec<u64>,
    /// Reloader has made the template what it is.
    is_ours: bool,
}

fn fingerprint(template: &PodTemplate) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    let said = (
        &template.containers,
        &template.init_containers,
        &template.last_reloaded_from,
    );
    format!("{said:?}").hash(&mut hasher);
    Fingerprint::new(hasher.finish())
}

impl Cluster {
    fn new() -> Self {
        let mut web = workload("web", AUTO, 2);
        web.template.fingerprint = fingerprint(&web.template);
        web.created_at = Some(UnixSeconds(0));
        web.pods.are_complete = true;
        let pod = Pod {
            template: web.template.fingerprint,
            content: 1,
        };
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
            pods: [pod; 2],
            starts: Vec::new(),
            is_ours: false,
        }
    }

    fn content(&self) -> u8 {
        (1..4)
            .find(|content| digest(*content) == self.source.digest)
            .unwrap()
    }

    fn is_rolling(&self) -> bool {
        let now = self.web.template.fingerprint;
        self.pods.iter().any(|pod| pod.template != now)
    }

    fn roll(&mut self, change: impl FnOnce(&mut PodTemplate)) {
        self.past.push(self.web.template.clone());
        self.version += 1;
        self.is_ours = false;
        change(&mut self.web.template);
        self.web.template.fingerprint = fingerprint(&self.web.template);
        self.web.generation += 1;
        self.web.resource_version = self.version;
        self.web.pods.are_complete = false;
    }

    /// The pod starts anew, of that template, and the controller says so.
    fn start(&mut self, pod: usize, template: Fingerprint) {
        self.pods[pod] = Pod {
            template,
            content: self.content(),
        };
        self.version += 1;
        self.starts.push(self.version);
        self.web.pods.counts = self.version;
        self.status();
    }

    fn status(&mut self) {
        self.web.resource_version = self.version;
        self.web.pods.are_moving = self.is_rolling();
        self.web.pods.are_complete = !self.is_rolling();
    }
}

impl ApiServer for Cluster {
    fn web(&self) -> &Workload {
        &self.web
    }

    fn apply(&mut self, plan: &Plan) -> bool {
        let version = plan.resource_version.map(std::num::NonZeroU64::get);
        if version.is_some_and(|version| version != self.web.resource_version) {
            return false;
        }
        let mut next = self.web.template.clone();
        let mark = plan.marks[0].clone();
        let value = mark.content.shown().to_string();
        next.containers[0].markers = vec![(mark.env_name.into(), value.into())];
        if let Some(annotation) = plan.annotation() {
            next.last_reloaded_from = Some(annotation.into());
        }
        if fingerprint(&next) != self.web.template.fingerprint {
            next.written_at = Some(UnixSeconds(self.time));
            self.roll(|template| *template = next);
            self.is_ours = true;
        }
        true
    }
}

/// One replica, and what is under way to it.
struct Member {
    fixture: Fixture,
    sources: VecDeque<Source>,
    workloads: VecDeque<Workload>,
    listed_at: u64,
}

impl Member {
    /// A new process lists everything.
    fn start(cluster: &Cluster) -> Self {
        let options = Options {
            longest_lag: Duration::from_mins(5),
            ..Options::default()
        };
        let mut fixture = Fixture::with(options);
        fixture.now.unix = fixture.now.unix.saturating_add(cluster.time);
        for watched in Watched::all() {
            fixture.list(watched, |fixture| {
                if watched == SOURCES {
                    fixture.event(watched, Event::SourceSeen(cluster.source.clone()));
                } else if watched == WORKLOADS {
                    fixture.event(watched, Event::WorkloadSeen(Box::new(cluster.web.clone())));
                }
            });
        }
        Self {
            fixture,
            sources: VecDeque::new(),
            workloads: VecDeque::new(),
            listed_at: cluster.version,
        }
    }

    /// On a standby: what the markers show is settled.
    fn review(&self, effect: &Effect) {
        let index = &self.fixture.index;
        for key in effect.due.iter().chain(&effect.woken) {
            let Some(pending) = index.pending(key) else {
                continue;
            };
            if let Decision::Skip(_) = worker::decision(&pending) {
                worker::settle(&self.fixture, &pending, Settled::ByRestart);
            }
        }
    }
}

struct Ledger {
    status: SourceStatus,
    time: UnixSeconds,
    version: u64,
}

struct Play {
    cluster: Cluster,
    /// The leader first.
    members: [Member; 2],
    ledger: Option<Ledger>,
    restarts: usize,
}

impl Play {
    fn new() -> Self {
        let cluster = Cluster::new();
        let members = [Member::start(&cluster), Member::start(&cluster)];
        let mut play = Self {
            cluster,
            members,
            ledger: None,
            restarts: 0,
        };
        play.store();
        play
    }

    fn store(&mut self) {
        let leader = &self.members[0];
        if !leader.sources.is_empty() || !leader.workloads.is_empty() {
            return;
        }
        let status = leader.fixture.index.source_status(&self.cluster.source.key);
        self.ledger = status.map(|status| Ledger {
            status,
            time: UnixSeconds(self.cluster.time),
            version: self.cluster.version,
        });
    }

    fn die(&mut self) {
        let Some(ledger) = &self.ledger else { return };
        // What pods did while the standby did not look yet, nobody tells.
        let unseen = ledger.version + 1..=self.members[1].listed_at;
        if self.cluster.starts.iter().any(|start| unseen.contains(start)) {
            return;
        }
        self.members.swap(0, 1);
        let Fixture { index, now, .. } = &self.members[0].fixture;
        index.restores_from(ledger.time);
        index.restore(&self.cluster.source.key, &ledger.status, *now);
        self.members[0].fixture.check_unrecorded(ledger.time);
        // Controllers are faster than a process that starts.
        self.cluster.version += 1;
        self.cluster.status();
        self.members[1] = Member::start(&self.cluster);
    }

    fn step(&mut self, step: Step) {
        self.cluster.time += 1;
        self.members.iter_mut().for_each(|member| member.fixture.pass(1));
        let cluster = &mut self.cluster;
        let before = (cluster.source.resource_version, cluster.web.resource_version);
        let time = UnixSeconds(cluster.time);
        match step {
            Step::Set(content) => {
                if content != cluster.content() {
                    cluster.version += 1;
                    cluster.source = Source {
                        modified_at: Some(time),
                        resource_version: cluster.version,
                        ..source("app", content)
                    };
                }
            }
            Step::OthersRoll => {
                let name = cluster.version.to_string();
                cluster.roll(|template| {
                    template.touched_at = Some(time);
                    template.init_containers = vec![Container {
                        name: name.into(),
                        ..Container::default()
                    }];
                });
                cluster.starts.push(cluster.version);
            }
            // A restart that another client takes back before it has ended is not repeated (docs/limits.md).
            Step::Undo if cluster.is_ours && cluster.is_rolling() => {}
            Step::Undo => {
                if let Some(before) = cluster.past.last().cloned() {
                    cluster.roll(|template| {
                        *template = before;
                        template.touched_at = Some(time);
                        template.replaced_at = Some(time);
                        // The text of the marker is another's now.
                        template.written_at = None;
                    });
                    cluster.starts.push(cluster.version);
                }
            }
            Step::PodStarts => {
                let now = cluster.web.template.fingerprint;
                let next = cluster.pods.iter().position(|pod| pod.template != now);
                cluster.start(next.unwrap_or_default(), now);
            }
            Step::PodStartsAgain => cluster.start(1, cluster.pods[1].template),
            Step::Status => {
                cluster.version += 1;
                cluster.status();
            }
            Step::SourceEvent(replica) => self.source_event(replica),
            Step::WorkloadEvent(replica) => self.workload_event(replica),
            Step::Relist(replica) => self.relist(replica),
            Step::Work(outcome) => self.work(outcome),
            Step::Store => self.store(),
            Step::Die => self.die(),
        }
        let cluster = &self.cluster;
        for member in &mut self.members {
            if cluster.source.resource_version > before.0 {
                member.sources.push_back(cluster.source.clone());
            }
            if cluster.web.resource_version > before.1 {
                member.workloads.push_back(cluster.web.clone());
            }
        }
    }

    fn source_event(&mut self, replica: Replica) {
        let member = &mut self.members[replica];
        if let Some(source) = member.sources.pop_front() {
            let effect = member.fixture.event(SOURCES, Event::SourceSeen(source));
            if replica == 1 {
                member.review(&effect);
            }
        }
    }

    fn workload_event(&mut self, replica: Replica) {
        let member = &mut self.members[replica];
        if let Some(web) = member.workloads.pop_front() {
            let effect = member
                .fixture
                .event(WORKLOADS, Event::WorkloadSeen(Box::new(web)));
            if replica == 1 {
                member.review(&effect);
            }
        }
    }

    fn relist(&mut self, replica: Replica) {
        let member = &mut self.members[replica];
        member.workloads.clear();
        member.fixture.event(WORKLOADS, Event::ListStarted);
        let seen = Event::WorkloadSeen(Box::new(self.cluster.web.clone()));
        let mut effect = member.fixture.event(WORKLOADS, seen);
        effect.merge(member.fixture.event(WORKLOADS, Event::Listed));
        if replica == 1 {
            member.review(&effect);
        }
    }

    fn work(&mut self, outcome: Outcome) {
        let has_restarted = worker::work(&self.members[0].fixture, &mut self.cluster, outcome);
        self.restarts += usize::from(has_restarted);
    }

    /// Everything that is under way arrives.
    fn deliver(&mut self) {
        for replica in 0..2 {
            while !self.members[replica].sources.is_empty() {
                self.step(Step::SourceEvent(replica));
            }
            while !self.members[replica].workloads.is_empty() {
                self.step(Step::WorkloadEvent(replica));
            }
        }
    }

    /// And the controller and the worker do what is left.
    fn end(&mut self) {
        for _ in 0..6 {
            self.deliver();
            self.step(Step::Work(Outcome::Answered));
            while self.cluster.is_rolling() {
                self.step(Step::PodStarts);
            }
            self.step(Step::Status);
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
        let index = &play.members[0].fixture.index;
        prop_assert_eq!(index.pending(&key("web")).map(|pending| pending.owed), None);
        prop_assert_eq!(play.cluster.pods.map(|pod| pod.content), [play.cluster.content(); 2]);
    }

    /// Without failures, and with streams that keep up, a failover causes no restart and forgets none.
    #[test]
    fn a_takeover_restarts_what_is_left(
        contents in prop::collection::vec((1..4_u8, any::<bool>()), 1..12),
        dies_after in 0..12_usize,
    ) {
        let mut play = Play::new();
        for (place, (content, works)) in contents.into_iter().enumerate() {
            play.step(Step::Set(content));
            play.deliver();
            if works {
                let needed = play.cluster.pods.iter().any(|pod| pod.content != content);
                let before = play.restarts;
                play.step(Step::Work(Outcome::Answered));
                play.deliver();
                while play.cluster.is_rolling() {
                    play.step(Step::PodStarts);
                    play.deliver();
                }
                prop_assert_eq!(play.restarts - before, usize::from(needed));
            }
            if place == dies_after {
                play.step(Step::Store);
                play.step(Step::Die);
                play.step(Step::Store);
            }
        }
    }
}
