//! Plays a plan: a cluster, replicas, users and faults, in virtual time.
//!
//! Input: a [`Plan`]. Output: [`History`]. I/O: none.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    cluster::{Client, HOME, TEAM},
    draws::Draws,
    entropy,
    link::{Phase, Trap, Weather},
    machine::Machine,
    oracle::{self, History, PodsAtTheEnd},
    plan::{Act, Plan, Setting, Whose, WorkloadSetting},
    pods::{Controllers, source_name, workload_name},
    server::{Front, FrontOptions, Store},
};

/// How much longer with policies: restarts that follow each other rest, and one waits for the other.
const POLICIES_SETTLE_WITHIN: Duration = Duration::from_mins(15);
/// How long the last act takes to be dealt with, where nothing fails.
const LAST_ACT: Duration = Duration::from_secs(10);
/// How long after the last fault everything must be in order: a dead watch is noticed, a lease expires, and what an index
/// remembers for 305 s is forgotten.
const SETTLES_WITHIN: Duration = Duration::from_secs(330);
/// How long the longest fault lasts, and a late request is under way.
const FAULTS_END: Duration = Duration::from_mins(1);
/// How long replicas that were all started anew are observed: they must find nothing to do.
const AFTER_RESTART: Duration = Duration::from_mins(1);
/// How long a leader is observed that has nothing to do.
const PEACE: Duration = Duration::from_mins(1);

/// A death at one of the calls of the first replica; as text `12:AfterCommit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// Which call, from 0.
    pub call: usize,
    /// When in it.
    pub phase: Phase,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}", self.call, self.phase)
    }
}

impl FromStr for Death {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (call, phase) = text.split_once(':').ok_or("expected CALL:PHASE")?;
        Ok(Self {
            call: call.parse().map_err(|error| format!("{call}: {error}"))?,
            phase: serde_json::from_value(phase.into()).map_err(|error| error.to_string())?,
        })
    }
}

struct World {
    store: Store,
    fronts: Vec<Front>,
    users: Client,
    controllers: Controllers,
    machines: Vec<Machine>,
    plan: Plan,
    /// When several replicas took themselves for the leader.
    overlaps: std::sync::Mutex<Vec<(Instant, String)>>,
}

