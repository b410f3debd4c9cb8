//! Lists that take longer than a watch is kept open.

use super::{create_app, world};
use crate::harness::{objects::config_map, run};

/// A list arrives object by object: the limit is on silence, not on the whole of it.
#[test]
fn a_first_list_slower_than_the_watch_timeout_is_completed_in_pages() {
    run(async {
        let (world, proxy) = world("slow-list").await;
        create_app(&world, "app").await;
        let large = "x".repeat(800_000);
        for number in 0..20 {
            world
                .create(&config_map(&format!("large-{number}"), &large))
                .await;
        }
        // 16 MB in 16 s, of which the sockets between take some at once.
        proxy.slow_answers(1_000_000);
        let controller = world
            .controller()
            .arg("--watch-timeout=5s")
            .through(&proxy)
            .start()
            .await;
        controller.wait_log("asking for it in pages").await;
        world.change_config_map("app", "1").await;
        world.wait_for_rollouts("deployments", "app", 1).await;
    });
}
