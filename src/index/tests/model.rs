//! One source and one workload against a model that knows what the pods run with: every restart is needed, and none is
//! missing, whatever happens to the source, whichever flags are set, with changes of leader at any moment.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// The source exists with that content from now on.
    Set(u8),
    Delete,
    /// The worker does what is due.
    Work,
    /// The leader ends, so much happens, and another one starts. It reads the ledger before its lists, or after.
    NobodyRuns(Vec<Step>, bool),
}

fn events() -> impl Strategy<Value = Step> {
    prop_oneof![3 => (1..3_u8).prop_map(Step::Set), 2 => Just(Step::Delete)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => events(),
        3 => Just(Step::Work),
        1 => (prop::collection::vec(events(), 0..3), any::<bool>())
            .prop_map(|(meanwhile, ledger_first)| Step::NobodyRuns(meanwhile, ledger_first)),
    ];
    prop::collection::vec(step, 1..14)
}

/// What the pods run with, as far as Reloader can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pods {
    /// With this content, or without the source where it never existed.
    Run(Option<u8>),
    /// Without the source, which had this content when it was deleted.
    RunWithout(u8),
    /// The source was deleted while nobody ran: the leader before may have restarted them or not.
    Unknown,
}

/// The truth, and a controller that has to follow it.
struct Game {
    fixture: Fixture,
    options: Options,
    annotations: bool,
    source: Option<u8>,
    /// The last content that was seen before the last deletion.
    last: u8,
    pods: Pods,
    /// What is owed was read from the ledger.
    hearsay: bool,
    /// A deletion was looked at, and there was no variable to remove.
    declined: bool,
    /// What the marker shows.
    marker: Option<Content>,
}

impl Game {
    fn new(options: Options, annotations: bool, source: Option<u8>) -> Self {
        let mut game = Self {
            fixture: Fixture::with(options),
            options,
            annotations,
            source,
            last: 0,
            pods: Pods::Run(source),
            hearsay: false,
            declined: false,
            marker: None,
        };
        game.list();
        game
    }

    fn list(&mut self) {
        let source = self.source;
        for watched in Watched::all() {
            self.fixture.list(watched, |fixture| match watched {
                Watched::Source(SourceKind::ConfigMap) => {
                    source.map(|content| fixture.source("app", content));
                }
                Watched::Workload(WorkloadKind::Deployment) => _ = fixture.workload("web", AUTO),
                _ => {}
            });
        }
        self.fixture.pass(60);
    }

    fn event(&mut self, event: &Step, seen: bool) {
        match event {
            Step::Set(content) => {
                self.source = Some(*content);
                self.declined = false;
                if seen {
                    self.fixture.source("app", *content);
                    self.adopt();
                }
            }
            Step::Delete => {
                let before = self.source.take();
                if seen {
                    self.last = before.unwrap_or(self.last);
                    self.fixture.source_gone("app");
                }
            }
            Step::Work | Step::NobodyRuns(..) => {}
        }
    }

    /// Whether the truth demands a restart now. The pods are taken to have got it.
    fn demands(&mut self) -> bool {
        let hearsay = std::mem::take(&mut self.hearsay);
        let shown = |content: u8| self.marker == Some(Content::Present(digest(content)));
        match (self.source, self.pods) {
            (Some(now), before) => {
                self.pods = Pods::Run(Some(now));
                match before {
                    Pods::Run(Some(before)) => now != before,
                    Pods::Run(None) => self.options.reload_on_create,
                    Pods::RunWithout(last) => self.options.reload_on_create || now != last,
                    Pods::Unknown => !shown(now),
                }
            }
            (None, Pods::Run(Some(_)) | Pods::Unknown) if self.options.reload_on_delete => {
                let restarted = if self.annotations {
                    self.marker != Some(Content::Absent)
                } else {
                    self.marker.is_some()
                };
                self.declined = !restarted && !hearsay && self.pods != Pods::Unknown;
                if !self.declined {
                    self.pods = Pods::RunWithout(self.last);
                }
                restarted
            }
            (None, Pods::RunWithout(_)) => {
                if hearsay {
                    self.pods = Pods::RunWithout(self.last);
                }
                self.declined = !hearsay;
                false
            }
            (None, _) => false,
        }
    }