/// Plays the plan from its start to its end, on a thread and in a runtime of its own: the standard library draws the keys of
/// a thread's hash maps once.
///
/// # Errors
/// The plan's setting is no valid command line, or there is no runtime.
pub fn play(plan: &Plan, death: Option<Death>) -> anyhow::Result<History> {
    let run = || {
        entropy::seed_thread(plan.seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        runtime.block_on(async {
            entropy::follow_runtime();
            let start = Instant::now();
            play_here(plan, death, start).await
        })
    };
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    ended.unwrap_or_else(|_| Err(anyhow::anyhow!("the simulation itself panicked")))
}

async fn play_here(plan: &Plan, death: Option<Death>, start: Instant) -> anyhow::Result<History> {
    let draws = Draws::new(plan.seed);
    let store = Store::new(entropy::wall);
    let options = FrontOptions {
        streams_lists: plan.setting.streams_lists,
    };
    let fronts: Vec<Front> = (0..plan.setting.fronts.max(1))
        .map(|_| Front::new(&store, options))
        .collect();
    let users = Client::new("kubectl", &store, &Front::new(&store, options));
    let controllers = Controllers::start(&store, &users, &plan.setting, draws.of("pods", 0));
    let machines = (0..plan.setting.replicas)
        .map(|number| Machine::new(number, &plan.setting, &fronts, draws.of("machine", number as u64)))
        .collect::<anyhow::Result<_>>()?;
    let world = Arc::new(World {
        store,
        fronts,
        users,
        controllers,
        machines,
        plan: plan.clone(),
        overlaps: std::sync::Mutex::default(),
    });
    world.create_objects();
    while !world.controllers.are_done() {
        sleep(Duration::from_millis(100)).await;
    }
    if let (Some(Death { call, phase }), Some(machine)) = (death, world.machines.first()) {
        let victim = machine.clone();
        let spring = Box::new(move || victim.kill(Duration::from_secs(2)));
        machine.set_trap(Trap { call, phase, spring });
    }
    for machine in &world.machines {
        tokio::spawn(machine.clone().run());
        // Pods do not start in the same millisecond.
        sleep(Duration::from_millis(draws.of("stagger", 0).within(1..300))).await;
    }
    // A first leader, and its first ledger.
    sleep(Duration::from_secs(12)).await;
    tokio::spawn(Arc::clone(&world).observe());
    let first_act = Instant::now();
    Arc::clone(&world).act().await;
    sleep(LAST_ACT).await;
    let calls = world.machines.first().map(Machine::calls).unwrap_or_default();
    sleep(FAULTS_END).await;
    sleep(SETTLES_WITHIN).await;
    if plan.setting.policies.is_some() {
        sleep(POLICIES_SETTLE_WITHIN).await;
    }
    let settled = world.store.revision();
    let pods = world.pods();
    for machine in &world.machines {
        machine.kill(Duration::from_secs(1));
    }
    sleep(AFTER_RESTART).await;
    let restarted = world.store.revision();
    let before = world.calls();
    sleep(PEACE).await;
    let commits = world.store.commits_since(0);
    let mut trace = DefaultHasher::new();
    for commit in &commits {
        (commit.revision, &commit.caller, &commit.name).hash(&mut trace);
        commit.after.as_ref().map(ToString::to_string).hash(&mut trace);
    }
    let overlaps = world
        .overlaps
        .lock()
        .map(|overlaps| overlaps.clone())
        .unwrap_or_default();
    Ok(History {
        setting: plan.setting.clone(),
        start,
        acts: plan
            .acts
            .iter()
            .map(|timed| (first_act + Duration::from_millis(timed.at_ms), timed.act.clone()))
            .collect(),
        commits,
        settled,
        restarted,
        pods,
        failures: world.machines.iter().flat_map(Machine::failures).collect(),
        overlaps,
        requests_in_peace: world.calls() - before,
        calls,
        trace: trace.finish(),
        virtual_time: entropy::elapsed(),
    })
}

impl World {
    fn create_objects(&self) {
        for name in [HOME, TEAM] {
            let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            self.users.create("namespaces", "", &namespace);
        }
        for number in 0..self.plan.setting.sources {
            self.users
                .create("configmaps", TEAM, &source(&self.plan.setting, number, 0));
        }
        for (number, setting) in self.plan.setting.workloads.iter().enumerate() {
            let workload = workload(&self.plan.setting, number);
            self.users.create(&setting.plural, TEAM, &workload);
        }
    }

    fn pods(&self) -> Vec<PodsAtTheEnd> {
        let workloads = self.plan.setting.workloads.iter().enumerate();
        workloads
            .map(|(number, setting)| PodsAtTheEnd {
                workload: workload_name(number),
                pods: self
                    .controllers
                    .pods(number)
                    .into_iter()
                    .map(|pod| pod.read)
                    .collect(),
                present: setting
                    .sources
                    .iter()
                    .map(|source| source_name(*source))
                    .filter_map(|name| {
                        let source = self.users.get("configmaps", &name)?;
                        Some((name, crate::pods::content(&source)))
                    })
                    .collect(),
            })
            .collect()
    }

    fn calls(&self) -> usize {
        self.machines.iter().map(|machine| machine.calls().len()).sum()
    }

    /// At each commit at most one replica takes itself for the leader.
    async fn observe(self: Arc<Self>) {
        let mut revision = self.store.subscribe();
        let mut seen = self.store.revision();
        loop {
            for commit in self.store.commits_since(seen) {
                seen = commit.revision;
                tracing::debug!(
                    "{} {} {}s {}: {}",
                    commit.caller,
                    commit.verb,
                    commit.resource,
                    commit.name,
                    commit.after.as_ref().map(ToString::to_string).unwrap_or_default()
                );
            }
            let leaders: Vec<&str> = self
                .machines
                .iter()
                .filter(|machine| machine.may_write())
                .map(Machine::name)
                .collect();
            if leaders.len() > 1
                && let Ok(mut overlaps) = self.overlaps.lock()
            {
                let text = format!(
                    "at {:?} {leaders:?} take themselves for the leader",
                    entropy::elapsed()
                );
                overlaps.push((Instant::now(), text));
            }
            if revision.changed().await.is_err() {
                return;
            }
        }
    }

    async fn act(self: Arc<Self>) {
        let start = Instant::now();
        for timed in &self.plan.acts {
            sleep_until(start + Duration::from_millis(timed.at_ms)).await;
            tracing::info!("act: {}", serde_json::to_string(&timed.act).unwrap_or_default());
            self.perform(&timed.act);
        }
    }

    fn perform(self: &Arc<Self>, act: &Act) {
        match act.clone() {
            Act::Write { source, content } => self.write(source, content),
            Act::Touch { source } => {
                let label =
                    json!({ "metadata": { "labels": { "touched": self.store.revision().to_string() } } });
                self.labeller().merge("configmaps", &self.source(source), &label);
            }
            Act::Replace {
                source: number,
                gone_ms,
                content,
            } => {
                let name = self.source(number);
                self.users.delete("configmaps", TEAM, &name);
                let number = number % self.plan.setting.sources;
                self.later(gone_ms, move |world| {
                    let source = source(&world.plan.setting, number, content);
                    world.users.create("configmaps", TEAM, &source);
                });
            }
            Act::Upgrade { workload, content } => {
                let (_, setting) = self.workload(workload);
                self.write(setting.sources[0], content);
                self.edit(workload);
            }
            Act::Edit { workload } => self.edit(workload),
            Act::Undo { workload } => self.undo(workload),
            Act::Label { workload } => {
                let (name, setting) = self.workload(workload);
                let label =
                    json!({ "metadata": { "labels": { "touched": self.store.revision().to_string() } } });
                self.labeller().merge(&setting.plural, &name, &label);
            }
            Act::Recreate { workload: number } => {
                let (name, setting) = self.workload(number);
                self.users.delete(&setting.plural, TEAM, &name);
                let number = number % self.plan.setting.workloads.len();
                self.later(300, move |world| {
                    let plural = &world.plan.setting.workloads[number].plural;
                    let workload = workload(&world.plan.setting, number);
                    world.users.create(plural, TEAM, &workload);
                });
            }
            Act::Scale { workload, pods } => {
                let (name, setting) = self.workload(workload);
                if setting.plural != "daemonsets" {
                    self.users
                        .merge(&setting.plural, &name, &json!({ "spec": { "replicas": pods } }));
                }
            }
            Act::PodDies { workload, pod } => {
                self.controllers
                    .restart_pod(workload % self.plan.setting.workloads.len(), pod);
            }
            Act::Hold { whose } => self.annotate(whose, "suspend", Some("true")),
            Act::Unhold { whose } => self.annotate(whose, "suspend", None),
            Act::Release { whose } => {
                let now = entropy::wall().to_string();
                self.annotate(whose, "requested-at", Some(&now));
            }
            fault => self.fail(fault),
        }
    }

    /// `key`: without its prefix.
    fn annotate(&self, whose: Whose, key: &str, value: Option<&str>) {
        let key = format!("{PREFIX}{key}");
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        let user = self.users.named("kubectl-annotate");
        match whose {
            Whose::Source(number) => user.merge("configmaps", &self.source(number), &patch),
            Whose::Workload(number) => {
                let (name, setting) = self.workload(number);
                user.merge(&setting.plural, &name, &patch)
            }
        };
    }

    /// Each command of kubectl is a field manager of its own, so that a label moves no time of what another has written.
    fn labeller(&self) -> Client {
        self.users.named("kubectl-label")
    }

    /// Something breaks.
    fn fail(self: &Arc<Self>, fault: Act) {
        let millis = Duration::from_millis;
        match fault {
            Act::Network {
                replica,
                weather,
                for_ms,
            } => {
                self.set_weather(replica, weather);
                self.later(for_ms, move |world| {
                    world.set_weather(replica, Weather::default());
                });
            }
            Act::Lag {
                front,
                plural,
                lag_ms,
                for_ms,
            } => {
                self.front(front).set_lag(&plural, millis(lag_ms));
                self.later(for_ms, move |world| {
                    world.front(front).set_lag(&plural, Duration::ZERO);
                });
            }
            Act::RestartFront { front } => self.front(front).restart(),
            Act::Compact => self.store.compact(),
            Act::Kill { replica, down_ms } => self.machine(replica).kill(millis(down_ms)),
            Act::KillLeader { down_ms } => {
                if let Some(leader) = self.machines.iter().find(|machine| machine.may_write()) {
                    leader.kill(millis(down_ms));
                }
            }
            Act::Terminate { replica, down_ms } => self.machine(replica).terminate(millis(down_ms)),
            Act::Stop { replica, for_ms } => {
                self.machine(replica).set_stopped(true);
                self.later(for_ms, move |world| world.machine(replica).set_stopped(false));
            }
            Act::Slow {
                replica,
                permille,
                for_ms,
            } => {
                self.machine(replica).set_slow(permille);
                self.later(for_ms, move |world| world.machine(replica).set_slow(0));
            }
            Act::Wall { replica, ahead_ms } => {
                self.machine(replica)
                    .change_clocks(|clocks| clocks.wall_ahead = ahead_ms);
            }
            Act::Suspend { replica, for_ms } => {
                let process = self.machine(replica).suspend();
                self.later(for_ms, move |world| world.machine(replica).wake(process, for_ms));
            }
            Act::DeleteLease => {
                self.users.delete("leases", HOME, "stakater-reloader-lock");
            }
            Act::DeleteLedger => {
                for map in self.store.objects("configmaps") {
                    let name = map["metadata"]["name"].as_str().unwrap_or_default();
                    if map["metadata"]["namespace"] == HOME && name.contains("ledger") {
                        self.users.delete("configmaps", HOME, name);
                        return;
                    }
                }
            }
            Act::Forbid {
                verb,
                plural,
                at_home,
                for_ms,
            } => {
                let place = at_home.then_some(HOME);
                self.store.forbid(&verb, &plural, place);
                self.later(for_ms, move |world| world.store.permit(&verb, &plural, place));
            }
            Act::ReplaceAuthority => self.machines.iter().for_each(Machine::distrust),
            // Users do no harm.
            _ => {}
        }
    }

    fn later(self: &Arc<Self>, millis: u64, act: impl FnOnce(&Self) + Send + 'static) {
        let world = Arc::clone(self);
        tokio::spawn(async move {
            sleep(Duration::from_millis(millis)).await;
            act(&world);
        });
    }

    fn set_weather(&self, replica: Option<usize>, weather: Weather) {
        match replica {
            Some(replica) => self.machine(replica).set_weather(weather),
            None => self
                .machines
                .iter()
                .for_each(|machine| machine.set_weather(weather)),
        }
    }

    fn machine(&self, number: usize) -> &Machine {
        &self.machines[number % self.machines.len()]
    }

    fn front(&self, number: usize) -> &Front {
        &self.fronts[number % self.fronts.len()]
    }

    fn source(&self, number: usize) -> String {
        source_name(number % self.plan.setting.sources)
    }

    fn workload(&self, number: usize) -> (String, &WorkloadSetting) {
        let number = number % self.plan.setting.workloads.len();
        (workload_name(number), &self.plan.setting.workloads[number])
    }

    fn write(&self, number: usize, content: u64) {
        let data = json!({ "data": { "key": content.to_string() } });
        self.users.merge("configmaps", &self.source(number), &data);
    }

    fn edit(&self, number: usize) {
        let (name, setting) = self.workload(number);
        let label = json!({ "edited": self.store.revision().to_string() });
        let patch = json!({ "spec": { "template": { "metadata": { "labels": label } } } });
        self.users.merge(&setting.plural, &name, &patch);
    }

    /// The template before the present one, of the same object.
    fn undo(&self, number: usize) {
        let (name, setting) = self.workload(number);
        let Some(present) = self.users.get(&setting.plural, &name) else {
            return;
        };
        let versions = self
            .store
            .commits_since(0)
            .into_iter()
            .filter(|commit| commit.name == name);
        let earlier = versions
            .filter_map(|commit| commit.after)
            .filter(|version| version["metadata"]["uid"] == present["metadata"]["uid"])
            .map(|version| version["spec"]["template"].clone())
            .filter(|template| *template != present["spec"]["template"])
            .last();
        if let Some(template) = earlier {
            let mut undone = (*present).clone();
            undone["spec"]["template"] = template;
            self.users.replace(&setting.plural, &name, &undone);
        }
    }
}

/// Of the annotations of policies.
const PREFIX: &str = "reloader.stakater.com/";

/// The annotations of the policies of an object.
fn annotations(of: Option<&BTreeMap<String, String>>) -> serde_json::Map<String, Value> {
    let all = of.into_iter().flatten();
    all.map(|(key, value)| (format!("{PREFIX}{key}"), json!(value)))
        .collect()
}

fn source(setting: &Setting, number: usize, content: u64) -> Value {
    let policies = setting.policies.as_ref();
    let annotations = annotations(policies.and_then(|policies| policies.sources.get(number)));
    let mut source = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": source_name(number) },
        "data": { "key": content.to_string() },
    });
    if !annotations.is_empty() {
        source["metadata"]["annotations"] = annotations.into();
    }
    source
}

