//! The API server's audit log: who did what, when, with which answer.
//!
//! Input: the log file, one JSON object a line; output: [`Entry`] values and answers to the usual questions. I/O: reads the file.
//!
//! The server writes an entry before it sends the response (`--audit-log-mode=blocking`), so once a client has its answer the entry
//! is there. What is logged is decided by `testbed/config/audit-policy.yaml`.

mod entry;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use entry::{Entry, Stage};

use crate::error::{Error, Result};
use crate::eventually::eventually;

/// Reader of one audit log. Keeps what it has parsed and reads only what was added since.
pub struct AuditLog {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Bytes of the file that are parsed; always just behind a line's end.
    offset: u64,
    entries: Vec<Arc<Entry>>,
    /// The writes that left a pod template, by the workload: what is asked most, by many tests at once.
    templates: HashMap<Workload, Vec<Arc<Entry>>>,
}

/// Resource, namespace and name.
type Workload = (String, String, String);

impl AuditLog {
    /// Reads the log at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            seen: Mutex::default(),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every entry so far, in the order the server wrote them: by end of request, not by its start.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::AuditLog`], as for every question below.
    pub fn entries(&self) -> Result<Vec<Arc<Entry>>> {
        Ok(self.read()?.entries.clone())
    }

    /// The entries for which `wanted` is true. It must not ask the log itself.
    ///
    /// # Errors
    /// See [`entries`](Self::entries).
    pub fn matching(&self, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<Arc<Entry>>> {
        let seen = self.read()?;
        let found = seen.entries.iter().filter(|entry| wanted(entry));
        Ok(found.map(Arc::clone).collect())
    }

    /// Everything so far.
    fn read(&self) -> Result<MutexGuard<'_, Seen>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.read_on(&self.path)?;
        Ok(seen)
    }

    /// The finished requests of `user` that meant to change something, refused ones included (see [`Entry::succeeded`]).
    ///
    /// # Errors
    /// See [`entries`](Self::entries).
    pub fn writes_by(&self, user: &str) -> Result<Vec<Arc<Entry>>> {
        self.matching(|entry| {
            entry.user == user && entry.is_write() && entry.stage == Stage::ResponseComplete
        })
    }

    /// How many requests `user` sent, by verb and resource; a subresource counts under "resource/subresource", a path that is no
    /// resource ("/version") under itself. A watch counts once, from its start.
    ///
    /// # Errors
    /// See [`entries`](Self::entries).
    pub fn requests_by_verb_and_resource(&self, user: &str) -> Result<BTreeMap<(String, String), usize>> {
        let mut requests = BTreeSet::new();
        let mut counts = BTreeMap::new();
        for entry in self.matching(|entry| entry.user == user)? {
            if requests.insert(entry.audit_id.clone()) {
                *counts
                    .entry((entry.verb.clone(), entry.full_resource()))
                    .or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// The writes that changed the pod template of a workload ("deployments", namespace, name), and so rolled it: each with a template
    /// other than the one the write before left, whoever sent it. Creations are no change.
    ///
    /// # Errors
    /// See [`entries`](Self::entries).
    pub fn template_changes(&self, resource: &str, namespace: &str, name: &str) -> Result<Vec<Arc<Entry>>> {
        let workload = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        let mut writes = self.read()?.templates.get(&workload).cloned().unwrap_or_default();
        // Of two concurrent writes the later one may be logged first; the store's revision has the order in which they took effect.
        writes.sort_by_key(|entry| {
            entry
                .answered_metadata("resourceVersion")
                .and_then(|version| version.parse::<u64>().ok())
        });
        let is_change = |pair: &&[Arc<Entry>]| {
            pair[0].answered_metadata("uid") == pair[1].answered_metadata("uid")
                && pair[0].pod_template() != pair[1].pod_template()
        };
        Ok(writes
            .windows(2)
            .filter(is_change)
            .map(|pair| Arc::clone(&pair[1]))
            .collect())
    }

    /// How long after `cause` was received the first successful request with `effect` was answered; `None` if there is none yet.
    ///
    /// It includes the time the server took for `cause` itself, so it is never shorter than what a user sees.
    ///
    /// # Errors
    /// See [`entries`](Self::entries).
    pub fn latency(&self, cause: &Entry, effect: impl Fn(&Entry) -> bool) -> Result<Option<Duration>> {
        let answered = self
            .matching(|entry| {
                entry.stage == Stage::ResponseComplete
                    && entry.succeeded()
                    && entry.request_received >= cause.request_received
                    && effect(entry)
            })?
            .iter()
            .map(|entry| entry.stage_timestamp)
            .min();
        Ok(answered.map(|at| at.duration_since(cause.request_received).unsigned_abs()))
    }

    /// Asks `question` of all entries, again and again while the log grows, until it has an answer, for `timeout` at most. `what`
    /// completes "waited in vain for ...".
    ///
    /// # Errors
    /// [`Error::Timeout`].
    pub async fn wait_until<T>(
        &self,
        timeout: Duration,
        what: &str,
        mut question: impl FnMut(&[Arc<Entry>]) -> Option<T>,
    ) -> Result<T> {
        eventually(timeout, what, async || -> Result<Option<T>, String> {
            let entries = self.entries().map_err(|error| error.to_string())?;
            question(&entries)
                .map(Some)
                .ok_or_else(|| format!("no answer in {} audit entries", entries.len()))
        })
        .await
    }
}

impl Seen {
    /// Parses the whole lines that were added; a line still being written stays for the next time.
    fn read_on(&mut self, path: &Path) -> Result<()> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io(format!("open {}", path.display()))(error)),
        };
        let mut added = Vec::new();
        file.seek(SeekFrom::Start(self.offset))
            .and_then(|_| file.read_to_end(&mut added))
            .map_err(Error::io(format!("read {}", path.display())))?;
        for line in added
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| line.ends_with(b"\n"))
        {
            let entry: Entry = serde_json::from_slice(line).map_err(|source| Error::AuditLog {
                line: String::from_utf8_lossy(line).into_owned(),
                source,
            })?;
            self.add(Arc::new(entry));
            self.offset += line.len() as u64;
        }
        Ok(())
    }

    fn add(&mut self, entry: Arc<Entry>) {
        if entry.is_write() && entry.verb != "delete" && entry.pod_template().is_some() {
            let Entry {
                resource,
                namespace,
                name,
                ..
            } = &*entry;
            let workload = (resource.clone(), namespace.clone(), name.clone());
            self.templates
                .entry(workload)
                .or_default()
                .push(Arc::clone(&entry));
        }
        self.entries.push(entry);
    }
}

#[cfg(test)]
mod tests;
