//! Runs a script against a server and records what it answers.

use std::{collections::HashMap, time::Duration};

use http::{Method, Request, header};
use serde_json::{Value, json};

use super::{
    content,
    script::{At, FIELDS, KINDS, Known, LABELS, Manner, NAMES, Object, Step},
    server::{Lines, Server},
};

/// What a server answered.
#[derive(Debug, Default)]
pub struct Record {
    /// The requests, and their answers' status and body.
    pub answers: Vec<(String, u16, Value)>,
    /// The lines of each watch that was opened.
    pub watches: Vec<(String, Vec<Value>)>,
}

/// How long the real server may take for the next line of a watch.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs a script in a namespace of its own. `lines`: how many each watch is to have; empty: as many as come.
pub async fn run(server: &Server, namespace: &str, script: &[Step], lines: &[usize]) -> Record {
    let mut run = Run {
        server,
        namespace,
        seen: HashMap::new(),
        versions: Vec::new(),
        token: None,
        open: Vec::new(),
        record: Record::default(),
    };
    let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
    let created = server
        .send(request(Method::POST, "/api/v1/namespaces", &[], "", body))
        .await;
    assert_eq!(created.0, 201, "{created:?}");
    for step in script {
        run.step(*step).await;
    }
    run.finish().await;
    run.drain(lines).await;
    run.record
}

/// A request's parameters.
type Query = Vec<(&'static str, String)>;

struct Run<'a> {
    server: &'a Server,
    namespace: &'a str,
    /// The objects that were answered, the last one last.
    seen: HashMap<Object, Vec<Value>>,
    /// The versions that were answered.
    versions: Vec<String>,
    /// The path of the last list that has another page, and its token.
    token: Option<(String, Query, String)>,
    open: Vec<(String, Lines)>,
    record: Record,
}

#[expect(clippy::needless_pass_by_value, reason = "most bodies are made for it")]
fn request(
    method: Method,
    path: &str,
    query: &[(&str, String)],
    accept: &str,
    body: Value,
) -> Request<Vec<u8>> {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(query);
    let accept = if accept.is_empty() {
        "application/json"
    } else {
        accept
    };
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    Request::builder()
        .method(method)
        .uri(format!("{path}?{}", text.finish()))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, accept)
        .header(header::USER_AGENT, "tester/1.0")
        .body(body)
        .expect("a request")
}

