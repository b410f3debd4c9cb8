//! stub

/// stub
pub fn parse_go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// stub
#[derive(Debug, thiserror::Error)]
#[error("bad CSV")]
pub struct CsvError;

/// stub
pub fn parse_csv_list(text: &str) -> Result<Vec<String>, CsvError> {
    if text.contains('"') {
        return Err(CsvError);
    }
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(text.split(',').map(str::to_owned).collect())
}
