//! `KEEP=1`: a test's control plane stays up after the test, for a look with kubectl.
//!
//! Input: environment `KEEP`, and which namespaces tests made. Output: what to type. I/O: writes to standard error.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use testbed::ControlPlane;

/// Where to look: a namespace of a control plane, which runs as long as this is here.
type Place = (Arc<ControlPlane>, String);

/// Every namespace that a test of this process made.
static PLACES: Mutex<Vec<Place>> = Mutex::new(Vec::new());

fn asked() -> bool {
    std::env::var_os("KEEP").is_some_and(|value| !value.is_empty() && value != "0")
}

/// Remembers a namespace, if asked.
pub fn note(plane: &Arc<ControlPlane>, namespace: &str) {
    if asked() {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        places.push((Arc::clone(plane), namespace.to_owned()));
    }
}

/// With `KEEP=1` waits for Ctrl-C, which ends the process and with it every control plane. Its replicas are gone already.
pub fn wait_if_asked(passed: bool) {
    if !asked() {
        return;
    }
    let outcome = if passed { "passed" } else { "failed" };
    // Not `eprintln!`, which the test runner would capture.
    let mut terminal = std::io::stderr().lock();
    drop(writeln!(
        terminal,
        "\nThe test {outcome}; its control plane stays up. In another terminal:"
    ));
    for (plane, namespace) in PLACES.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        drop(writeln!(
            terminal,
            "  kubectl --kubeconfig {} --namespace {namespace} get all,configmaps,events",
            plane.admin_kubeconfig().display()
        ));
    }
    drop(writeln!(terminal, "Ctrl-C ends it and removes everything."));
    drop(terminal);
    loop {
        std::thread::sleep(Duration::from_mins(1));
    }
}
