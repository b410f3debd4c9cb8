use super::*;
use crate::index::tests::{AUTO, workload};

/// With a template of that number.
fn web(number: u64) -> Workload {
    let mut web = workload("web", AUTO, number);
    web.generation = i64::try_from(number).unwrap();
    web.template.fingerprint = Fingerprint::new(number % 1000);
    web
}

/// Of so many templates after the first, each of which leaves pods.
fn after(templates: u64) -> TemplatesLeft {
    let mut left = TemplatesLeft::of(&web(1));
    for number in 1..=templates {
        left.note(&web(number), &web(number + 1));
    }
    left
}

/// A few share a bit with one of them; a restart too many is their price.
#[test]
fn a_template_that_was_never_there_does_not_come_back_however_many_were() {
    let templates = 20;
    let new = 100..200;
    let taken_for_old = new.filter(|number| {
        let now = Workload {
            generation: i64::try_from(templates).unwrap() + 2,
            ..web(*number)
        };
        after(templates).note(&web(templates + 1), &now)
    });
    assert!(taken_for_old.count() <= 10);
}

#[test]
fn each_of_many_templates_comes_back() {
    let templates = 40;
    for number in 1..=templates {
        let now = Workload {
            generation: i64::try_from(templates).unwrap() + 2,
            ..web(number)
        };
        assert!(after(templates).note(&web(templates + 1), &now), "{number}");
    }
}
