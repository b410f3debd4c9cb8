//! The texts that say when restarts may begin, as windows.
//!
//! Input: a text. Output: [`Windows`]. I/O: none.
//!
//! Names of fields are matched in any case of letters, as Go's JSON decoder does for Stakater Reloader and Argo CD.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    cron::Schedule,
    error::{WindowsError, excerpt},
    period::{Kind, Window, Windows},
    zone::Zone,
};
use crate::model::{
    go_duration::{DurationError, parse_go_duration},
    policy::LONGEST_WINDOW,
};

/// Most windows of a text.
const MAX_WINDOWS: usize = 16;

/// The word for windows that never open by themselves.
const MANUAL: &str = "manual";

const SHORTEST: Duration = Duration::from_mins(1);

/// The names of one form.
struct Form {
    schedule: &'static str,
    zone: &'static str,
    /// Every field of a window.
    fields: &'static [&'static str],
    /// The same, for errors.
    allowed: &'static str,
    longest: Duration,
    longest_text: &'static str,
}

/// Argo CD's list of sync windows.
const LIST: Form = Form {
    schedule: "schedule",
    zone: "timeZone",
    fields: &["kind", "schedule", "duration", "timeZone", "description"],
    allowed: "kind, schedule, duration and timeZone",
    longest: Duration::from_hours(7 * 24),
    longest_text: "168h",
};

/// The object of Stakater Reloader's pull request 1214.
const POLICY: Form = Form {
    schedule: "cron",
    zone: "timezone",
    fields: &["cron", "duration"],
    allowed: "cron and duration; a list instead of this object has kind, schedule, duration and timeZone",
    longest: Duration::from_hours(24),
    longest_text: "24h",
};

/// Fields of an object with windows.
const POLICY_FIELDS: &[&str] = &["timezone", "windows"];

/// Fields of Argo CD's windows that choose applications, or are about syncs by hand.
const ARGO_ONLY: &[&str] = &[
    "applications",
    "namespaces",
    "clusters",
    "manualSync",
    "andOperator",
    "syncOverrun",
];

/// What users of the other form, or of CronJobs, may have written.
const SYNONYMS: &[&[&str]] = &[
    &["schedule", "cron"],
    &["timezone", "timeZone", "tz", "time_zone"],
];

/// How many edits a misspelt field may be away from a known one.
const MAX_EDITS: usize = 2;

const EXAMPLE_SCHEDULE: &str = "0 22 * * *";
const EXAMPLE_DURATION: &str = "4h";
const EXAMPLE_ZONE: &str = "Europe/Berlin";

impl Windows {
    /// Parses the text of an annotation or a flag, in one of the forms of the table in [`super`]; `default_zone` is for
    /// windows of the list form that name none.
    ///
    /// # Errors
    /// [`WindowsError`] names the window and the field, and what to write instead. The text counts as closed then.
    pub fn parse(text: &str, default_zone: &Zone) -> Result<Self, WindowsError> {
        if text.len() > LONGEST_WINDOW {
            return Err(WindowsError::TooLong {
                length: text.len(),
                limit: LONGEST_WINDOW,
            });
        }
        let text = text.trim();
        match text {
            "" => return Ok(Windows::default()),
            MANUAL => return Ok(Windows::manual()),
            _ => {}
        }
        match value(text)? {
            Value::Array(items) => windows(&items, &LIST, default_zone),
            Value::Object(object) => policy(&object),
            _ => Err(WindowsError::NotWindows),
        }
    }
}

/// The text as JSON where it looks like it, else as YAML, of which JSON is almost a part: YAML refuses tabs.
fn value(text: &str) -> Result<Value, WindowsError> {
    let as_json = text
        .starts_with(['{', '['])
        .then(|| serde_json::from_str::<Value>(text));
    let json_error = match as_json {
        Some(Ok(value)) => return Ok(value),
        Some(Err(error)) => Some((error.line(), error.column())),
        None => None,
    };
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_anchors: 0,
            max_aliases: 0,
            max_depth: 16,
            max_documents: 1,
            max_nodes: 2048,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let yaml_error = || {
            let place = error.location()?;
            let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
            Some((number(place.line()), number(place.column())))
        };
        let (line, column) = json_error.or_else(yaml_error).unwrap_or_default();
        WindowsError::Syntax { line, column }
    })
}

/// Stakater Reloader's object.
fn policy(object: &Map<String, Value>) -> Result<Windows, WindowsError> {
    let fields = Fields::of(object, POLICY_FIELDS, "timezone and windows")?;
    let zone = fields.text(POLICY.zone, EXAMPLE_ZONE)?;
    let zone = zone.ok_or(WindowsError::Missing {
        field: POLICY.zone,
        example: EXAMPLE_ZONE,
    })?;
    let zone = Zone::named(zone)?;
    match fields.get("windows") {
        Some(Value::Array(items)) => windows(items, &POLICY, &zone),
        Some(_) => Err(WindowsError::NotWindows),
        None => Err(WindowsError::Count(0)),
    }
}

