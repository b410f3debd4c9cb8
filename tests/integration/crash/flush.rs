//! The controller dies in the middle of a burst while a write of the ledger is under way. It runs alone, without a lease
//! to wait for: what it leaves behind is the ledger's and the markers' matter.

use std::time::Duration;

use rstest::rstest;
use testbed::{
    Entry, Proxy, eventually,
    proxy::{Fault, Rule},
};

use super::BURST;
use crate::harness::{
    Controller, EVERYWHERE, PATIENCE, World,
    field::{Field, catch},
    ledger::{NAME, is_ledger},
    manifests,
    observe::digest_of,
    run,
};

/// Twenty at once and then twenty a second: nine seconds, and a settled source is written down after five.
const SLOW: &str = "--total-rate=20";
/// Longer than the test.
const NEVER: Duration = Duration::from_hours(1);

/// Writes of the ledger by the controllers that were stored.
fn stored(world: &World) -> usize {
    let by_ledger = |entry: &Entry| entry.is_write() && entry.succeeded() && is_ledger(entry);
    let entries = world.plane.audit().matching(by_ledger);
    entries.expect("the audit log").len()
}

/// Waits until the ledger holds this content of all sources, and no restart is owed.
async fn wait_until_settled(world: &World, content: &str) {
    let digest = digest_of(content);
    let is_settled = |line: &String| line.ends_with(&digest);
    let settled = eventually(PATIENCE, "a settled ledger", async || {
        let lines = world.ledger().await;
        (lines.len() == BURST && lines.iter().all(is_settled)).then_some(())
    });
    settled.await.unwrap_or_else(|error| panic!("{error}"));
}

async fn start(world: &World, proxy: &Proxy, strategy: &str) -> Controller {
    let builder = world.controller().through(proxy);
    builder.args([EVERYWHERE, strategy, SLOW]).start().await
}

#[rstest]
fn a_kill_while_the_ledger_is_written_in_a_burst_loses_and_repeats_nothing(
    #[values("--reload-strategy=env-vars", "--reload-strategy=annotations")] strategy: &str,
) {
    run(async {
        let world = World::alone("flush").await;
        let proxy = world.plane.proxy().await.expect("a proxy");
        let field = Field::create(&world, 20, BURST / 20).await;
        manifests::create_cluster_role(&world.client).await;
        manifests::bind_cluster_role(&world.client, &world.user()).await;
        let mut contents = vec!["0".to_owned()];
        let mut controller = start(&world, &proxy, strategy).await;

        let never_arrives = (Fault::Stall, "never arrives", 0);
        let never_answered = (Fault::DelayAnswer(NEVER), "stored, never answered", 1);
        for (fault, content, stores) in [never_arrives, never_answered] {
            // So that the next write of the ledger is one of the burst.
            wait_until_settled(&world, contents.last().expect("a content")).await;
            let (patched, stored_before) = (field.patches().len(), stored(&world));
            let rule = proxy.add(Rule::new(fault).method("PUT").path(NAME).times(1));
            contents.push(content.to_owned());
            let die = async {
                catch("a write of the ledger", || {
                    rule.hits() == 1 && stored(&world) == stored_before + stores
                })
                .await;
                controller.replica.kill();
                field.patches().len() - patched
            };
            let ((), patched) = tokio::join!(field.change_all(content), die);
            eprintln!("{content}: {patched} of {BURST} patches");
            assert!((1..BURST).contains(&patched), "{content}: {patched} patches");
            assert_eq!(stored(&world), stored_before + stores, "{content}");
            assert!(!controller.replica.log().contains("shutting down"), "{content}");
            rule.remove();
            controller = start(&world, &proxy, strategy).await;
            field.wait_all_right(&contents[1..]).await;
        }
        // Everything that was repeated shows in the next change.
        controller.wait_idle().await;
        field.change_all("at peace").await;
        contents.push("at peace".to_owned());
        field.wait_all_right(&contents[1..]).await;
        controller.wait_idle().await;
        field.wait_all_right(&contents[1..]).await;
    });
}
