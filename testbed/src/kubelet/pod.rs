//! The life of one pod: from its container's start to the pod's removal.
//!
//! Input: the pod as it changes. Output: a process; the pod's status. I/O: talks to the API server, starts and signals a process.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use nix::sys::signal::Signal;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::probe::{Health, watch_health};
use super::sandbox::{Container, Sandbox};
use super::status::{Ended, State, Status, waiting};
use super::{Running, Shared, supported, variables, volumes};
use crate::error::{Error, Result};
use crate::process::Process;

/// Whom the image's program runs as, unless the pod says otherwise; see the Dockerfile.
const IMAGE_USER: i64 = 65532;

/// How long to wait before something that failed is tried again.
const RETRY: Duration = Duration::from_millis(300);

/// How often to look whether a process has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Waits between restarts: none before the first one, as a kubelet's, then doubling.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
const LONGEST_BACKOFF: Duration = Duration::from_mins(5);

/// Time to end when a pod says nothing.
const DEFAULT_GRACE: i64 = 30;

/// The pod as last seen; `None` when it is no more.
pub type Updates = watch::Receiver<Option<Pod>>;

/// Why a container is no longer attended to.
enum End {
    /// The pod is to be deleted.
    Deleted,
    /// The process ended.
    Exited,
    /// The process does not answer its probes.
    Unhealthy,
}

struct Life {
    shared: Arc<Shared>,
    updates: Updates,
    pod: Pod,
    status: Status,
}

/// Runs a pod until it is no more.
pub async fn live(shared: Arc<Shared>, pod: Pod, updates: Updates) {
    let status = Status::new(Timestamp::now());
    let mut life = Life {
        shared,
        updates,
        pod,
        status,
    };
    if let Err(error) = life.run().await {
        let trouble = format!("pod {}: {error}", life.pod.name_any());
        life.shared.note_trouble(trouble);
        life.status.state = waiting("CreateContainerConfigError", error.to_string());
        life.report().await;
        life.deletion().await;
    }
    life.remove().await;
}