    /// Does what is due as the worker would; returns whether that was a restart.
    fn work(&mut self) -> bool {
        let Some(pending) = self.fixture.index.pending(&key("web")) else {
            return false;
        };
        let mut restarted = false;
        for owed in pending.owed {
            let marked = match owed.content {
                Content::Absent if !self.annotations => self.marker.is_none(),
                content => self.marker == Some(content),
            };
            let by = if marked {
                Settled::WithoutRestart
            } else {
                self.fixture.index.attempt(&key("web"), [reference("app")]);
                self.marker =
                    Some(owed.content).filter(|content| self.annotations || *content != Content::Absent);
                restarted = true;
                Settled::ByRestart
            };
            let settled = [(reference("app"), owed.content)];
            self.fixture
                .index
                .settle(&key("web"), settled, by, self.fixture.now);
        }
        restarted
    }

    fn nobody_runs(&mut self, meanwhile: &[Step], ledger_first: bool) {
        let settings = SourceKey::new(SourceKind::ConfigMap, "team", "app");
        let status = self.fixture.index.source_status(&settings);
        let before = self.source;
        if std::mem::take(&mut self.declined) && before.is_none() {
            // Not written down: a new leader restarts as upstream would.
            self.pods = Pods::RunWithout(self.last);
        }
        for event in meanwhile {
            self.event(event, false);
        }
        let deleted = before.is_some() && self.source.is_none();
        if let (Some(before), None) = (before, self.source) {
            self.last = before;
        }
        if deleted && self.options.reload_on_delete && self.pods == Pods::Run(before) {
            self.pods = Pods::Unknown;
        }
        self.hearsay = status.as_ref().is_some_and(|status| !status.owed.is_empty());
        self.fixture = Fixture::with(self.options);
        let now = self.fixture.now;
        let restore = |fixture: &Fixture| {
            if let Some(status) = &status {
                fixture.index.restore(&settings, status, now);
            }
            // The leader before ended after it had written everything down.
            fixture.check_unrecorded(now.unix);
        };
        if ledger_first {
            restore(&self.fixture);
        }
        self.list();
        if !ledger_first {
            restore(&self.fixture);
        }
        self.adopt();
    }

    /// Without the flag, what comes into being is taken as what the pods run with.
    fn adopt(&mut self) {
        if self.pods == Pods::Run(self.source) {
            self.hearsay = false;
        }
        if self.options.reload_on_create {
            return;
        }
        match (self.source, self.pods) {
            (Some(now), Pods::Run(None)) => self.pods = Pods::Run(Some(now)),
            (Some(now), Pods::RunWithout(last)) if now == last => self.pods = Pods::Run(Some(now)),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn every_restart_is_needed_and_none_is_missing(
        (reload_on_create, reload_on_delete, annotations, lags) in any::<(bool, bool, bool, bool)>(),
        source in prop::option::of(1..3_u8),
        steps in steps(),
    ) {
        let longest_lag = Duration::from_secs(if lags { 305 } else { 0 });
        let options = Options {
            every_namespace_counts: false, auto_reload_all: false, reload_on_create, reload_on_delete, trust_markers: false, longest_lag,
        };
        let mut game = Game::new(options, annotations, source);
        for step in &steps {
            match step {
                Step::Work => {
                    let demanded = game.demands();
                    prop_assert_eq!(game.work(), demanded, "after {:?}", step);
                }
                Step::NobodyRuns(meanwhile, ledger_first) => game.nobody_runs(meanwhile, *ledger_first),
                event => game.event(event, true),
            }
        }
        let demanded = game.demands();
        prop_assert_eq!(game.work(), demanded, "at the end");
        prop_assert!(!game.work(), "what was done is not done again");
    }
}