impl Run<'_> {
    fn folder(&self, kind: usize, everywhere: bool) -> String {
        let (plural, _, api_version) = KINDS[kind];
        let root = if api_version.contains('/') { "apis" } else { "api" };
        if everywhere {
            format!("/{root}/{api_version}/{plural}")
        } else {
            format!("/{root}/{api_version}/namespaces/{}/{plural}", self.namespace)
        }
    }

    fn path(&self, (kind, name): Object, status: bool) -> String {
        let status = if status && kind == 1 { "/status" } else { "" };
        format!("{}/{}{status}", self.folder(kind, false), NAMES[name])
    }

    async fn send(&mut self, what: String, object: Option<Object>, request: Request<Vec<u8>>) {
        let is_dry = request
            .uri()
            .query()
            .is_some_and(|query| query.contains("dryRun"));
        let (code, body) = self.server.send(request).await;
        if let Some(object) = object
            && code < 300
            && body["kind"] != "Status"
            && !is_dry
        {
            self.seen.entry(object).or_default().push(body.clone());
            self.versions
                .extend(body["metadata"]["resourceVersion"].as_str().map(str::to_owned));
        }
        self.record.answers.push((what, code, body));
    }

    /// A field of an object that was answered.
    fn known(&self, object: Object, known: Known, field: &str) -> Option<String> {
        let texts = self.seen.get(&object).into_iter().flatten().rev();
        let mut texts = texts.filter_map(|body| body["metadata"][field].as_str().map(str::to_owned));
        let last = texts.next();
        match known {
            Known::Unset => None,
            Known::Last => last,
            Known::Earlier => {
                let never = if field == "uid" {
                    "00000000-0000-4000-8000-000000000099"
                } else {
                    "1"
                };
                Some(
                    texts
                        .find(|text| Some(text) != last.as_ref())
                        .unwrap_or_else(|| never.to_owned()),
                )
            }
        }
    }

    fn at(&self, at: At) -> Option<String> {
        match at {
            At::Unset => None,
            At::Any => Some("0".to_owned()),
            At::Answered(back) => {
                let index = self.versions.len().checked_sub(back + 1);
                index.map(|index| self.versions[index].clone())
            }
        }
    }

    /// Waits until the cache of a kind has all that was written.
    async fn freshen(&self, kind: usize) {
        let path = self.folder(kind, false);
        self.server
            .send(request(Method::GET, &path, &[], "", Value::Null))
            .await;
    }

    #[expect(
        clippy::too_many_lines,
        reason = "a table: each kind of step, and its request"
    )]
    async fn step(&mut self, step: Step) {
        let what = format!("{step:?}");
        match step {
            Step::Create(object, content, manner) => {
                let body = content::object(object.0, self.namespace, NAMES[object.1], content);
                let path = self.folder(object.0, false);
                let sent = request(Method::POST, &path, &writing(manner), "", body);
                self.send(what, Some(object), sent).await;
            }
            Step::Get(object, cached) => {
                let mut query = Vec::new();
                if cached {
                    self.freshen(object.0).await;
                    query.push(("resourceVersion", "0".to_owned()));
                }
                let sent = request(Method::GET, &self.path(object, false), &query, "", Value::Null);
                self.send(what, Some(object), sent).await;
            }
            Step::List {
                kind,
                everywhere,
                selectors,
                limit,
                at,
                exact,
                metadata,
            } => {
                self.freshen(kind).await;
                let mut query = selecting(self.namespace, everywhere, selectors);
                // Other scripts' objects would count.
                if limit > 0 && !everywhere {
                    query.push(("limit", limit.to_string()));
                }
                if let Some(version) = self.at(at) {
                    query.push(("resourceVersion", version));
                    if exact && at != At::Unset {
                        query.push(("resourceVersionMatch", "Exact".to_owned()));
                    }
                }
                let form = if metadata { METADATA } else { "" };
                self.list(what, self.folder(kind, everywhere), query, form).await;
            }
            Step::Next => {
                if let Some((path, mut query, token)) = self.token.take() {
                    query.retain(|(name, _)| !name.starts_with("resourceVersion"));
                    query.push(("continue", token));
                    self.list(what, path, query, "").await;
                }
            }
            Step::Replace(object, content, version, uid, manner) => {
                let mut body = content::object(object.0, self.namespace, NAMES[object.1], content);
                if manner.status && object.0 == 1 {
                    content::status(&mut body, content);
                }
                for (known, field) in [(version, "resourceVersion"), (uid, "uid")] {
                    if let Some(text) = self.known(object, known, field) {
                        body["metadata"][field] = text.into();
                    }
                }
                let path = self.path(object, manner.status);
                let sent = request(Method::PUT, &path, &writing(manner), "", body);
                self.send(what, Some(object), sent).await;
            }
            Step::Modify(object, content, manner) => {
                let Some(mut body) = self.seen.get(&object).and_then(|seen| seen.last().cloned()) else {
                    return;
                };
                content::fill(object.0, &mut body, content);
                if manner.status && object.0 == 1 {
                    content::status(&mut body, content);
                }
                let path = self.path(object, manner.status);
                let sent = request(Method::PUT, &path, &writing(manner), "", body);
                self.send(what, Some(object), sent).await;
            }
            Step::Patch {
                object,
                strategic,
                content,
                version,
                manner,
            } => {
                let mut body = content::patch(object.0, strategic, content);
                if manner.status && object.0 == 1 {
                    content::status(&mut body, content);
                }
                if let Some(version) = self.known(object, version, "resourceVersion") {
                    body["metadata"]["resourceVersion"] = version.into();
                }
                let sent = self.patch(object, strategic, &body, manner);
                self.send(what, Some(object), sent).await;
            }
            Step::Delete {
                object,
                uid,
                version,
                policy,
                dry_run,
            } => {
                let mut body = json!({ "apiVersion": "v1", "kind": "DeleteOptions" });
                for (known, field) in [(uid, "uid"), (version, "resourceVersion")] {
                    if let Some(text) = self.known(object, known, field) {
                        body["preconditions"][field] = text.into();
                    }
                }
                if policy > 0 {
                    body["propagationPolicy"] = ["", "Background", "Foreground"][usize::from(policy)].into();
                }
                if dry_run {
                    body["dryRun"] = json!(["All"]);
                }
                let sent = request(Method::DELETE, &self.path(object, false), &[], "", body);
                self.send(what, (!dry_run).then_some(object), sent).await;
            }
            Step::Watch {
                kind,
                everywhere,
                selectors,
                at,
                initial,
                bookmarks,
            } => {
                self.freshen(kind).await;
                let mut query = selecting(self.namespace, everywhere, selectors);
                query.push(("watch", "true".to_owned()));
                query.extend(self.at(at).map(|version| ("resourceVersion", version)));
                if let Some(initial) = initial {
                    query.push(("sendInitialEvents", initial.to_string()));
                    query.push(("resourceVersionMatch", "NotOlderThan".to_owned()));
                }
                if bookmarks {
                    query.push(("allowWatchBookmarks", "true".to_owned()));
                }
                let sent = request(
                    Method::GET,
                    &self.folder(kind, everywhere),
                    &query,
                    "",
                    Value::Null,
                );
                match self.server.watch(sent).await {
                    Ok(lines) => self.open.push((what, lines)),
                    Err((code, body)) => self.record.answers.push((what, code, body)),
                }
            }
        }
    }

    fn patch(&self, object: Object, strategic: bool, body: &Value, manner: Manner) -> Request<Vec<u8>> {
        let path = self.path(object, manner.status);
        let mut sent = request(Method::PATCH, &path, &writing(manner), "", body.clone());
        let form = if strategic {
            "strategic-merge-patch"
        } else {
            "merge-patch"
        };
        let form = format!("application/{form}+json").parse().expect("a header");
        sent.headers_mut().insert(header::CONTENT_TYPE, form);
        sent
    }

    async fn list(&mut self, what: String, path: String, query: Vec<(&'static str, String)>, accept: &str) {
        let sent = request(Method::GET, &path, &query, accept, Value::Null);
        let (code, body) = self.server.send(sent).await;
        let token = body["metadata"]["continue"]
            .as_str()
            .filter(|token| !token.is_empty());
        if let Some(token) = token {
            let query = query
                .into_iter()
                .filter(|(name, _)| *name != "continue")
                .collect();
            self.token = Some((path, query, token.to_owned()));
        }
        self.record.answers.push((what, code, body));
    }

    /// Ends with events that each watch shows, whatever it selects.
    async fn finish(&mut self) {
        for kind in 0..KINDS.len() {
            for (name, text) in NAMES.into_iter().enumerate() {
                let object = (kind, name);
                let manner = Manner {
                    manager: 1,
                    dry_run: false,
                    status: false,
                };
                for labels in [1, 0] {
                    let freed = json!({ "metadata": { "finalizers": null } });
                    let sent = self.patch(object, false, &freed, manner);
                    self.send("free".to_owned(), None, sent).await;
                    let sent = request(Method::DELETE, &self.path(object, false), &[], "", Value::Null);
                    self.send("delete".to_owned(), None, sent).await;
                    let body = content::last(kind, self.namespace, text, labels);
                    let sent = request(
                        Method::POST,
                        &self.folder(kind, false),
                        &writing(manner),
                        "",
                        body,
                    );
                    self.send("create the last".to_owned(), None, sent).await;
                }
            }
        }
    }

    async fn drain(&mut self, expected: &[usize]) {
        for (number, (what, mut lines)) in std::mem::take(&mut self.open).into_iter().enumerate() {
            let mut received = Vec::new();
            if expected.is_empty() {
                // In virtual time: whatever can come has come.
                tokio::time::sleep(Duration::from_secs(5)).await;
                while let Ok(line) = lines.try_recv() {
                    received.push(line);
                }
            } else {
                let wanted = expected.get(number).copied().unwrap_or_default();
                while received.len() < wanted {
                    match tokio::time::timeout(PATIENCE, lines.recv()).await {
                        Ok(Some(line)) if is_of(&line, self.namespace) => received.push(line),
                        Ok(Some(_)) => {}
                        Ok(None) | Err(_) => break,
                    }
                }
            }
            self.record.watches.push((what, received));
        }
    }
}

