//! Completes what is known of mistakes from the index and, on the leader, says it.
//!
//! Input: the register of mistakes, the index. Output: lines and Events, through [`report`](super::report). I/O: none of
//! its own.

use std::{cell::Cell, collections::HashSet, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    context::{Context, now},
    mistakes::{Budget, Missing},
    report::log_left_out,
};
use crate::{
    diagnose::{Finding, missing_sources, refused_lists},
    ledger::Breaks,
    model::{AnnotationKeys, ObjectKey, SourceKey, Workload},
};

/// How often what workloads list is compared with what there is.
const SCAN: Duration = Duration::from_secs(20);
/// The pause after something was said: a list brings many mistakes at once.
const PAUSE: Duration = Duration::from_secs(1);
/// How many names of one namespace are looked up in one scan; what is listed beyond that is taken to exist.
const MAX_LOOK_UPS: usize = 200_000;

/// The task that completes the register from the index and, on the leader, says what is in it.
pub struct MistakeReporter {
    context: Arc<Context>,
    keys: Arc<AnnotationKeys>,
    /// Every ConfigMap and Secret is watched: one that is not known does not exist.
    sees_all_sources: bool,
    missing: Missing,
    budget: Budget,
}

impl MistakeReporter {
    /// `sees_all_sources`: sources are not selected by their labels.
    pub fn new(context: Arc<Context>, keys: Arc<AnnotationKeys>, sees_all_sources: bool) -> Self {
        Self {
            context,
            keys,
            sees_all_sources,
            missing: Missing::default(),
            budget: Budget::default(),
        }
    }

    /// Never ends.
    pub async fn run(mut self) {
        let context = Arc::clone(&self.context);
        let mut election = context.leadership().state();
        let mut elected = true;
        let mut scan = interval(SCAN);
        scan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = scan.tick() => {
                    self.scan().await;
                    self.say();
                    self.say_left_out();
                }
                changed = election.changed(), if elected => {
                    elected = changed.is_ok();
                    self.say();
                }
                () = context.mistakes().news() => {
                    self.say();
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Compares what workloads list with what there is.
    async fn scan(&mut self) {
        let context = Arc::clone(&self.context);
        let mut breaks = Breaks::new();
        self.missing.begin();
        for namespace in context.index().tracked_namespaces() {
            let mut left = MAX_LOOK_UPS;
            let mut wrong = HashSet::new();
            for workload in context.index().listing_workloads(&namespace) {
                let findings = self.beyond_text(&workload, &mut left);
                if !findings.is_empty() {
                    wrong.insert(ObjectKey::Workload(workload.key.clone()));
                }
                context.mistakes().beyond_text(&workload, findings);
                breaks.take().await;
            }
            context.mistakes().beyond_text_only(&namespace, &wrong);
        }
        self.missing.end();
    }

    /// What is wrong with the workload that its own text does not show.
    fn beyond_text(&mut self, workload: &Workload, left: &mut usize) -> Vec<Finding> {
        let mut findings: Vec<Finding> = refused_lists(&self.keys, &workload.opt_in).collect();
        let index = self.context.index();
        let namespace = &workload.key.namespace;
        let left = Cell::from_mut(left);
        let exists = |kind, name: &str| {
            left.set(left.get().saturating_sub(1));
            left.get() == 0 || !index.lacks(&SourceKey::new(kind, Arc::clone(namespace), name))
        };
        if self.sees_all_sources {
            let missing: Vec<Finding> = missing_sources(&self.keys, &workload.opt_in, exists).collect();
            findings.extend(
                self.missing
                    .lasting(workload, missing, Instant::now(), now().unix),
            );
        }
        findings
    }

    /// Says what was not said yet, as far as the budget goes.
    fn say(&mut self) {
        if !self.context.leadership().is_leader() {
            return;
        }
        let (index, mistakes) = (self.context.index(), self.context.mistakes());
        let due = mistakes.due(&mut self.budget, |namespace| index.selects(namespace));
        for said in due {
            self.context.reporter().mistake(&said);
        }
    }

    /// Says in which namespaces the budget is used up.
    fn say_left_out(&mut self) {
        if !self.context.leadership().is_leader() {
            return;
        }
        let (index, mistakes) = (self.context.index(), self.context.mistakes());
        let unsaid = mistakes.unsaid(|namespace| index.selects(namespace));
        for left_out in self.budget.left_out(unsaid, Instant::now()) {
            log_left_out(&left_out);
        }
    }
}