impl Life {
    /// Returns when the pod is to be removed and its process has ended.
    async fn run(&mut self) -> Result<()> {
        supported::check(&self.pod)?;
        let spec = self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.containers.first())
            .cloned();
        let spec = spec.ok_or_else(|| Error::unsupported("a pod without containers"))?;
        let (sandbox, listener) = Sandbox::new(self.shared.next_address(), self.shared.inside).await?;
        let sandbox = Arc::new(sandbox);
        let _relay = Task(tokio::spawn(relay(listener, self.shared.apiserver)));
        self.status.address = Some(sandbox.address());
        let mut backoff = Duration::ZERO;
        loop {
            let Some(process) = self.start(&spec, &sandbox).await? else {
                return Ok(());
            };
            let started = Timestamp::now();
            self.status.state = State::Running { since: started };
            self.shared.note_running(&self.pod, &process, &sandbox);
            self.report().await;
            let end = self.attend(&spec, &sandbox, &process).await?;
            if !matches!(end, End::Exited) {
                self.stop(&process).await?;
            }
            let ended = Ended {
                code: process.exit_status()?.map_or(137, code_of),
                started,
                finished: Timestamp::now(),
            };
            self.shared.forget_running(&self.pod);
            self.status.set_health(Health::default(), Timestamp::now());
            if matches!(end, End::Deleted) {
                self.status.state = State::Terminated(ended);
                self.report().await;
                return Ok(());
            }
            self.status.last = Some(ended);
            self.status.restarts += 1;
            self.status.state = waiting("CrashLoopBackOff", format!("back-off {backoff:?}"));
            self.report().await;
            tokio::select! {
                () = sleep(backoff) => {}
                () = self.deletion() => return Ok(()),
            }
            backoff = (backoff * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF);
        }
    }

    /// Starts the container once everything that it needs is there; `None` if the pod is to be deleted before.
    async fn start(&mut self, spec: &ContainerSpec, sandbox: &Sandbox) -> Result<Option<Arc<Process>>> {
        loop {
            if self.is_to_be_deleted() {
                return Ok(None);
            }
            let started = match self.prepare(spec, sandbox.address().to_string()).await {
                Ok(container) => sandbox.start(container).await,
                Err(error) => Err(error),
            };
            // Of the system's errors one comes by chance: while another thread starts a process, that one holds copies of this
            // one's open files, and a root that is written to cannot be made read-only.
            let error = match started {
                Ok(process) => return Ok(Some(Arc::new(process))),
                Err(error @ Error::Unsupported { .. }) => return Err(error),
                Err(error) => error,
            };
            self.status.state = waiting("ContainerCreating", error.to_string());
            self.report().await;
            tokio::select! {
                () = sleep(RETRY) => {}
                () = self.deletion() => return Ok(None),
            }
        }
    }

    /// Collects what the container is to be started with.
    async fn prepare(&self, spec: &ContainerSpec, address: String) -> Result<Container> {
        let shared = &self.shared;
        let name = self.pod.name_any();
        let image = spec.image.as_deref().unwrap_or_default();
        let program = shared
            .program_of(image)
            .ok_or_else(|| Error::unsupported(format!("image {image}, for which no program was given")))?;
        let mut pod = self.pod.clone();
        pod.status.get_or_insert_default().pod_ip = Some(address);
        let sources = volumes::read_sources(&shared.client, &pod).await?;
        let mounted = volumes::mounted(&shared.client, &pod, spec, &sources).await?;
        let surroundings = [
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("HOME", "/"),
            ("HOSTNAME", name.as_str()),
            ("KUBERNETES_SERVICE_HOST", &shared.inside.ip().to_string()),
            ("KUBERNETES_SERVICE_PORT", &shared.inside.port().to_string()),
        ];
        let surroundings = surroundings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let env = variables::resolve(&pod, spec, &sources, surroundings.to_vec())?;
        let args = spec.args.iter().flatten();
        let security = spec.security_context.as_ref();
        let root = shared
            .folder
            .path()
            .join(format!("root-{}", pod.uid().unwrap_or_default()));
        std::fs::create_dir_all(&root).map_err(Error::io(format!("make {}", root.display())))?;
        Ok(Container {
            program: program.to_owned(),
            args: args.map(|arg| variables::expand(arg, &env)).collect(),
            env,
            files: mounted.files,
            empty_folders: mounted.empty_folders,
            read_only: security.and_then(|security| security.read_only_root_filesystem) == Some(true),
            uid: user_of(&pod, spec)?,
            root,
            log: shared.folder.path().join(format!("{name}.log")),
            name,
        })
    }

    /// Follows the container's health, until it ends or has to.
    async fn attend(&mut self, spec: &ContainerSpec, sandbox: &Sandbox, process: &Process) -> Result<End> {
        let (teller, mut health) = watch::channel(Health::default());
        let mut probing = std::pin::pin!(watch_health(spec, sandbox, &teller));
        loop {
            tokio::select! {
                () = self.deletion() => return Ok(End::Deleted),
                ended = exited(process) => return ended.map(|_| End::Exited),
                done = &mut probing => return done.map(|()| End::Unhealthy),
                _ = health.changed() => {}
            }
            let now = *health.borrow_and_update();
            self.status.set_health(now, Timestamp::now());
            self.report().await;
        }
    }

    /// SIGTERM, and SIGKILL when its time is up. The time is the deletion's, if there is one.
    async fn stop(&self, process: &Process) -> Result<()> {
        let now = self.updates.borrow().clone();
        let grace = match &now {
            // Removed by force.
            None => 0,
            Some(pod) => {
                let spec = pod.spec.as_ref();
                let own = spec.and_then(|spec| spec.termination_grace_period_seconds);
                pod.metadata
                    .deletion_grace_period_seconds
                    .or(own)
                    .unwrap_or(DEFAULT_GRACE)
            }
        };
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        process.signal(Signal::SIGTERM)?;
        if timeout(grace, exited(process)).await.is_err() {
            process.kill();
        }
        Ok(())
    }

    fn is_to_be_deleted(&self) -> bool {
        is_to_be_deleted(self.updates.borrow().as_ref())
    }

    /// Returns when the pod is to be deleted, or is no more.
    async fn deletion(&self) {
        let mut updates = self.updates.clone();
        // The sender lives as long as the pod.
        let _ = updates.wait_for(|pod| is_to_be_deleted(pod.as_ref())).await;
    }

    /// Tells the API server, for as long as there is a pod to tell of.
    async fn report(&self) {
        let api: Api<Pod> = self.api();
        let patch = Patch::Strategic(self.status.patch(&self.pod));
        while self.updates.borrow().is_some() {
            match api
                .patch_status(&self.pod.name_any(), &PatchParams::default(), &patch)
                .await
            {
                Ok(_) => return,
                // Gone, replaced by another one of the same name, or wrong: nothing that a repetition would cure.
                Err(kube::Error::Api(status)) if (400..429).contains(&status.code) => {
                    if status.code != 404 && status.code != 409 {
                        let trouble = format!("status of pod {}: {status}", self.pod.name_any());
                        self.shared.note_trouble(trouble);
                    }
                    return;
                }
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    /// Takes the pod away, now that nothing of it runs.
    async fn remove(&self) {
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: self.pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        while self.updates.borrow().is_some() {
            match self.api().delete(&self.pod.name_any(), &now).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return,
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(
            self.shared.client.clone(),
            &self.pod.namespace().unwrap_or_default(),
        )
    }
}

impl Shared {
    fn note_running(&self, pod: &Pod, process: &Arc<Process>, sandbox: &Arc<Sandbox>) {
        let running = Running {
            pod: pod.name_any(),
            process: Arc::clone(process),
            sandbox: Arc::clone(sandbox),
        };
        self.running()
            .insert(pod.uid().unwrap_or_default(), Arc::new(running));
    }

    fn forget_running(&self, pod: &Pod) {
        self.running().remove(&pod.uid().unwrap_or_default());
    }
}

fn is_to_be_deleted(pod: Option<&Pod>) -> bool {
    pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some())
}

/// Whom the container runs as; an error where the pod forbids root and would be it.
fn user_of(pod: &Pod, spec: &ContainerSpec) -> Result<u32> {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let of_container = spec.security_context.as_ref();
    let user = of_container.and_then(|security| security.run_as_user);
    let user = user
        .or(of_pod.and_then(|security| security.run_as_user))
        .unwrap_or(IMAGE_USER);
    let no_root = of_container.and_then(|security| security.run_as_non_root);
    let no_root = no_root.or(of_pod.and_then(|security| security.run_as_non_root));
    if user == 0 && no_root == Some(true) {
        return Err(Error::unsupported("runAsUser: 0 together with runAsNonRoot"));
    }
    u32::try_from(user).map_err(|_| Error::unsupported(format!("runAsUser: {user}")))
}

async fn exited(process: &Process) -> Result<ExitStatus> {
    loop {
        if let Some(status) = process.exit_status()? {
            return Ok(status);
        }
        sleep(LOOK).await;
    }
}

fn code_of(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Passes connections out of the pod on to the API server.
async fn relay(listener: TcpListener, apiserver: std::net::SocketAddr) {
    while let Ok((mut inside, _)) = listener.accept().await {
        tokio::spawn(async move {
            // What goes wrong is seen by both ends as a connection that ends.
            if let Ok(mut outside) = tokio::net::TcpStream::connect(apiserver).await {
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            }
        });
    }
}

/// Ends a task when it is dropped.
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
