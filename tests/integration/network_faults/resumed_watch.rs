//! A watch that is resumed where it was, of a kind in which nothing happens.

use testbed::{
    Entry, eventually,
    proxy::{Fault, Rule, StreamFault},
};

use super::{is_about, world};
use crate::harness::{PATIENCE, run};

#[test]
fn a_quiet_watch_that_is_resumed_counts_as_working_without_a_new_list() {
    run(async {
        let (world, proxy) = world("resumed").await;
        let controller = world.controller().through(&proxy).start().await;
        let lists = || {
            let is_list = |entry: &Entry| {
                entry.user == world.user()
                    && entry.resource == "cronjobs"
                    && entry.verb == "list"
                    // Whether the watch may be resumed.
                    && !entry.uri.ends_with("limit=1")
            };
            let entries = world.plane.audit().matching(is_list).expect("the audit log");
            entries.len()
        };
        let before = lists();
        let broken = Fault::Status {
            code: 500,
            retry_after: None,
        };
        let rule = proxy.add(Rule::new(broken).watch(true).when(is_about("cronjobs")).times(2));
        assert_eq!(proxy.disturb(is_about("cronjobs"), &StreamFault::End), 1);
        eventually(PATIENCE, "the watch to fail twice", async || {
            (rule.hits() == 2).then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
        controller.wait_log("Watch of cronjobs in namespace").await;
        controller
            .wait_log(&format!(
                "Watching cronjobs in namespace {} again",
                world.namespace
            ))
            .await;
        controller.wait_ready().await;
        assert_eq!(lists(), before, "it started over");
    });
}
