//! The page of the inspection endpoint, in a real browser.

use std::fs;

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use crate::{
    bursts::Policy,
    harness::{
        World,
        browser::Browser,
        objects::{config_map, deployment, pod_with_config_map},
        observe::{AUTO, pod_with},
        run,
    },
};

/// Where `RELOADER_SCREENSHOTS=1` puts the pictures.
const SCREENSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/images");

/// A list item that is no pattern, and that would be an element if it were taken as markup.
const MARKUP: &str = "[<img id=injected src=x>";

#[test]
fn a_user_finds_a_workload_and_reads_why_it_owes() {
    run(async {
        let world = World::alone("shop").await;
        world.create(&config_map("settings", "1")).await;
        world.create(&config_map("prices", "1")).await;
        for name in ["refused", "basket", "catalogue"] {
            world
                .create::<Deployment>(&deployment(name, &AUTO, &pod_with_config_map("settings")))
                .await;
        }
        let wrong = [AUTO[0], ("configmap.reloader.stakater.com/reload", MARKUP)];
        world
            .create::<Deployment>(&deployment("wrong", &wrong, &pod_with(&["prices"], &[])))
            .await;
        let _policy = Policy::create(&world).await;
        let controller = world.controller().start().await;
        world.change_config_map("settings", "2").await;
        world.wait_for_rollouts("deployments", "basket", 1).await;
        world.wait_for_rollouts("deployments", "catalogue", 1).await;
        world.wait_for_events("refused", "ReloadFail", 1).await;

        let mut browser = Browser::start().await;
        browser
            .open(&format!("http://127.0.0.1:{}/", controller.inspect_port))
            .await;
        browser.wait_for_text("#replica", "ready, leads").await;
        browser.wait_for_text("#owed", "frozen for the test").await;
        browser.wait_for_text("#restarts", "basket").await;
        browser.wait_for_text("#sources", "settings").await;
        let size = save("page.png", &browser.screenshot().await);
        assert!(size > 10_000, "an empty picture of {size} bytes");

        // By keyboard alone.
        browser.press("/", "/").await;
        browser.insert("refu").await;
        browser.wait_for_text("#found a", "refused").await;
        browser.press("Enter", "\r").await;
        browser
            .wait_for("document.activeElement.textContent.endsWith('/refused')")
            .await;
        browser.press("Enter", "\r").await;
        browser.wait_for_text("#answer h2", "/refused").await;
        browser.wait_for_text("#answer", "owes a restart").await;
        browser.wait_for_text("#answer", "frozen for the test").await;
        browser
            .wait_for_text("#answer", "env or envFrom in container main")
            .await;
        assert_eq!(browser.text("#overview").await, "", "it is hidden");
        save("workload.png", &browser.screenshot().await);
        browser.press("Escape", "").await;
        browser.wait_for_text("#overview", "Owed restarts").await;

        // Texts of users are texts.
        let wrong = format!("#/workloads/deployment/{}/wrong", world.namespace);
        browser
            .evaluate(&format!("location.hash = {}", json!(wrong)))
            .await;
        browser.wait_for_text("#answer", MARKUP).await;
        let injected = browser
            .evaluate("document.getElementById('injected') === null")
            .await;
        assert_eq!(injected, json!(true));

        // Who uses a source.
        let source = format!("#/sources/configmap/{}/settings", world.namespace);
        browser
            .evaluate(&format!("location.hash = {}", json!(source)))
            .await;
        browser.wait_for_text("#answer", "catalogue").await;

        // Dark and light.
        let mut grounds = Vec::new();
        for scheme in ["light", "dark"] {
            let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            browser
                .call("Emulation.setEmulatedMedia", json!({ "features": features }))
                .await;
            grounds.push(
                browser
                    .evaluate("getComputedStyle(document.body).backgroundColor")
                    .await,
            );
        }
        assert_ne!(grounds[0], grounds[1]);
        assert_eq!(browser.complaints(), Vec::<&Value>::new());

        // The policy: no script that is written into the page, and no other server.
        for broken in [
            "const s = document.createElement('script'); s.textContent = 'document.title = \"evil\"'; document.body.append(s); \
             document.title !== 'evil'",
            "fetch('http://127.0.0.1:1/').then(() => false, () => true)",
            "new Promise((held) => { const i = new Image(); i.onerror = () => held(true); i.onload = () => held(false); \
             i.src = '/style.css?image'; })",
        ] {
            let before = browser.complaints().len();
            assert_eq!(browser.evaluate(broken).await, json!(true), "{broken}");
            let complaints = browser.complaints();
            let is_policy = |event: &&Value| event.to_string().contains("Content Security Policy");
            assert!(
                complaints[before..].iter().any(is_policy),
                "{broken}: {complaints:?}"
            );
        }
    });
}

/// Decodes the picture and, where that is asked for, puts it into the documentation. Returns its size in bytes.
fn save(name: &str, picture: &str) -> usize {
    let encoded = json!(picture);
    let picture: k8s_openapi::ByteString = serde_json::from_value(encoded).expect("base64");
    if std::env::var_os("RELOADER_SCREENSHOTS").is_some() {
        fs::write(format!("{SCREENSHOTS}/{name}"), &picture.0).expect("the picture is written");
    }
    picture.0.len()
}
