//! A headless Chromium, driven through the browser's remote protocol over a pipe.

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::eventually;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::PATIENCE;

/// Programs that are tried, in this order.
const PROGRAMS: [&str; 4] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
];

const MISSING: &str = "no Chromium was found, which the test of the page needs. On Debian install it with \
    `apt-get install --no-install-recommends chromium-headless-shell`, elsewhere install Chromium or Chrome and put it into PATH, or \
    name the program in the variable CHROMIUM";

/// One browser with one empty page. Ended when dropped.
pub struct Browser {
    commands: ChildStdin,
    messages: BufReader<ChildStdout>,
    last_id: u64,
    session: String,
    /// What the browser has sent without being asked, in order.
    events: Vec<Value>,
    _process: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts it. Panics with an instruction where no Chromium is installed.
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        // The protocol goes through descriptors 3 and 4.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#])
            .arg(program())
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--no-first-run",
            ])
            .args(["--disable-gpu", "--hide-scrollbars", "--window-size=1200,800"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a shell");
        let mut browser = Self {
            commands: process.stdin.take().expect("a pipe"),
            messages: BufReader::new(process.stdout.take().expect("a pipe")),
            last_id: 0,
            session: String::new(),
            events: Vec::new(),
            _process: process,
            _profile: profile,
        };
        let target = browser
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let attached = browser
            .call(
                "Target.attachToTarget",
                json!({ "targetId": target["targetId"], "flatten": true }),
            )
            .await;
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser
    }

    /// One command of the protocol; its result.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": params });
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).await.expect("the browser reads");
        loop {
            let mut bytes = Vec::new();
            let read = self.messages.read_until(0, &mut bytes);
            let read = tokio::time::timeout(PATIENCE, read).await;
            let length = read.expect("an answer in time").expect("the browser writes");
            assert!(length > 0, "the browser has ended before it answered {method}");
            let message: Value = serde_json::from_slice(&bytes[..length - 1]).expect("JSON");
            if message["id"] == json!(self.last_id) {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// Opens a page.
    pub async fn open(&mut self, address: &str) {
        let opened = self.call("Page.navigate", json!({ "url": address })).await;
        assert!(opened["errorText"].is_null(), "{address}: {opened}");
    }

    /// The value of an expression in the page; a promise's, once it has one.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let outcome = self.call("Runtime.evaluate", params).await;
        assert!(outcome["exceptionDetails"].is_null(), "{expression}: {outcome}");
        outcome["result"]["value"].clone()
    }

    /// The text that a user sees in the elements of that selector.
    pub async fn text(&mut self, selector: &str) -> String {
        let elements = format!("[...document.querySelectorAll({})]", json!(selector));
        let text = self
            .evaluate(&format!(
                "{elements}.filter((e) => e.checkVisibility()).map((e) => e.innerText).join('\\n')"
            ))
            .await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until that text is seen in the elements of that selector.
    pub async fn wait_for_text(&mut self, selector: &str, expected: &str) {
        let what = format!("{expected:?} in {selector}");
        let waited = eventually(PATIENCE, &what, async || -> Result<Option<()>, String> {
            let text = self.text(selector).await;
            if text.contains(expected) {
                Ok(Some(()))
            } else {
                Err(text)
            }
        });
        if let Err(error) = waited.await {
            panic!("{error}\n{:?}", self.complaints());
        }
    }

    /// Waits until that expression is true.
    pub async fn wait_for(&mut self, expression: &str) {
        let waited = eventually(PATIENCE, expression, async || {
            let value = self.evaluate(expression).await;
            (value == json!(true)).then_some(())
        });
        if let Err(error) = waited.await {
            panic!("{error}\n{:?}", self.complaints());
        }
    }

    /// Presses a key and releases it.
    pub async fn press(&mut self, key: &str, text: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            _ => 0,
        };
        for kind in ["keyDown", "keyUp"] {
            let mut params = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" {
                params["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", params).await;
        }
    }

    /// Types a text where the focus is.
    pub async fn insert(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// A picture of the page as PNG, in base64.
    pub async fn screenshot(&mut self) -> String {
        let shot = self
            .call("Page.captureScreenshot", json!({ "format": "png" }))
            .await;
        shot["data"].as_str().expect("a picture").to_owned()
    }

    /// Errors and warnings that the browser has logged, exceptions included.
    pub fn complaints(&self) -> Vec<&Value> {
        let is_complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => {
                matches!(
                    event["params"]["type"].as_str(),
                    Some("error" | "warning" | "assert")
                )
            }
            Some("Log.entryAdded") => {
                matches!(
                    event["params"]["entry"]["level"].as_str(),
                    Some("error" | "warning")
                )
            }
            _ => false,
        };
        self.events.iter().filter(is_complaint).collect()
    }
}

/// The browser's program.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = PROGRAMS
        .iter()
        .flat_map(|program| std::env::split_paths(&path).map(move |folder| folder.join(program)));
    places.find(|program| program.is_file()).expect(MISSING)
}