fn windows(items: &[Value], form: &Form, default_zone: &Zone) -> Result<Windows, WindowsError> {
    if items.is_empty() || items.len() > MAX_WINDOWS {
        return Err(WindowsError::Count(items.len()));
    }
    let of_item = |(index, item): (usize, &Value)| {
        window(item, form, default_zone).map_err(|problem| problem.of_window(index))
    };
    let windows: Result<Vec<Window>, WindowsError> = items.iter().enumerate().map(of_item).collect();
    Ok(Windows::listed(windows?))
}

fn window(item: &Value, form: &Form, default_zone: &Zone) -> Result<Window, WindowsError> {
    let Value::Object(object) = item else {
        return Err(WindowsError::NotAnObject {
            schedule: form.schedule,
        });
    };
    let fields = Fields::of(object, form.fields, form.allowed)?;
    let kind = match fields.text("kind", "allow")? {
        None | Some("allow") => Kind::Allow,
        Some("deny") => Kind::Deny,
        Some(other) => return Err(WindowsError::Kind(excerpt(other))),
    };
    let schedule = fields.required(form.schedule, EXAMPLE_SCHEDULE)?;
    let length = fields.required("duration", EXAMPLE_DURATION)?;
    let zone = match fields.text(form.zone, EXAMPLE_ZONE)? {
        None | Some("") => default_zone.clone(),
        Some(name) => Zone::named(name)?,
    };
    Ok(Window {
        kind,
        schedule: Schedule::parse(schedule, form.zone)?,
        duration: duration(length, form)?,
        zone,
    })
}

fn duration(text: &str, form: &Form) -> Result<Duration, WindowsError> {
    let duration = parse_go_duration(text).map_err(|problem| match problem {
        DurationError::UnknownUnit(unit) if unit == "d" => WindowsError::Days(excerpt(text)),
        problem => WindowsError::Duration {
            text: excerpt(text),
            problem,
        },
    })?;
    if duration < SHORTEST || duration > form.longest {
        return Err(WindowsError::Length {
            text: excerpt(text),
            longest: form.longest_text,
        });
    }
    Ok(duration)
}

/// The known fields of an object, by their proper names.
struct Fields<'a>(Vec<(&'static str, &'a Value)>);

impl<'a> Fields<'a> {
    /// # Errors
    /// A field is unknown, or there twice.
    fn of(
        object: &'a Map<String, Value>,
        known: &'static [&'static str],
        allowed: &'static str,
    ) -> Result<Self, WindowsError> {
        let mut fields: Vec<(&'static str, &Value)> = Vec::new();
        for (name, value) in object {
            let is = |candidate: &&&'static str| candidate.eq_ignore_ascii_case(name);
            let Some(known) = known.iter().find(is) else {
                return Err(match ARGO_ONLY.iter().find(is) {
                    Some(argo_only) => WindowsError::ArgoOnly(argo_only),
                    None => unknown(name, known, allowed),
                });
            };
            if fields.iter().any(|(other, _)| other == known) {
                return Err(WindowsError::Repeated(known));
            }
            fields.push((known, value));
        }
        Ok(Self(fields))
    }

    /// The value of a field; `null` counts as none, as in Go.
    fn get(&self, name: &str) -> Option<&'a Value> {
        let (_, value) = self.0.iter().find(|(field, _)| *field == name)?;
        (!value.is_null()).then_some(*value)
    }

    fn text(&self, field: &'static str, example: &'static str) -> Result<Option<&'a str>, WindowsError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(WindowsError::NotText { field, example }),
        }
    }

    fn required(&self, field: &'static str, example: &'static str) -> Result<&'a str, WindowsError> {
        let text = self.text(field, example)?;
        text.ok_or(WindowsError::Missing { field, example })
    }
}

fn unknown(name: &str, known: &'static [&'static str], allowed: &'static str) -> WindowsError {
    let is_synonym = |candidate: &str| {
        SYNONYMS.iter().any(|words| {
            words.contains(&candidate) && words.iter().any(|word| word.eq_ignore_ascii_case(name))
        })
    };
    let is_slip = |candidate: &str| {
        candidate.len().abs_diff(name.len()) <= MAX_EDITS
            && strsim::osa_distance(&candidate.to_ascii_lowercase(), &name.to_ascii_lowercase()) <= MAX_EDITS
    };
    let meant = known
        .iter()
        .find(|candidate| is_synonym(candidate) || is_slip(candidate));
    match meant {
        Some(meant) => WindowsError::Misspelt {
            name: excerpt(name),
            meant,
        },
        None => WindowsError::UnknownField {
            name: excerpt(name),
            allowed,
        },
    }
}
