//! One log line, as text or as JSON, in the formats of [logrus](https://pkg.go.dev/github.com/sirupsen/logrus), which
//! log pipelines built for upstream parse already.
//!
//! Input: time, level, message, fields. Output: a line with its newline. I/O: none.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::config::{Level, LogFormat};

/// The content of one log line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// When it happened.
    pub(super) time: Timestamp,
    /// Its level.
    pub(super) level: Level,
    /// The message.
    pub(super) message: String,
    /// Everything else, by name; written in the order of the names.
    pub(super) fields: BTreeMap<&'static str, Value>,
}

/// Writes a line, newline included.
pub(super) fn format(line: &Line, format: LogFormat) -> String {
    let mut text = match format {
        LogFormat::Text => text(line),
        LogFormat::Json => json(line),
    };
    text.push('\n');
    text
}

/// RFC 3339 with milliseconds: upstream's whole seconds would hide the latencies that matter here.
fn time(line: &Line) -> String {
    format!("{:.3}", line.time)
}

fn text(line: &Line) -> String {
    let mut out = String::with_capacity(160);
    append_pair(&mut out, "time", &time(line));
    append_pair(&mut out, "level", line.level.as_str());
    append_pair(&mut out, "msg", &line.message);
    for (name, value) in &line.fields {
        match value {
            Value::String(text) => append_pair(&mut out, field_name(name), text),
            other => append_pair(&mut out, field_name(name), &other.to_string()),
        }
    }
    out
}

fn json(line: &Line) -> String {
    let mut object: BTreeMap<&str, Value> = line
        .fields
        .iter()
        .map(|(name, value)| (field_name(name), value.clone()))
        .collect();
    object.insert("time", time(line).into());
    object.insert("level", line.level.as_str().into());
    object.insert("msg", line.message.as_str().into());
    // Maps with text keys and plain values always serialize. Go would also write `<`, `>` and `&` as \u003c, \u003e
    // and \u0026; that is the same JSON text to every parser, so it is left out.
    serde_json::to_string(&object).unwrap_or_default()
}

/// logrus' way out when a field has the name of a fixed one.
fn field_name(name: &'static str) -> &'static str {
    match name {
        "time" => "fields.time",
        "level" => "fields.level",
        "msg" => "fields.msg",
        other => other,
    }
}

fn append_pair(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(' ');
    }
    out.push_str(name);
    out.push('=');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if value.chars().all(plain) {
        out.push_str(value);
    } else {
        // Writing to a String cannot fail.
        let _ = write!(out, "{}", Quoted(value));
    }
}

/// A text in double quotes with Go's escapes, so that a value can never forge a line or another field.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                control if control.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(control))?,
                // Control characters beyond ASCII, and the line and paragraph separators.
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                    write!(f, "\\u{:04x}", u32::from(c))?;
                }
                printable => f.write_char(printable)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn line(message: &str, fields: impl IntoIterator<Item = (&'static str, Value)>) -> Line {
        Line {
            time: "2026-03-01T12:34:56.7894Z".parse().unwrap(),
            level: Level::Info,
            message: message.to_owned(),
            fields: fields.into_iter().collect(),
        }
    }

    #[test]
    fn text_lines_look_like_upstreams() {
        let line = line(
            "Starting Reloader",
            [
                ("workload", "Deployment shop/web".into()),
                ("attempts", 3.into()),
                ("namespace", "shop".into()),
            ],
        );
        assert_eq!(
            format(&line, LogFormat::Text),
            "time=\"2026-03-01T12:34:56.789Z\" level=info msg=\"Starting Reloader\" attempts=3 namespace=shop \
             workload=\"Deployment shop/web\"\n"
        );
    }

    #[test]
    fn json_lines_have_sorted_keys() {
        let line = line(
            "Starting <Reloader>",
            [
                ("workload", "web".into()),
                ("attempts", 3.into()),
                ("ok", true.into()),
            ],
        );
        assert_eq!(
            format(&line, LogFormat::Json),
            "{\"attempts\":3,\"level\":\"info\",\"msg\":\"Starting <Reloader>\",\"ok\":true,\
             \"time\":\"2026-03-01T12:34:56.789Z\",\"workload\":\"web\"}\n"
        );
    }

    #[rstest]
    #[case("", "msg=")]
    #[case("stopped", "msg=stopped")]
    #[case("a-b.c_d/e@f^g+h", "msg=a-b.c_d/e@f^g+h")]
    #[case("two words", "msg=\"two words\"")]
    #[case("a=b", "msg=\"a=b\"")]
    #[case("a:b", "msg=\"a:b\"")]
    #[case("say \"hi\"\\", "msg=\"say \\\"hi\\\"\\\\\"")]
    #[case("a\nb\r\tc", "msg=\"a\\nb\\r\\tc\"")]
    #[case("\u{1b}[31m\u{7f}", "msg=\"\\x1b[31m\\x7f\"")]
    #[case("\u{85}\u{2028}", "msg=\"\\u0085\\u2028\"")]
    #[case("größe", "msg=\"größe\"")]
    fn values_are_quoted_only_where_needed(#[case] message: &str, #[case] expected: &str) {
        let text = format(&line(message, []), LogFormat::Text);
        assert_eq!(
            text.split_once("level=info ").unwrap().1.trim_end_matches('\n'),
            expected
        );
    }

    #[rstest]
    #[case(
        LogFormat::Text,
        "level=info msg=m fields.level=high fields.msg=x fields.time=noon\n"
    )]
    #[case(
        LogFormat::Json,
        "{\"fields.level\":\"high\",\"fields.msg\":\"x\",\"fields.time\":\"noon\","
    )]
    fn fields_never_replace_the_fixed_ones(#[case] log_format: LogFormat, #[case] expected: &str) {
        let fields = [
            ("level", "high".into()),
            ("msg", "x".into()),
            ("time", "noon".into()),
        ];
        let text = format(&line("m", fields), log_format);
        assert!(text.contains(expected), "{text}");
    }

    proptest! {
        #[test]
        fn a_line_is_one_line(message in any::<String>(), value in any::<String>()) {
            let line = line(&message, [("err", value.clone().into())]);
            let text = format(&line, LogFormat::Text);
            prop_assert_eq!(text.chars().filter(|c| c.is_control()).count(), 1);
            let json = format(&line, LogFormat::Json);
            prop_assert_eq!(json.matches('\n').count(), 1);
            let parsed: BTreeMap<String, String> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!((&parsed["msg"], &parsed["err"]), (&message, &value));
        }
    }
}