fn workload(world: &Setting, number: usize) -> Value {
    let setting = &world.workloads[number];
    let policies = world.policies.as_ref();
    let name = workload_name(number);
    let names: Vec<String> = setting
        .sources
        .iter()
        .map(|source| source_name(*source))
        .collect();
    let mut annotations = annotations(policies.and_then(|policies| policies.workloads.get(number)));
    let (key, value) = if setting.auto {
        ("reloader.stakater.com/auto", "true".to_owned())
    } else {
        ("configmap.reloader.stakater.com/reload", names.join(","))
    };
    annotations.insert(key.to_owned(), value.into());
    let env_from: Vec<Value> = names
        .iter()
        .map(|name| json!({ "configMapRef": { "name": name } }))
        .collect();
    let kind = match setting.plural.as_str() {
        "statefulsets" => "StatefulSet",
        "daemonsets" => "DaemonSet",
        _ => "Deployment",
    };
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": name, "annotations": annotations },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "app", "image": "none", "envFrom": env_from }] },
            },
        },
    });
    if kind != "DaemonSet" {
        object["spec"]["replicas"] = json!(setting.replicas);
    }
    if let Some(policies) = policies.filter(|_| kind == "Deployment") {
        object["spec"]["progressDeadlineSeconds"] = json!(policies.deadline_s);
    }
    object
}

/// Plays the plan and judges it.
///
/// # Errors
/// As [`play`].
pub fn try_out(plan: &Plan, death: Option<Death>) -> anyhow::Result<(History, oracle::Verdict)> {
    let history = play(plan, death)?;
    let verdict = oracle::judge(&history);
    Ok((history, verdict))
}