/// Other scripts' objects are none of this one's business, nor are bookmarks that come when they like.
fn is_of(line: &Value, namespace: &str) -> bool {
    let metadata = &line["object"]["metadata"];
    match line["type"].as_str() {
        Some("BOOKMARK") => !metadata["annotations"]["k8s.io/initial-events-end"].is_null(),
        Some("ERROR") => true,
        _ => metadata["namespace"] == namespace,
    }
}

const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

fn writing(manner: Manner) -> Vec<(&'static str, String)> {
    let mut query = Vec::new();
    if manner.manager > 0 {
        query.push(("fieldManager", format!("manager-{}", manner.manager)));
    }
    if manner.dry_run {
        query.push(("dryRun", "All".to_owned()));
    }
    query
}

/// Selectors; those over all namespaces select the script's own.
fn selecting(
    namespace: &str,
    everywhere: bool,
    (labels, fields): (usize, usize),
) -> Vec<(&'static str, String)> {
    let mut query = Vec::new();
    if labels > 0 {
        query.push(("labelSelector", LABELS[labels].to_owned()));
    }
    let mut terms: Vec<String> = Vec::new();
    if fields > 0 {
        terms.push(FIELDS[fields].to_owned());
    }
    if everywhere {
        terms.push(format!("metadata.namespace={namespace}"));
    }
    if !terms.is_empty() {
        query.push(("fieldSelector", terms.join(",")));
    }
    query
}
