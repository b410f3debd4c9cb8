//! Restart windows: when a restart may begin.
//!
//! Input: the text of the annotation `reloader.stakater.com/restart-window` on a workload or its Namespace, or of a flag;
//! `now`. Output: [`Windows`], or [`WindowsError`] in words a user can act upon; [`gate()`]: open, or closed by which level,
//! why, and until when. I/O: none. Time zones are in the program, so every replica decides alike and an image without
//! files suffices.
//!
//! | Text | Meaning |
//! |---|---|
//! | `manual` | never opens by itself |
//! | `[{"kind":"allow","schedule":"0 22 * * *","duration":"4h","timeZone":"Europe/Berlin"}]`, also as YAML | the keys of [Argo CD's sync windows][argo]: `kind` is `allow` (default) or `deny`, `duration` 1m to 168h, `timeZone` by default that of the caller |
//! | `{"timezone":"UTC","windows":[{"cron":"0 0 * * *","duration":"1h"}]}` | the text of [Stakater Reloader's #1214][1214]: every window allows, 1m to 24h, `timezone` required |
//! | nothing but white space | as if the annotation were absent |
//!
//! **Schedules** have the five fields and the rules of [robfig/cron][cron], which #1214, Argo CD and CronJobs use: names of
//! months and days, lists, ranges, steps, `?` for `*`; where day of month and day of week are both restricted, either
//! suffices. `7` is Sunday too. Macros (`@daily`) and `TZ=` are refused, as in #1214; the error says what to write.
//!
//! **Half-open**: a window is open from its start up to, but not including, start + duration. It says when a restart may
//! begin, not when it must have ended.
//!
//! **Daylight saving**: local time is never turned into an instant. The minutes of the time line are looked at in local
//! time and matched with the fields, so a time that a day lacks does not open, one that it has twice opens twice, and an
//! hour lasts an hour, as for CronJobs.
//!
//! **Levels**: the nearest of workload, Namespace and flag that has allow windows or `manual` counts alone for these; deny
//! windows of all levels add up, and an active deny beats an allow. Without any allow window it is open but for denies. A
//! text that cannot be read closes, whatever the other levels say, because it may have been a deny.
//!
//! [argo]: https://argo-cd.readthedocs.io/en/stable/user-guide/sync_windows/
//! [1214]: https://github.com/stakater/Reloader/pull/1214
//! [cron]: https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format

mod cron;
mod error;
mod form;
mod gate;
mod period;
mod search;
mod zone;

pub use cron::Schedule;
pub use error::WindowsError;
pub use gate::{Closed, Gate, Level, Levels, Sweep, Why, deny_active, gate};
pub use period::{Kind, Window, Windows};
pub use zone::Zone;

#[cfg(test)]
mod tests;
